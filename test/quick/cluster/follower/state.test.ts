import { describe, expect, test } from 'vitest'
import type {
  FollowerEffect,
  FollowerEvent,
  FollowerState,
  LinkProgress,
} from '../../../../cluster/follower/state/state.ts'
import { initialFollower, stepFollower } from '../../../../cluster/follower/state/state.ts'
import type { Digest } from '../../../../src/core/data/digest.ts'
import type { Digests, Found, KeySet } from '../../../../src/core/wire/comparison.ts'
import type { Pushed, Rows, Welcome } from '../../../../src/core/wire/protocol.ts'
import { STREAM_PROTOCOL } from '../../../../src/core/wire/protocol.ts'
import { entry, LIMITS } from '../../../cluster/fixtures.ts'
import { SeededRandom } from '../../../support/seeded-random.ts'

const SET: KeySet = { path: 'items/*', except: [] }
const context = {
  identity: { id: 'f', name: 'f', scopes: ['items/*'] },
  sets: [SET],
  limits: LIMITS,
}
const CURSOR = { epoch: 'e1', seq: 5 }

const welcome: Welcome = {
  t: 'welcome',
  protocol: STREAM_PROTOCOL,
  id: 'l',
  epoch: 'e1',
  head: 9,
  resume: true,
  clock: '1',
  continues: true,
  forgotten: '0',
}
const rows: Rows = { t: 'rows', records: [entry('items/a', 1)], through: 7, head: 9 }
const lastRows: Rows = { ...rows, through: 9 }

const SAME: Digest = { count: 40, high: 1, low: 1 }
const OTHER: Digest = { count: 1, high: 2, low: 2 }
const digests: Digests = { t: 'digests', n: 1, head: 9, horizon: 0n, digests: [SAME] }
const found: Found = {
  t: 'found',
  n: 2,
  part: 1,
  head: 9,
  records: [entry('items/c', 3)],
  fresh: 0,
  lacks: '',
  last: true,
}

function progressAt(seq: number): LinkProgress {
  return { cursor: { epoch: 'e1', seq }, seen: { epoch: 'e1', seq: seq + 1 } }
}

type Kind = FollowerState['kind']
/** Every event the table has a column for; one per event type and message type. */
const EVENTS = {
  up: { type: 'up' },
  quiet: { type: 'quiet', session: 1 },
  down: { type: 'down' },
  close: { type: 'close' },
  beat: { type: 'beat' },
  outbox: { type: 'outbox' },
  collected: {
    type: 'collected',
    rows: [{ seq: 3, record: entry('items/b', 2) }],
    wholeOf: undefined,
  },
  'collected: nothing': { type: 'collected', rows: [], wholeOf: 1 },
  applied: { type: 'applied', session: 1, seq: 7, progress: progressAt(7) },
  saved: { type: 'saved', session: 1, progress: progressAt(9) },
  compareDue: { type: 'compareDue', pending: 0 },
  told: { type: 'digestsReceived', message: digests, ours: [SAME] },
  digestsOther: { type: 'digestsReceived', message: digests, ours: [OTHER] },
  hashed: { type: 'hashed', session: 1, n: 2, hashes: '' },
  found: { type: 'message', message: found },
  took: {
    type: 'took',
    session: 1,
    n: 2,
    part: 1,
    last: true,
    applied: 1,
    pending: 0,
    progress: progressAt(6),
  },
  settled: { type: 'settled', session: 1, n: 1, progress: progressAt(8) },
  welcome: { type: 'message', message: welcome },
  newLog: {
    type: 'message',
    message: { ...welcome, epoch: 'e2', resume: false, continues: false },
  },
  rows: { type: 'message', message: { ...rows, through: 10, head: 12 } },
  lastRows: { type: 'message', message: lastRows },
  leaderBeat: { type: 'message', message: { t: 'beat', through: 10, head: 12 } },
  pushed: { type: 'message', message: { t: 'pushed', n: 1, outcomes: ['applied'], head: 9 } },
  batch: { type: 'batch', batch: { epoch: 'e1', from: 9, to: 9, records: [], bytes: 1 } },
  busLost: { type: 'busLost' },
  busTick: { type: 'busTick' },
} satisfies Record<string, FollowerEvent>

