/** The follower's machine between stream and bus: the whole table, and walks with the leader's machine. */
import { describe, expect, test } from 'vitest'
import type { SizedBatch } from '../../../../cluster/follower/state/feed.ts'
import type {
  FollowerEffect,
  FollowerEvent,
  FollowerState,
} from '../../../../cluster/follower/state/state.ts'
import { initialFollower, stepFollower } from '../../../../cluster/follower/state/state.ts'
import type { LeaderSessionEvent, LeaderSessionState } from '../../../../cluster/leader/session.ts'
import { GREETING, isOnBus, stepLeaderSession } from '../../../../cluster/leader/session.ts'
import type { StoredRecord } from '../../../../src/core/data/entry.ts'
import { unreadable } from '../../../../src/core/records/check.ts'
import { keyFlaw } from '../../../../src/core/records/flaw.ts'
import type { FollowerMessage, LeaderMessage, Welcome } from '../../../../src/core/wire/protocol.ts'
import { STREAM_PROTOCOL } from '../../../../src/core/wire/protocol.ts'
import { entry, LIMITS as USUAL } from '../../../cluster/fixtures.ts'
import { SeededRandom } from '../../../support/seeded-random.ts'

const LIMITS = { ...USUAL, busPendingBytes: 300 }
const identity = { id: 'f', name: 'f', scopes: ['items/*'], bus: true }
const context = { identity, sets: [], limits: LIMITS }
const bus = { channel: 'c', key: 'k' }
const welcome: Welcome = {
  t: 'welcome',
  protocol: STREAM_PROTOCOL,
  id: 'l',
  epoch: 'e',
  head: 5,
  resume: true,
  clock: '1',
  continues: true,
  forgotten: '0',
  bus,
}

function batch(from: number, to: number, fields: Partial<SizedBatch> = {}): FollowerEvent {
  const records = Array.from({ length: to - from }, (_, i) => entry(`items/${from + i + 1}`, 1))
  return { type: 'batch', batch: { epoch: 'e', from, to, records, bytes: 100, ...fields } }
}

function progress(seq: number) {
  return { cursor: { epoch: 'e', seq }, seen: { epoch: 'e', seq } }
}

function step(state: FollowerState, event: FollowerEvent) {
  return stepFollower(state, event, context)
}

function reach(events: readonly FollowerEvent[]): FollowerState {
  return events.reduce((state, event) => step(state, event).state, initialFollower(progress(5)))
}

const rows = (through: number, feed: number, head = through): FollowerEvent => ({
  type: 'message',
  message: {
    t: 'rows',
    records: [entry(`items/${through}`, 1)],
    through,
    head,
    ...(feed === 0 ? {} : { feed }),
  },
})
const beat = (head: number, news: { bus?: false } = {}): FollowerEvent => ({
  type: 'message',
  message: { t: 'beat', through: 5, head, feed: 1, ...news },
})
const LIVE: FollowerEvent[] = [
  { type: 'up' },
  { type: 'quiet', session: 1 },
  { type: 'message', message: welcome },
  { type: 'message', message: { t: 'rows', records: [], through: 5, head: 5 } },
]

/** Live at 5, in every way in which rows may come. */
const PATHS = {
  stream: LIVE,
  bus: [...LIVE, batch(5, 5)],
  /** 6 and 7 are missing, 8 has come. */
  fetch: [...LIVE, batch(5, 5), batch(7, 8)],
  /** The bus was left while 6 was not stored yet. */
  slow: [...LIVE, batch(5, 5), batch(5, 6), { type: 'busLost' }],
} satisfies Record<string, FollowerEvent[]>

test('a record of the bus that no node may hold is left out alone', () => {
  const bad = unreadable({ key: 7, origin: 'n' }, keyFlaw(7))
  const elsewhere = entry('private/a', 1)
  const records = [entry('items/6', 1), bad, elsewhere]
  const { effects } = step(reach(PATHS.bus), batch(5, 6, { records }))
  expect(effects).toMatchObject([{ type: 'merge', records: [records[0], bad], cursor: { seq: 6 } }])
})

