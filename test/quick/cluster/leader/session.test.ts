import { describe, expect, test } from 'vitest'
import type {
  LeaderSessionEffect,
  LeaderSessionEvent,
  LeaderSessionState,
  StreamingState,
} from '../../../../cluster/leader/session.ts'
import { GREETING, stepLeaderSession } from '../../../../cluster/leader/session.ts'
import type { StoredRecord } from '../../../../src/core/data/entry.ts'
import type { Hello } from '../../../../src/core/wire/protocol.ts'
import { STREAM_PROTOCOL } from '../../../../src/core/wire/protocol.ts'
import type { SequencedRow } from '../../../../src/store/format/rows.ts'
import { entry, LIMITS } from '../../../cluster/fixtures.ts'
import { SeededRandom } from '../../../support/seeded-random.ts'

const hello: Hello = {
  t: 'hello',
  protocol: STREAM_PROTOCOL,
  id: 'f',
  name: 'f',
  scopes: ['items/*'],
  cursor: { epoch: 'e', seq: 4 },
  seen: null,
  base: null,
}
const leader = { id: 'l', epoch: 'e', head: 9, clock: '1', continues: true, forgotten: '0' }
const set = { path: 'items/*', except: [] }

const EVENTS = {
  hello: { type: 'hello', hello, canResume: true, leader },
  ack: { type: 'ack', ack: { t: 'ack', seq: 4, complete: true } },
  feed: { type: 'feed', request: { t: 'feed', n: 1, after: 4, until: 4 } },
  unpublished: { type: 'unpublished' },
  push: { type: 'push', push: { t: 'push', n: 1, records: [] } },
  merged: { type: 'merged', n: 1, outcomes: [], reasons: [], head: 9 },
  committed: { type: 'committed', head: 10, own: [] },
  page: { type: 'page', page: { rows: [{ seq: 5, record: entry('items/a', 1) }], through: 9 } },
  ask: { type: 'comparison', message: { t: 'ask', n: 1, set, nodes: [''] } },
  want: {
    type: 'comparison',
    message: { t: 'want', n: 2, set, nodes: [''], after: 4, parts: 0 },
  },
  have: { type: 'comparison', message: { t: 'have', n: 2, hashes: '' } },
  taken: { type: 'comparison', message: { t: 'taken', n: 2, part: 1 } },
  digested: { type: 'digested', n: 1, head: 9, horizon: 0n, digests: [] },
  found: {
    type: 'found',
    n: 2,
    head: 9,
    page: { records: [], fresh: 0, lacks: '', last: true, bytes: 0 },
  },
  beat: { type: 'beat' },
  closed: { type: 'closed' },
} satisfies Record<string, LeaderSessionEvent>

type Kind = LeaderSessionState['kind']

const TABLE: Record<Kind, Record<keyof typeof EVENTS, string>> = {
  greeting: {
    hello: 'streaming: send welcome, read',
    ack: 'closed: close',
    feed: 'closed: close',
    unpublished: 'greeting:',
    push: 'closed: close',
    merged: 'closed: close',
    committed: 'greeting:',
    page: 'closed: close',
    ask: 'closed: close',
    want: 'closed: close',
    have: 'closed: close',
    taken: 'closed: close',
    digested: 'closed: close',
    found: 'closed: close',
    beat: 'greeting:',
    closed: 'closed:',
  },
  streaming: {
    hello: 'closed: close',
    ack: 'streaming:',
    feed: 'closed: close',
    unpublished: 'streaming:',
    push: 'streaming: merge',
    merged: 'streaming: send pushed',
    committed: 'streaming:',
    page: 'streaming: send rows',
    ask: 'streaming: digest',
    want: 'streaming: open, search',
    have: 'closed: close',
    taken: 'streaming:',
    digested: 'streaming:',
    found: 'streaming:',
    beat: 'streaming: send beat',
    closed: 'closed:',
  },
  closed: {
    hello: 'closed:',
    ack: 'closed:',
    feed: 'closed:',
    unpublished: 'closed:',
    push: 'closed:',
    merged: 'closed:',
    committed: 'closed:',
    page: 'closed:',
    ask: 'closed:',
    want: 'closed:',
    have: 'closed:',
    taken: 'closed:',
    digested: 'closed:',
    found: 'closed:',
    beat: 'closed:',
    closed: 'closed:',
  },
}

const PATHS: Record<Kind, LeaderSessionEvent[]> = {
  greeting: [],
  streaming: [EVENTS.hello],
  closed: [EVENTS.closed],
}

function step(state: LeaderSessionState, event: LeaderSessionEvent) {
  return stepLeaderSession(state, event, LIMITS)
}

function reach(events: readonly LeaderSessionEvent[]): LeaderSessionState {
  return events.reduce((state, event) => step(state, event).state, GREETING)
}

function summary(state: LeaderSessionState, effects: readonly LeaderSessionEffect[]): string {
  const names = effects.map((effect) =>
    effect.type === 'send' ? `send ${effect.message.t}` : effect.type,
  )
  return `${state.kind}:${names.length > 0 ? ' ' : ''}${names.join(', ')}`
}