/** Next state and effects, as `state: effect, effect`. Rows and columns must be complete. */
const TABLE: Record<Kind, Record<keyof typeof EVENTS, string>> = {
  offline: {
    batch: 'offline:',
    busLost: 'offline:',
    busTick: 'offline:',
    up: 'greeting: quiesce',
    quiet: 'offline:',
    down: 'offline:',
    close: 'closed:',
    beat: 'offline:',
    outbox: 'offline:',
    collected: 'offline:',
    'collected: nothing': 'offline:',
    applied: 'offline:',
    saved: 'offline:',
    compareDue: 'offline:',
    told: 'offline:',
    digestsOther: 'offline:',
    hashed: 'offline:',
    found: 'offline:',
    took: 'offline:',
    newLog: 'offline:',
    settled: 'offline:',
    welcome: 'offline:',
    rows: 'offline:',
    lastRows: 'offline:',
    leaderBeat: 'offline:',
    pushed: 'offline:',
  },
  greeting: {
    batch: 'greeting:',
    busLost: 'greeting:',
    busTick: 'greeting:',
    up: 'greeting: quiesce',
    quiet: 'greeting: send hello',
    down: 'offline:',
    close: 'closed:',
    beat: 'greeting:',
    outbox: 'greeting:',
    collected: 'greeting:',
    'collected: nothing': 'greeting:',
    applied: 'greeting:',
    saved: 'greeting:',
    compareDue: 'greeting:',
    told: 'offline: drop',
    digestsOther: 'offline: drop',
    hashed: 'greeting:',
    found: 'offline: drop',
    took: 'greeting:',
    newLog: 'comparing: good, save, ask',
    settled: 'greeting:',
    welcome: 'catchingUp: good',
    rows: 'offline: drop',
    lastRows: 'offline: drop',
    leaderBeat: 'offline: drop',
    pushed: 'offline: drop',
  },
  comparing: {
    batch: 'comparing:',
    busLost: 'comparing:',
    busTick: 'comparing:',
    up: 'greeting: quiesce',
    quiet: 'comparing:',
    down: 'offline:',
    close: 'closed:',
    beat: 'comparing:',
    outbox: 'comparing: collect',
    collected: 'comparing: send push, collect',
    'collected: nothing': 'comparing:',
    applied: 'comparing: send ack, collect',
    saved: 'comparing: send ack',
    compareDue: 'comparing:',
    told: 'catchingUp: save, compared',
    digestsOther: 'comparing: hash',
    hashed: 'offline: drop',
    found: 'offline: drop',
    took: 'offline: drop',
    settled: 'comparing: collect',
    welcome: 'offline: drop',
    newLog: 'offline: drop',
    rows: 'comparing: merge',
    lastRows: 'comparing: merge',
    leaderBeat: 'comparing: merge',
    pushed: 'offline: drop',
  },
  catchingUp: {
    batch: 'catchingUp:',
    busLost: 'catchingUp:',
    busTick: 'catchingUp:',
    up: 'greeting: quiesce',
    quiet: 'catchingUp:',
    down: 'offline:',
    close: 'closed:',
    beat: 'catchingUp:',
    outbox: 'catchingUp:',
    collected: 'catchingUp:',
    'collected: nothing': 'catchingUp:',
    applied: 'catchingUp: send ack',
    saved: 'catchingUp: send ack',
    compareDue: 'catchingUp:',
    told: 'offline: drop',
    digestsOther: 'offline: drop',
    hashed: 'offline: drop',
    found: 'offline: drop',
    took: 'offline: drop',
    newLog: 'offline: drop',
    settled: 'catchingUp:',
    welcome: 'offline: drop',
    rows: 'catchingUp: merge',
    lastRows: 'live: merge, collect',
    leaderBeat: 'catchingUp: merge',
    pushed: 'offline: drop',
  },
  live: {
    batch: 'live: send ack, send feed, fed',
    busLost: 'live:',
    busTick: 'live:',
    up: 'greeting: quiesce',
    quiet: 'live:',
    down: 'offline:',
    close: 'closed:',
    beat: 'live:',
    outbox: 'live: collect',
    collected: 'live: send push, collect',
    'collected: nothing': 'live: held',
    applied: 'live: send ack, collect',
    saved: 'live: send ack',
    compareDue: 'live: ask',
    told: 'offline: drop',
    digestsOther: 'offline: drop',
    hashed: 'offline: drop',
    found: 'offline: drop',
    took: 'offline: drop',
    newLog: 'offline: drop',
    settled: 'live: collect',
    welcome: 'offline: drop',
    rows: 'live: merge',
    lastRows: 'live: merge',
    leaderBeat: 'live: merge',
    pushed: 'offline: drop',
  },
  closed: {
    batch: 'closed:',
    busLost: 'closed:',
    busTick: 'closed:',
    up: 'closed:',
    quiet: 'closed:',
    down: 'closed:',
    close: 'closed:',
    beat: 'closed:',
    outbox: 'closed:',
    collected: 'closed:',
    'collected: nothing': 'closed:',
    applied: 'closed:',
    saved: 'closed:',
    compareDue: 'closed:',
    told: 'closed:',
    digestsOther: 'closed:',
    hashed: 'closed:',
    found: 'closed:',
    took: 'closed:',
    newLog: 'closed:',
    settled: 'closed:',
    welcome: 'closed:',
    rows: 'closed:',
    lastRows: 'closed:',
    leaderBeat: 'closed:',
    pushed: 'closed:',
  },
}