const EVENTS = {
  markHere: batch(5, 5),
  markAhead: batch(9, 9),
  oldPart: batch(3, 5),
  nextPart: batch(5, 7),
  overlapping: batch(4, 6),
  laterPart: batch(8, 9),
  tooLarge: batch(5, 6, { records: undefined }),
  tooMuch: batch(8, 9, { bytes: 301 }),
  otherLife: batch(5, 7, { epoch: 'other' }),
  asked: batch(5, 5, { ack: 5 }),
  lost: { type: 'busLost' },
  tick: { type: 'busTick' },
  beatHere: beat(5),
  beatAhead: beat(9),
  beatFailing: beat(5, { bus: false }),
  rowsNow: rows(7, 2, 8),
  rowsBefore: rows(6, 0, 8),
  stored: { type: 'applied', session: 1, seq: 6, progress: progress(6) },
} satisfies Record<string, FollowerEvent>

/** `from covered: effects`; feeds are told as what is asked for. */
const TABLE: Record<keyof typeof PATHS, Record<keyof typeof EVENTS, string>> = {
  stream: {
    markHere: 'bus 5: feed 5-5',
    markAhead: 'stream 5:',
    oldPart: 'bus 5: feed 5-5',
    nextPart: 'bus 7: merge 7, feed 7-7',
    overlapping: 'bus 6: merge 6, feed 6-6',
    laterPart: 'stream 5:',
    tooLarge: 'stream 5:',
    tooMuch: 'stream 5:',
    otherLife: 'stream 5:',
    asked: 'bus 5: feed 5-5',
    lost: 'stream 5:',
    tick: 'stream 5:',
    beatHere: 'dropped',
    beatAhead: 'dropped',
    beatFailing: 'dropped',
    rowsNow: 'dropped',
    rowsBefore: 'stream 6: merge 6',
    stored: 'stream 5: ack 6',
  },
  bus: {
    markHere: 'bus 5:',
    markAhead: 'fetch 5: feed 5-9',
    oldPart: 'bus 5:',
    nextPart: 'bus 7: merge 7',
    overlapping: 'bus 6: merge 6',
    laterPart: 'fetch 5: feed 5-8',
    tooLarge: 'fetch 5: feed 5-6',
    tooMuch: 'stream 5: feed 5-',
    otherLife: 'bus 5:',
    asked: 'bus 5:',
    lost: 'stream 5: feed 5-',
    tick: 'bus 5:',
    beatHere: 'bus 5: ack 5',
    beatAhead: 'bus 5: ack 5',
    beatFailing: 'stream 5: ack 5, feed 5-',
    rowsNow: 'dropped',
    rowsBefore: 'bus 5:',
    stored: 'bus 5:',
  },
  fetch: {
    markHere: 'fetch 5:',
    markAhead: 'fetch 5:',
    oldPart: 'fetch 5:',
    nextPart: 'bus 8: merge 7, merge 8',
    overlapping: 'fetch 6: merge 6',
    laterPart: 'fetch 5:',
    tooLarge: 'fetch 5:',
    tooMuch: 'stream 5: feed 5-',
    otherLife: 'fetch 5:',
    asked: 'fetch 5:',
    lost: 'stream 5: feed 5-',
    tick: 'fetch 5:',
    beatHere: 'fetch 5: ack 5',
    beatAhead: 'fetch 5: ack 5',
    beatFailing: 'stream 5: ack 5, feed 5-',
    rowsNow: 'bus 8: merge 7, merge 8',
    rowsBefore: 'fetch 5:',
    stored: 'fetch 5: ack 6',
  },
  slow: {
    markHere: 'stream 6:',
    markAhead: 'stream 6:',
    oldPart: 'stream 6:',
    nextPart: 'stream 6:',
    overlapping: 'stream 6:',
    laterPart: 'stream 6:',
    tooLarge: 'stream 6:',
    tooMuch: 'stream 6:',
    otherLife: 'stream 6:',
    asked: 'stream 6:',
    lost: 'stream 6:',
    tick: 'stream 6:',
    beatHere: 'stream 6: ack 5',
    beatAhead: 'stream 6: ack 5',
    beatFailing: 'stream 6: ack 5',
    rowsNow: 'stream 7: merge 7',
    rowsBefore: 'stream 6:',
    stored: 'stream 6: ack 6',
  },
}

function summary(state: FollowerState, effects: readonly FollowerEffect[]): string {
  if (state.kind !== 'live') return 'dropped'
  const told = effects.flatMap((effect) => {
    if (effect.type === 'merge') return [`merge ${effect.cursor.seq}`]
    if (effect.type !== 'send') return []
    const { message } = effect
    if (message.t === 'feed') return [`feed ${message.after}-${message.until ?? ''}`]
    return message.t === 'ack' ? [`ack ${message.seq}`] : [message.t]
  })
  return `${state.feed.from} ${state.covered}:${told.length > 0 ? ' ' : ''}${told.join(', ')}`
}