describe('every event in every state', () => {
  const cases = (Object.keys(TABLE) as Kind[]).flatMap((kind) =>
    (Object.keys(EVENTS) as (keyof typeof EVENTS)[]).map((event) => [kind, event] as const),
  )
  test.each(cases)('%s on %s', (kind, event) => {
    const { state, effects } = step(reach(PATHS[kind]), EVENTS[event])
    expect(summary(state, effects)).toBe(TABLE[kind][event])
  })
})

describe('the protocol', () => {
  test.each([
    [2, 2],
    [3, 3],
    [7, 3],
  ])('that a follower of %i is welcomed with is %i', (offered, spoken) => {
    const event = { ...EVENTS.hello, hello: { ...hello, protocol: offered } }
    const { state, effects } = stepLeaderSession(GREETING, event, LIMITS)
    expect(state).toMatchObject({ protocol: spoken })
    expect(effects[0]).toMatchObject({ message: { t: 'welcome', protocol: spoken } })
  })
})

describe('refusals', () => {
  test('a follower of a protocol that is too old is told what is spoken', () => {
    const event = { ...EVENTS.hello, hello: { ...hello, protocol: 1 } }
    expect(step(GREETING, event).effects).toEqual([
      {
        type: 'close',
        code: 'invalid_message',
        reason: 'stream protocol 1, this node speaks 2 to 3',
      },
    ])
  })

  test('an acknowledgement of what was never sent closes the stream', () => {
    const { effects } = step(reach(PATHS.streaming), {
      type: 'ack',
      ack: { t: 'ack', seq: 99, complete: true },
    })
    expect(effects).toMatchObject([
      { type: 'close', reason: 'acknowledged seq 99, only 4 was sent' },
    ])
  })

  test('a follower that leaves too many pushes unanswered is closed', () => {
    let state = reach(PATHS.streaming)
    const push = (n: number): LeaderSessionEvent => ({
      type: 'push',
      push: { t: 'push', n, records: [] },
    })
    for (let n = 1; n <= 64; n++) state = step(state, push(n)).state
    expect(step(state, push(65)).effects).toMatchObject([{ type: 'close', code: 'overloaded' }])
  })

  test('a silent follower is closed after the allowed beats', () => {
    let state = reach(PATHS.streaming)
    for (let i = 0; i < LIMITS.maxSilentBeats; i++) state = step(state, EVENTS.beat).state
    expect(state.kind).toBe('streaming')
    expect(step(state, EVENTS.beat).effects).toMatchObject([
      { type: 'close', code: 'slow_consumer' },
    ])
  })
})

describe('a feed', () => {
  const bus = { channel: 'c', key: 'k' }
  const invited = reach([
    { ...EVENTS.hello, hello: { ...hello, bus: true }, leader: { ...leader, bus } },
  ])
  const ask = (n: number, after: number, until: number | null): LeaderSessionEvent => ({
    type: 'feed',
    request: { t: 'feed', n, after, until },
  })
  const page = {
    rows: [5, 6, 7, 8].map((seq) => ({ seq, record: entry(`items/${seq}`, seq) })),
    through: 9,
  }

  test('is offered to whoever can listen, and to nobody else', () => {
    const welcomed = (asks: boolean) =>
      step(GREETING, {
        ...EVENTS.hello,
        hello: asks ? { ...hello, bus: true } : hello,
        leader: { ...leader, bus },
      }).effects[0]
    expect(welcomed(true)).toMatchObject({ message: { bus } })
    expect(JSON.stringify(welcomed(false))).not.toContain('"bus"')
  })

  test('of the bus reads and sends nothing, whatever is read or committed meanwhile', () => {
    let state = step(invited, ask(1, 4, 4)).state
    for (const event of [
      { type: 'page', page } as const,
      { type: 'committed', head: 12, own: [11] } as const,
    ]) {
      const next = step(state, event)
      expect(next.effects).toEqual([])
      state = next.state
    }
    expect(step(state, EVENTS.beat).effects).toMatchObject([
      { message: { t: 'beat', head: 12, feed: 1 } },
    ])
    expect(step(state, { type: 'unpublished' }).effects).toMatchObject([
      { message: { t: 'beat', bus: false } },
    ])
  })

  test('of what is missing sends that and stops', () => {
    let state = step(invited, ask(1, 4, 4)).state
    state = step(state, { type: 'page', page }).state
    const asked = step(state, ask(2, 5, 7))
    expect(asked.effects).toMatchObject([{ type: 'read', after: 5 }])
    const sent = step(asked.state, {
      type: 'page',
      page: { rows: page.rows.slice(1), through: 9 },
    })
    expect(sent.effects).toMatchObject([
      {
        message: {
          t: 'rows',
          through: 7,
          head: 9,
          feed: 2,
          records: [{ key: 'items/6' }, { key: 'items/7' }],
        },
      },
    ])
    expect(step(sent.state, { type: 'committed', head: 20, own: [] }).effects).toEqual([])
  })

  test('of all that comes goes on from where the follower is', () => {
    let state = step(invited, ask(1, 4, 4)).state
    state = step(state, { type: 'page', page }).state
    const asked = step(state, ask(2, 8, null))
    expect(asked.effects).toMatchObject([{ type: 'read', after: 8 }])
    const next = step(asked.state, { type: 'page', page: { rows: [], through: 9 } })
    expect(next.effects).toMatchObject([{ message: { t: 'rows', through: 9, feed: 2 } }])
    expect(step(next.state, { type: 'committed', head: 10, own: [] }).effects).toMatchObject([
      { type: 'read', after: 9 },
    ])
  })

  test('leaves out a page that was read for the one before', () => {
    const asked = step(invited, ask(1, 4, null))
    expect(asked.effects).toEqual([])
    const next = step(asked.state, { type: 'page', page })
    expect(next.effects).toMatchObject([{ type: 'read', after: 4 }])
  })

  test('lets a follower acknowledge what came over the bus, and no more', () => {
    const state = step(invited, ask(1, 4, 4)).state
    const ack = (seq: number) =>
      step(state, { type: 'ack', ack: { t: 'ack', seq, complete: true } })
    expect(ack(9).state).toMatchObject({ acked: 9 })
    expect(ack(10).effects).toMatchObject([{ type: 'close' }])
  })

  test.each([
    ['without an invitation', reach(PATHS.streaming), ask(1, 4, 4)],
    ['out of turn', invited, ask(2, 4, 4)],
    ['beyond the log', invited, ask(1, 10, null)],
  ])('%s is refused', (_, state, event) => {
    expect(step(state, event).effects).toMatchObject([{ type: 'close', code: 'out_of_order' }])
  })
})