/** How each state is reached from the start. */
const PATHS: Record<Kind, FollowerEvent[]> = {
  offline: [EVENTS.up, EVENTS.down],
  greeting: [EVENTS.up],
  comparing: [EVENTS.up, EVENTS.newLog],
  catchingUp: [EVENTS.up, EVENTS.welcome],
  live: [EVENTS.up, EVENTS.welcome, EVENTS.lastRows],
  closed: [EVENTS.close],
}

function reach(events: readonly FollowerEvent[]): FollowerState {
  const start = initialFollower({ cursor: CURSOR, seen: null })
  return events.reduce((state, event) => stepFollower(state, event, context).state, start)
}

function summary(state: FollowerState, effects: readonly FollowerEffect[]): string {
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
    const step = stepFollower(reach(PATHS[kind]), EVENTS[event], context)
    expect(summary(step.state, step.effects)).toBe(TABLE[kind][event])
  })
})

describe('joining', () => {
  test('the hello carries the durable cursor and what the leader is known to hold', () => {
    const step = stepFollower(
      stepFollower(initialFollower({ cursor: CURSOR, seen: CURSOR }), EVENTS.up, context).state,
      EVENTS.quiet,
      context,
    )
    expect(step.effects).toEqual([
      {
        type: 'send',
        message: {
          t: 'hello',
          protocol: STREAM_PROTOCOL,
          ...context.identity,
          cursor: CURSOR,
          seen: CURSOR,
          base: null,
        },
      },
    ])
  })

  test.each([
    [2, false],
    [3, true],
  ])('the hello of protocol %s names incarnations: %s', (protocol, isTold) => {
    const told = { incarnations: ['b', 'a'], url: 'http://10.0.0.9:8800' }
    const identity = { ...context.identity, ...told, protocol }
    const greeting = stepFollower(initialFollower({ cursor: null, seen: null }), EVENTS.up, context)
    const step = stepFollower(greeting.state, EVENTS.quiet, { ...context, identity })
    const [effect] = step.effects
    const message = effect?.type === 'send' ? effect.message : {}
    if (isTold) expect(message).toMatchObject(told)
    else expect(Object.keys(message)).not.toEqual(expect.arrayContaining(['incarnations']))
    expect('url' in message).toBe(isTold)
  })

  test('a leader of another stream protocol is dropped, naming both', () => {
    const message = { ...welcome, protocol: 99 }
    const step = stepFollower(reach([EVENTS.up]), { type: 'message', message }, context)
    expect(step.effects).toMatchObject([
      { type: 'drop', reason: 'stream protocol 99, this node speaks 2 to 3' },
    ])
  })

  test('after the leader was silent for the allowed beats the connection is dropped', () => {
    let state = reach(PATHS.live)
    for (let i = 0; i < LIMITS.maxSilentBeats; i++) {
      state = stepFollower(state, EVENTS.beat, context).state
    }
    expect(state.kind).toBe('live')
    expect(stepFollower(state, EVENTS.beat, context).effects).toMatchObject([
      { type: 'drop', reason: `the leader was silent for ${LIMITS.maxSilentBeats} beats` },
    ])
  })
})