describe('every event, wherever rows come from', () => {
  const cases = (Object.keys(TABLE) as (keyof typeof PATHS)[]).flatMap((from) =>
    (Object.keys(EVENTS) as (keyof typeof EVENTS)[]).map((event) => [from, event] as const),
  )
  test.each(cases)('%s on %s', (from, event) => {
    const { state, effects } = step(reach(PATHS[from]), EVENTS[event])
    expect(summary(state, effects)).toBe(TABLE[from][event])
  })
})

describe('a follower on the bus', () => {
  test('leaves it when nothing is heard for the allowed intervals', () => {
    let state = reach(PATHS.bus)
    for (let i = 0; i < LIMITS.maxSilentBeats; i++) state = step(state, EVENTS.tick).state
    expect(summary(state, [])).toBe('bus 5:')
    expect(summary(step(state, batch(5, 5)).state, [])).toBe('bus 5:')
    const { effects } = step(state, EVENTS.tick)
    expect(effects).toContainEqual({ type: 'fed', from: 'stream', reason: 'silent' })
  })

  test('fetches what a beat told and the next beat finds missing', () => {
    const { state } = step(reach(PATHS.bus), beat(9))
    expect(summary(state, step(state, beat(12)).effects)).toBe('bus 5: ack 5, feed 5-9')
  })

  test('asks once for what is missing, and waits for all of it', () => {
    const first = step(reach(PATHS.fetch), rows(6, 2, 8))
    expect(summary(first.state, first.effects)).toBe('fetch 6: merge 6')
    const second = step(first.state, rows(7, 2, 8))
    expect(summary(second.state, second.effects)).toBe('bus 8: merge 7, merge 8')
  })

  test('goes back to it once what it took before is stored', () => {
    const { state } = step(reach(PATHS.slow), EVENTS.stored)
    const next = step(state, batch(6, 7))
    expect(summary(next.state, next.effects)).toBe('bus 7: merge 7, feed 7-7')
  })

  test('tells what is stored with the next mark, at once when asked, and once', () => {
    let state = step(reach(PATHS.bus), batch(5, 7)).state
    const stored = step(state, { type: 'applied', session: 1, seq: 7, progress: progress(7) })
    expect(stored.effects.filter(({ type }) => type === 'send')).toEqual([])
    const mark = step(stored.state, batch(7, 7))
    expect(summary(mark.state, mark.effects)).toBe('bus 7: ack 7')
    expect(summary(mark.state, step(mark.state, batch(7, 7)).effects)).toBe('bus 7:')
    state = step(mark.state, batch(7, 8)).state
    state = step(state, batch(8, 8, { ack: 8 })).state
    const asked = step(state, { type: 'applied', session: 1, seq: 8, progress: progress(8) })
    expect(summary(asked.state, asked.effects)).toBe('bus 8: ack 8')
  })

  test('acknowledges no more than is stored', () => {
    let state = step(reach(PATHS.bus), batch(5, 6)).state
    state = step(state, batch(6, 7)).state
    state = step(state, EVENTS.stored).state
    expect(summary(state, step(state, batch(7, 7)).effects)).toBe('bus 7: ack 6')
  })

  test('takes only what is in its scopes', () => {
    const records = [entry('items/a', 1), entry('other/b', 1)]
    const { effects } = step(reach(PATHS.bus), batch(5, 7, { records }))
    expect(effects).toMatchObject([{ type: 'merge', records: [{ key: 'items/a' }] }])
  })
})

describe('walks of both machines', () => {
  test('whatever is lost, repeated, late or in another order, no part of the log is left out', () => {
    let taken = 0
    for (let seed = 1; seed <= 200; seed++) taken += walk(seed)
    expect(taken).toBeGreaterThan(1000)
  })
})

