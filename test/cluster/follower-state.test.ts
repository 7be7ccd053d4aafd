import { describe, expect, test } from 'vitest'
import type {
  FollowerEffect,
  FollowerEvent,
  FollowerState,
  LinkProgress,
} from '../../cluster/follower-state.ts'
import { initialFollower, stepFollower } from '../../cluster/follower-state.ts'
import type { LeaderMessage } from '../../src/core/protocol.ts'
import { STREAM_PROTOCOL } from '../../src/core/protocol.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { entry, LIMITS } from './fixtures.ts'

const context = { identity: { id: 'f', name: 'f', scopes: ['items/*'] }, limits: LIMITS }
const CURSOR = { epoch: 'e1', seq: 5 }

const welcome: LeaderMessage = {
  t: 'welcome',
  protocol: STREAM_PROTOCOL,
  id: 'l',
  epoch: 'e1',
  head: 9,
  resume: true,
  clock: '1',
}
const rows: LeaderMessage = { t: 'rows', records: [entry('items/a', 1)], through: 7, head: 9 }
const lastRows: LeaderMessage = { ...rows, through: 9 }

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
  collected: { type: 'collected', rows: [{ seq: 3, record: entry('items/b', 2) }] },
  applied: { type: 'applied', session: 1, progress: progressAt(7) },
  refilled: { type: 'refilled', session: 1, progress: progressAt(0) },
  settled: { type: 'settled', session: 1, n: 1, progress: progressAt(8) },
  welcome: { type: 'message', message: welcome },
  rows: { type: 'message', message: rows },
  lastRows: { type: 'message', message: lastRows },
  leaderBeat: { type: 'message', message: { t: 'beat', through: 7, head: 9 } },
  pushed: { type: 'message', message: { t: 'pushed', n: 1, outcomes: ['applied'], head: 9 } },
} satisfies Record<string, FollowerEvent>

/** Next state and effects, as `state: effect, effect`. Rows and columns must be complete. */
const TABLE: Record<Kind, Record<keyof typeof EVENTS, string>> = {
  offline: {
    up: 'greeting: quiesce',
    quiet: 'offline:',
    down: 'offline:',
    close: 'closed:',
    beat: 'offline:',
    outbox: 'offline:',
    collected: 'offline:',
    applied: 'offline:',
    refilled: 'offline:',
    settled: 'offline:',
    welcome: 'offline:',
    rows: 'offline:',
    lastRows: 'offline:',
    leaderBeat: 'offline:',
    pushed: 'offline:',
  },
  greeting: {
    up: 'greeting: quiesce',
    quiet: 'greeting: send hello',
    down: 'offline:',
    close: 'closed:',
    beat: 'greeting:',
    outbox: 'greeting:',
    collected: 'greeting:',
    applied: 'greeting:',
    refilled: 'greeting:',
    settled: 'greeting:',
    welcome: 'catchingUp: good',
    rows: 'offline: drop',
    lastRows: 'offline: drop',
    leaderBeat: 'offline: drop',
    pushed: 'offline: drop',
  },
  catchingUp: {
    up: 'greeting: quiesce',
    quiet: 'catchingUp:',
    down: 'offline:',
    close: 'closed:',
    beat: 'catchingUp:',
    outbox: 'catchingUp:',
    collected: 'catchingUp:',
    applied: 'catchingUp: send ack',
    refilled: 'catchingUp:',
    settled: 'catchingUp:',
    welcome: 'offline: drop',
    rows: 'catchingUp: merge',
    lastRows: 'live: merge, collect',
    leaderBeat: 'catchingUp: merge',
    pushed: 'offline: drop',
  },
  live: {
    up: 'greeting: quiesce',
    quiet: 'live:',
    down: 'offline:',
    close: 'closed:',
    beat: 'live:',
    outbox: 'live: collect',
    collected: 'live: send push, collect',
    applied: 'live: send ack, collect',
    refilled: 'live: collect',
    settled: 'live: collect',
    welcome: 'offline: drop',
    rows: 'live: merge',
    lastRows: 'live: merge',
    leaderBeat: 'live: merge',
    pushed: 'offline: drop',
  },
  closed: {
    up: 'closed:',
    quiet: 'closed:',
    down: 'closed:',
    close: 'closed:',
    beat: 'closed:',
    outbox: 'closed:',
    collected: 'closed:',
    applied: 'closed:',
    refilled: 'closed:',
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
        message: { t: 'hello', protocol: 1, ...context.identity, cursor: CURSOR, seen: CURSOR },
      },
    ])
  })

  test('a leader whose log does not continue the cursor is owed everything first', () => {
    const greeting = reach([EVENTS.up])
    const other: FollowerEvent = {
      type: 'message',
      message: { ...welcome, epoch: 'e2', resume: false },
    }
    const step = stepFollower(greeting, other, context)
    expect(step.effects.at(-1)).toEqual({
      type: 'refill',
      session: 1,
      from: { epoch: 'e2', seq: 0 },
    })
  })

  test('a leader of another stream protocol is dropped, naming both', () => {
    const message = { ...welcome, protocol: 99 }
    const step = stepFollower(reach([EVENTS.up]), { type: 'message', message }, context)
    expect(step.effects).toEqual([
      { type: 'drop', reason: 'stream protocol 99, this node speaks 1' },
    ])
  })

  test('after the leader was silent for the allowed beats the connection is dropped', () => {
    let state = reach(PATHS.live)
    for (let i = 0; i < LIMITS.maxSilentBeats; i++) {
      state = stepFollower(state, EVENTS.beat, context).state
    }
    expect(state.kind).toBe('live')
    expect(stepFollower(state, EVENTS.beat, context).effects).toEqual([
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
    const message: LeaderMessage = { t: 'pushed', n: 1, outcomes: ['refused'], head: 9 }
    const refused = stepFollower(pushing, { type: 'message', message }, context)
    expect(refused.effects).toMatchObject([{ type: 'settle', rows: [] }])
    const next = stepFollower(refused.state, EVENTS.settled, context)
    expect(next.effects).toEqual([{ type: 'collect', limit: 10, skip: new Set([3]) }])
  })

  test('rows under way are left out of the next push, and pushes stop at the limit', () => {
    const one = stepFollower(pushing, EVENTS.outbox, context)
    expect(one.effects).toEqual([{ type: 'collect', limit: 10, skip: new Set([3]) }])
    const second: FollowerEvent = {
      type: 'collected',
      rows: [{ seq: 4, record: entry('items/c', 3) }],
    }
    const two = stepFollower(one.state, second, context)
    expect(stepFollower(two.state, EVENTS.outbox, context).effects).toEqual([])
  })

  test('answers that arrive after a reconnect change the progress and nothing else', () => {
    const again = [EVENTS.down, EVENTS.up, EVENTS.welcome].reduce(
      (state: FollowerState, event) => stepFollower(state, event, context).state,
      pushing,
    )
    for (const event of [EVENTS.settled, EVENTS.applied, EVENTS.refilled]) {
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
  if (after.kind !== 'live') return
  expect(after.pushes.size, where).toBeLessThanOrEqual(LIMITS.maxPushesInFlight + 1)
}