describe('pushing', () => {
  const pushing = reach([...PATHS.live, EVENTS.collected])

  test('an acknowledged push is settled with what the leader then held', () => {
    expect(stepFollower(pushing, EVENTS.pushed, context).effects).toEqual([
      {
        type: 'settle',
        session: 1,
        n: 1,
        rows: [{ seq: 3, key: 'items/b' }],
        seen: { epoch: 'e1', seq: 9 },
      },
    ])
  })

  test('a refused record stays in the outbox and is not sent again on this connection', () => {
    const message: Pushed = { t: 'pushed', n: 1, outcomes: ['refused'], head: 9 }
    const refused = stepFollower(pushing, { type: 'message', message }, context)
    expect(refused.effects).toMatchObject([{ type: 'settle', rows: [] }, { type: 'refused' }])
    const next = stepFollower(refused.state, EVENTS.settled, context)
    expect(next.effects).toEqual([{ type: 'collect', limit: 10, skip: new Set([3]), live: 1 }])
  })

  test('rows under way are left out of the next push, and pushes stop at the limit', () => {
    const one = stepFollower(pushing, EVENTS.outbox, context)
    expect(one.effects).toEqual([{ type: 'collect', limit: 10, skip: new Set([3]), live: 1 }])
    const second: FollowerEvent = {
      type: 'collected',
      rows: [{ seq: 4, record: entry('items/c', 3) }],
      wholeOf: undefined,
    }
    const two = stepFollower(one.state, second, context)
    expect(stepFollower(two.state, EVENTS.outbox, context).effects).toEqual([])
  })

  test('answers that arrive after a reconnect change the progress and nothing else', () => {
    const again = [EVENTS.down, EVENTS.up, EVENTS.welcome].reduce(
      (state: FollowerState, event) => stepFollower(state, event, context).state,
      pushing,
    )
    for (const event of [EVENTS.settled, EVENTS.applied, EVENTS.saved, EVENTS.took]) {
      const { progress } = event
      expect(stepFollower(again, event, context)).toEqual({
        state: { ...again, progress },
        effects: [],
      })
    }
  })

  test('progress that became durable while offline is told in the next hello', () => {
    const offline = stepFollower(pushing, EVENTS.down, context).state
    const events = [EVENTS.settled, EVENTS.up]
    const greeting = events.reduce((state, e) => stepFollower(state, e, context).state, offline)
    const hello = stepFollower(greeting, { type: 'quiet', session: 2 }, context)
    expect(hello.effects).toMatchObject([{ message: EVENTS.settled.progress }])
  })
})

describe('comparing with a log that is new', () => {
  function run(events: readonly FollowerEvent[]): {
    state: FollowerState
    effects: FollowerEffect[]
  } {
    const effects: FollowerEffect[] = []
    let state = reach(PATHS.comparing)
    for (const event of events) {
      const step = stepFollower(state, event, context)
      state = step.state
      effects.push(...step.effects)
    }
    return { state, effects }
  }

  test('the old cursor is forgotten before anything is asked', () => {
    expect(stepFollower(reach(PATHS.greeting), EVENTS.newLog, context).effects).toEqual([
      { type: 'good', clock: '1' },
      {
        type: 'save',
        session: 1,
        progress: { cursor: null, seen: null, leader: 'l' },
        baseIfEmpty: { epoch: 'e2', seq: 0 },
      },
      { type: 'ask', session: 1, n: 1, set: SET, nodes: [''] },
    ])
  })

  test('what the log brings meanwhile is stored without a cursor', () => {
    const message: Rows = { ...rows, through: 12, head: 12 }
    expect(run([{ type: 'message', message }]).effects).toMatchObject([
      { type: 'merge', cursor: { epoch: 'e2', seq: 12 }, isComplete: false },
    ])
  })

  test('the cursor is stored when all is compared, at the place up to which the log was taken', () => {
    const later: Rows = { ...rows, through: 12, head: 14 }
    const events: FollowerEvent[] = [
      EVENTS.digestsOther,
      { type: 'message', message: later },
      EVENTS.hashed,
      EVENTS.found,
    ]
    const before = run(events)
    expect(before.state.kind).toBe('comparing')
    const end = stepFollower(before.state, EVENTS.took, context)
    expect(end.state.kind).toBe('catchingUp')
    expect(end.effects).toContainEqual({
      type: 'save',
      session: 1,
      progress: {
        cursor: { epoch: 'e2', seq: 12 },
        seen: { epoch: 'e2', seq: 14 },
        leader: 'l',
      },
    })
  })

  test('an acknowledgement says whether a cursor is durable', () => {
    const none: FollowerEvent = { ...EVENTS.applied, progress: { cursor: null, seen: null } }
    const { state, effects } = run([none, EVENTS.told])
    expect(effects[0]).toMatchObject({ message: { t: 'ack', complete: false } })
    expect(stepFollower(state, EVENTS.saved, context).effects).toEqual([
      { type: 'send', message: { t: 'ack', seq: 9, complete: true } },
    ])
  })

  test('a live link waits with comparing while much is on its way up', () => {
    const due: FollowerEvent = { type: 'compareDue', pending: 1000 }
    expect(stepFollower(reach(PATHS.live), due, context).effects).toEqual([])
  })
})

