import { describe, expect, test } from 'vitest'
import type { FollowerEvent, FollowerState } from '../../../cluster/follower/state/state.ts'
import { initialFollower, stepFollower } from '../../../cluster/follower/state/state.ts'
import { DriftLog } from '../../../cluster/leader/drift-log.ts'
import type { LeaderMessage, PushOutcome } from '../../../src/core/wire/protocol.ts'
import { STREAM_PROTOCOL } from '../../../src/core/wire/protocol.ts'
import { entry, LIMITS } from '../../cluster/fixtures.ts'
import { FakeTime } from '../../support/fake-time.ts'

const context = { identity: { id: 'f', name: 'f', scopes: ['items/*'] }, sets: [], limits: LIMITS }
const progress = { cursor: { epoch: 'e1', seq: 5 }, seen: { epoch: 'e1', seq: 5 } }

const collected = (seq: number): FollowerEvent => ({
  type: 'collected',
  rows: [{ seq, record: entry(`items/${seq}`, seq) }],
  wholeOf: undefined,
})

const pushed = (n: number, outcome: PushOutcome): FollowerEvent => ({
  type: 'message',
  message: { t: 'pushed', n, outcomes: [outcome], head: 9 },
})

const settled = (n: number): FollowerEvent => ({ type: 'settled', session: 1, n, progress })

const LIVE: readonly FollowerEvent[] = [
  { type: 'up' },
  { type: 'quiet', session: 1 },
  {
    type: 'message',
    message: {
      t: 'welcome',
      protocol: STREAM_PROTOCOL,
      id: 'l',
      epoch: 'e1',
      head: 5,
      resume: true,
      continues: true,
      clock: '1',
      forgotten: '0',
    } satisfies LeaderMessage,
  },
  { type: 'message', message: { t: 'rows', records: [], through: 5, head: 5 } },
]

function run(events: readonly FollowerEvent[]) {
  let state: FollowerState = initialFollower(progress)
  let effects: readonly { readonly type: string }[] = []
  for (const event of events) ({ state, effects } = stepFollower(state, event, context))
  return { state, effects }
}

const TWO_PUSHES = [...LIVE, collected(1), collected(2)]

describe('rows stamped too far in the future', () => {
  test('stay in the outbox, and nothing more is sent until they have new stamps', () => {
    const events = [...TWO_PUSHES, pushed(1, 'drift')]
    expect(run(events).effects).toMatchObject([{ type: 'settle', n: 1, rows: [] }])
    expect(run([...events, settled(1)]).effects).toEqual([])
    expect(run([...events, { type: 'outbox' }]).effects).toEqual([])
    expect(run([...events, collected(3)]).effects).toEqual([])
  })

  test('are restamped together when every push is settled, in the order they were sent', () => {
    const events = [...TWO_PUSHES, pushed(1, 'drift'), settled(1), pushed(2, 'drift'), settled(2)]
    expect(run(events).effects).toEqual([
      {
        type: 'restamp',
        session: 1,
        rows: [
          { seq: 1, key: 'items/1' },
          { seq: 2, key: 'items/2' },
        ],
      },
    ])
  })

  test('go up again once they have new stamps; on another connection that is no news', () => {
    const events = [...TWO_PUSHES, pushed(1, 'drift'), settled(1), pushed(2, 'applied'), settled(2)]
    const again = run([...events, { type: 'restamped', session: 1 }])
    expect(again.effects).toMatchObject([{ type: 'collect', skip: new Set() }])
    expect(run([...events, { type: 'restamped', session: 7 }]).effects).toEqual([])
  })

  test('are pushed anew on the next connection', () => {
    const events: FollowerEvent[] = [...TWO_PUSHES, pushed(1, 'drift'), { type: 'down' }]
    const rejoined = LIVE.map((event) =>
      event.type === 'quiet' ? { ...event, session: 2 } : event,
    )
    const { state, effects } = run([...events, ...rejoined, { type: 'outbox' }])
    expect(state).toMatchObject({ kind: 'live', drifted: [] })
    expect(effects).toMatchObject([{ type: 'collect', skip: new Set() }])
  })
})

test('refusals of a follower are all counted, and told at most once a minute', () => {
  const time = new FakeTime()
  const told: unknown[] = []
  const note = (message: string, details?: object): void => void told.push([message, details])
  const logger = { debug: note, info: note, warn: note, error: note }
  const log = new DriftLog({ time, logger })
  const records = [entry('items/a', 3_000_000), entry('items/b', 5_000_000)]
  log.note('f', records, ['applied', 'superseded'], 1_000_000n)
  expect(told).toEqual([])
  for (let i = 0; i < 3; i++) log.note('f', records, ['applied', 'drift'], 1_000_000n)
  expect(log.count).toBe(3)
  expect(told).toMatchObject([[expect.any(String), { key: 'items/b', beyondMs: 4, refused: 1 }]])
  time.advance(60_000)
  log.note('f', records, ['drift', 'drift'], 1_000_000n)
  expect(told).toHaveLength(2)
  expect(log.count).toBe(5)
})