/** One follower of one leader over a good stream and a bad bus. @returns parts taken from the bus. */
function walk(seed: number): number {
  const random = new SeededRandom(seed)
  const log: StoredRecord[] = []
  let leader: LeaderSessionState = GREETING
  let follower: FollowerState = initialFollower({ cursor: { epoch: 'e', seq: 0 }, seen: null })
  const down: LeaderMessage[] = []
  const up: FollowerMessage[] = []
  const reads: number[] = []
  const merges: number[] = []
  const air: SizedBatch[] = []
  let covered = 0
  let published = 0
  let taken = 0

  const lead = (event: LeaderSessionEvent): void => {
    const next = stepLeaderSession(leader, event, LIMITS)
    leader = next.state
    for (const effect of next.effects) {
      if (effect.type === 'send') down.push(effect.message)
      else if (effect.type === 'read') reads.push(effect.after)
      else throw new Error(`seed ${seed}: the leader ${JSON.stringify(effect)}`)
    }
  }
  const follow = (event: FollowerEvent): void => {
    const next = stepFollower(follower, event, context)
    follower = next.state
    for (const effect of next.effects) {
      if (effect.type === 'drop') throw new Error(`seed ${seed}: ${effect.reason}`)
      if (effect.type === 'send') up.push(effect.message)
      if (effect.type === 'quiesce') follow({ type: 'quiet', session: effect.session })
      if (effect.type !== 'merge') continue
      const wanted = log.slice(covered, effect.cursor.seq).filter(({ key }) => key.startsWith('i'))
      for (const record of wanted) expect(effect.records, `seed ${seed}`).toContainEqual(record)
      covered = effect.cursor.seq
      merges.push(covered)
      if (event.type === 'batch') taken++
    }
  }
  const hear = (): void => {
    const message = up.shift()
    if (message?.t === 'hello') {
      const me = {
        id: 'l',
        epoch: 'e',
        head: log.length,
        clock: '1',
        continues: true,
        forgotten: '0',
        bus,
      }
      lead({ type: 'hello', hello: message, canResume: true, leader: me })
    } else if (message?.t === 'ack') lead({ type: 'ack', ack: message })
    else if (message?.t === 'feed') lead({ type: 'feed', request: message })
  }
  const publish = (): void => {
    const records = log.slice(published)
    const isLarge = random.chance(0.05)
    const part = { epoch: 'e', from: published, to: log.length, bytes: 20 + random.below(80) }
    air.push({ ...part, records: isLarge ? undefined : records })
    published = log.length
  }
  const arrive = (isBad: boolean): void => {
    const at = isBad && random.chance(0.2) ? random.below(air.length) : 0
    const [message] = air.slice(at, at + 1)
    if (message === undefined) return
    if (!isBad || !random.chance(0.1)) air.splice(at, 1)
    if (!isBad || !random.chance(0.15)) follow({ type: 'batch', batch: message })
  }
  const turn = (isBad: boolean): void => {
    const choice = random.below(10)
    if (choice < 2) hear()
    else if (choice < 4) {
      const message = down.shift()
      if (message?.t === 'welcome' || message?.t === 'rows' || message?.t === 'beat') {
        follow({ type: 'message', message })
      }
    } else if (choice < 6) arrive(isBad)
    else if (choice < 7) {
      const after = reads.shift()
      if (after === undefined) return
      const records = log.slice(after, after + LIMITS.messageRecords)
      const found = records.map((record, i) => ({ seq: after + i + 1, record }))
      lead({ type: 'page', page: { rows: found, through: found.at(-1)?.seq ?? log.length } })
    } else if (choice < 9) {
      const seq = merges.shift()
      if (seq === undefined) return
      follow({
        type: 'applied',
        session: 1,
        seq,
        progress: { cursor: { epoch: 'e', seq }, seen: null },
      })
    } else if (random.chance(0.2) && up.length === 0 && down.length === 0) {
      if (leader.kind === 'streaming' && isOnBus(leader)) {
        lead({ type: 'committed', head: log.length, own: [] })
      }
      lead({ type: 'beat' })
    } else if (isBad && random.chance(0.1)) follow({ type: 'busLost' })
    else publish()
  }

  follow({ type: 'up' })
  for (let i = 0; i < 250; i++) {
    if (random.chance(0.3)) {
      const seq = log.length + 1
      log.push(entry(random.chance(0.3) ? `other/${seq}` : `items/${seq}`, seq))
      lead({ type: 'committed', head: seq, own: [] })
      if (random.chance(0.7)) publish()
    } else turn(true)
  }
  for (let i = 0; i < 4000; i++) turn(false)
  expect(covered, `seed ${seed}`).toBe(log.length)
  expect(summary(follower, []), `seed ${seed}`).toBe(`bus ${log.length}:`)
  return taken
}