/** A log to read from: one changing row per seq, some of them out of scope. */
class ModelLog {
  readonly rows: SequencedRow[] = []

  append(random: SeededRandom): void {
    const seq = this.rows.length + 1
    const key = random.chance(0.3) ? `other/${seq}` : `items/${seq}`
    this.rows.push({ seq, record: entry(key, seq, '1'.repeat(1 + random.below(300))) })
  }

  page(after: number, limit: number) {
    const rows = this.rows.slice(after, after + limit)
    return { rows, through: rows.at(-1)?.seq ?? this.rows.length }
  }
}

describe('random walks', () => {
  test('everything in scope is sent once and in order, within the window, and acknowledged', () => {
    for (let seed = 1; seed <= 300; seed++) walk(seed)
  })
})

function walk(seed: number): void {
  const random = new SeededRandom(seed)
  const log = new ModelLog()
  for (let i = random.below(40); i > 0; i--) log.append(random)
  const received: StoredRecord[] = []
  const unacknowledged: number[] = []
  const reads: number[] = []
  let state: LeaderSessionState = GREETING

  const run = (event: LeaderSessionEvent): void => {
    const next = step(state, event)
    state = next.state
    for (const effect of next.effects) {
      if (effect.type === 'read') reads.push(effect.after)
      if (effect.type !== 'send' || effect.message.t !== 'rows') continue
      received.push(...effect.message.records)
      unacknowledged.push(effect.message.through)
    }
    checkWindow(state, reads, `seed ${seed}`)
  }
  const answerRead = (): void => {
    const after = reads.shift()
    if (after !== undefined) run({ type: 'page', page: log.page(after, LIMITS.messageRecords) })
  }
  const acknowledge = (): void => {
    const through = unacknowledged.shift()
    if (through !== undefined) run({ type: 'ack', ack: { t: 'ack', seq: through, complete: true } })
  }

  const fromStart = { ...hello, cursor: { epoch: 'e', seq: 0 } }
  run({ ...EVENTS.hello, hello: fromStart, leader: { ...leader, head: log.rows.length } })
  for (let i = 0; i < 80; i++) {
    if (random.chance(0.3)) {
      log.append(random)
      run({ type: 'committed', head: log.rows.length, own: [] })
    } else if (random.chance(0.5)) answerRead()
    else acknowledge()
  }
  while (reads.length > 0 || unacknowledged.length > 0) {
    answerRead()
    acknowledge()
  }
  const inScope = log.rows.map((row) => row.record).filter(({ key }) => key.startsWith('items/'))
  expect(received, `seed ${seed}`).toEqual(inScope)
  expect((state as StreamingState).sent, `seed ${seed}`).toBe(log.rows.length)
}

function checkWindow(state: LeaderSessionState, reads: readonly number[], where: string): void {
  expect(reads.length, where).toBeLessThanOrEqual(1)
  if (state.kind !== 'streaming') return
  const bytes = state.inFlight.reduce((sum, message) => sum + message.bytes, 0)
  // The last message may pass the window; it is itself at most one message plus one record long.
  expect(bytes, where).toBeLessThan(LIMITS.windowBytes + LIMITS.messageBytes + 500)
}