describe('that the leader holds all that was held here', () => {
  const rowsOf = (...seqs: number[]) =>
    seqs.map((seq) => ({ seq, record: entry(`items/${seq}`, seq) }))
  const read = (seqs: number[], wholeOf: number | 'part' = 1): FollowerEvent => ({
    type: 'collected',
    rows: rowsOf(...seqs),
    wholeOf: wholeOf === 'part' ? undefined : wholeOf,
  })
  const answer = (n: number, ...outcomes: Pushed['outcomes']): FollowerEvent => ({
    type: 'message',
    message: { t: 'pushed', n, outcomes, head: 9 },
  })
  const done = (n: number): FollowerEvent => ({ ...EVENTS.settled, n })
  /** Whether it is said, after each of the events on a live link. */
  const said = (...events: FollowerEvent[]): boolean[] => {
    let state = reach(PATHS.live)
    return events.map((event) => {
      const step = stepFollower(state, event, context)
      state = step.state
      return step.effects.some(({ type }) => type === 'held')
    })
  }

  test('is said once all that was in the outbox is acknowledged, durably, and only once', () => {
    const events = [read([3, 4]), answer(1, 'applied', 'superseded'), done(1), read([])]
    expect(said(...events)).toEqual([false, false, true, false])
  })

  test('is said of an empty outbox at once', () => {
    expect(said(read([]))).toEqual([true])
  })

  test('is not said before the whole outbox was read on this connection, once all was compared', () => {
    expect(said(read([3], 'part'), answer(1, 'applied'), done(1), read([], 7))).not.toContain(true)
    const comparing = stepFollower(reach(PATHS.comparing), read([]), context)
    expect(comparing.effects.map(({ type }) => type)).not.toContain('held')
  })

  test('waits for pushes that were under way before, not for later ones', () => {
    const events = [read([3], 'part'), read([4]), read([5]), answer(2, 'applied'), done(2)]
    expect(said(...events, answer(1, 'equal'), done(1))).toEqual([...Array(6).fill(false), true])
  })

  test('is not said while something was refused', () => {
    const events = [read([3, 4]), answer(1, 'refused', 'applied'), done(1), read([]), read([5])]
    expect(said(...events, answer(2, 'applied'), done(2), read([]))).not.toContain(true)
  })

  test('is said of what was set aside as too far in the future once that is acknowledged anew', () => {
    const events = [read([3]), answer(1, 'drift'), done(1), read([])]
    const restamped: FollowerEvent = { type: 'restamped', session: 1 }
    const late = [restamped, read([8]), answer(2, 'applied'), done(2)]
    expect(said(...events, ...late)).toEqual([...Array(7).fill(false), true])
  })
})

describe('random walks', () => {
  test('the cursor moves only by what is durable, and no row is in two pushes', () => {
    const events = Object.values(EVENTS)
    for (let seed = 1; seed <= 500; seed++) {
      const random = new SeededRandom(seed)
      let state = reach([])
      for (let i = 0; i < 60; i++) {
        const event = random.pick(events)
        const next = stepFollower(state, event, context)
        checkStep(state, event, next.state, `seed ${seed}, step ${i}`)
        state = next.state
      }
    }
  })
})

function checkStep(
  before: FollowerState,
  event: FollowerEvent,
  after: FollowerState,
  where: string,
): void {
  if (before.kind === 'closed') expect(after, where).toBe(before)
  if (before.kind === 'closed' || after.kind === 'closed') return
  const mayMove = 'progress' in event
  if (!mayMove) expect(after.progress.cursor, where).toBe(before.progress.cursor)
  if ('comparison' in after && after.kind === 'comparing') {
    expect(after.comparison, where).toBeDefined()
  }
  if (after.kind !== 'live') return
  expect(after.pushes.size, where).toBeLessThanOrEqual(LIMITS.maxPushesInFlight + 1)
}
