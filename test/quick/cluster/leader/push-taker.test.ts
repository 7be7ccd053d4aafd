import { afterEach, beforeEach, expect, test } from 'vitest'
import { PushTaker } from '../../../../cluster/leader/push-taker.ts'
import {
  GREETING,
  type StreamingState,
  stepLeaderSession,
} from '../../../../cluster/leader/session.ts'
import { planPlacement } from '../../../../cluster/members/placement.ts'
import { FollowerProgress } from '../../../../cluster/progress/follower-progress.ts'
import { LivedTime } from '../../../../cluster/progress/lived-time.ts'
import { HybridClock } from '../../../../src/core/data/clock.ts'
import type { StoredRecord } from '../../../../src/core/data/entry.ts'
import { SILENT_LOGGER as logger } from '../../../../src/core/ports/logger.ts'
import { STREAM_PROTOCOL } from '../../../../src/core/wire/protocol.ts'
import { ConflictLog } from '../../../../src/store/conflicts/conflict-log.ts'
import type { ReplicationStore } from '../../../../src/store/replication-store.ts'
import { MemoryStorage } from '../../../../storage-adapters/memory/memory.ts'
import { entry, LIMITS } from '../../../cluster/fixtures.ts'
import { ManualTime, openStore } from '../../../support/store.ts'

/** Beyond what a leader takes, who lives when `ManualTime` begins. */
const FAR = 1_800_000_000_000_000_000

let store: ReplicationStore
let taker: PushTaker
let clock: HybridClock

beforeEach(async () => {
  const adapter = new MemoryStorage()
  const time = new ManualTime()
  clock = new HybridClock(time)
  store = await openStore({ adapter, clock })
  const placement = planPlacement([{ path: 'items/*' }], undefined, 'nodes/*')
  const followerProgress = new FollowerProgress({
    ...{ store, placement, clock, time, logger },
    lived: new LivedTime({ store, clock, time, logger, ages: { tombstones: 0, conflicts: 1 } }),
    tombstoneRetentionMs: 0,
    horizonOfLeader: () => 0n,
    removed: () => undefined,
  })
  const conflicts = new ConflictLog({
    ...{ adapter, maxEntries: 100, oldNs: () => 0n },
    run: (planner) => store.run(planner),
    now: () => time.wallNs(),
    scopeOf: () => 'items/*',
    onError: (error) => {
      throw error
    },
  })
  const parts = {
    store,
    placement,
    clock,
    time,
    followerProgress,
    conflicts,
    logger,
    limits: LIMITS,
  }
  taker = new PushTaker(parts, 'stream')
})

afterEach(() => store.close())

/** A follower that has everything up to `cursor`. */
function session(cursor: number): StreamingState {
  const { state } = stepLeaderSession(
    GREETING,
    {
      type: 'hello',
      hello: {
        t: 'hello',
        protocol: STREAM_PROTOCOL,
        id: 'f',
        name: 'f',
        scopes: ['items/*'],
        cursor: { epoch: 'e', seq: cursor },
        seen: null,
        base: null,
      },
      canResume: true,
      leader: {
        ...{ id: 'l', epoch: 'e', head: 9, clock: '1', continues: true, forgotten: '0' },
        bus: undefined,
      },
    },
    LIMITS,
  )
  if (state.kind !== 'streaming') throw new Error(`the session is ${state.kind}`)
  return state
}

const push = (...records: StoredRecord[]) => ({ records })
const keysFrom = async (after: number): Promise<string[]> =>
  (await store.log(after, 10)).rows.map(({ record }) => record.key)

test('what a record loses against is told again once its follower had to give earlier stamps', async () => {
  await store.merge([entry('items/a', FAR), entry('items/b', FAR)], { source: 'above' })
  expect((await taker.take(push(entry('items/c', FAR)), session(1))).outcomes).toEqual(['drift'])
  const lost = push(entry('items/a', 5), entry('items/b', 5))
  expect((await taker.take(lost, session(1))).outcomes).toEqual(['superseded', 'superseded'])
  // What the follower has not passed comes anyhow.
  expect(await keysFrom(2)).toEqual(['items/a'])
  expect((await store.get('items/a'))?.created).toBe(BigInt(FAR))
})

test('nothing is told again to a follower whose stamps were all taken', async () => {
  await store.merge([entry('items/a', 7)], { source: 'above' })
  expect((await taker.take(push(entry('items/a', 5)), session(1))).outcomes).toEqual(['superseded'])
  expect(await keysFrom(1)).toEqual([])
})

test('what is outside the scopes is refused, and the rest is taken', async () => {
  const records = push(entry('other', 5), entry('items/a', 5))
  expect((await taker.take(records, session(0))).outcomes).toEqual(['refused', 'applied'])
  expect(await keysFrom(0)).toEqual(['items/a'])
})
