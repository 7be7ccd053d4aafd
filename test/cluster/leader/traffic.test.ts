/** What replication costs on the wire, counted by the engine itself on both sides. */
import { afterEach, describe, expect, test } from 'vitest'
import type { TrafficReport } from '../../../cluster/leader/traffic.ts'
import type { StoredRecord } from '../../../src/core/data/entry.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import { EngineRig, type RigNode } from '../../support/engine-rig.ts'

/** What a client stores: JSON text of about a hundred bytes. */
const VALUE = JSON.stringify({ text: 'v'.repeat(89) })

let rig = new EngineRig()
afterEach(async () => {
  await rig.close()
  rig = new EngineRig()
})

/** Stores `count` entries, the same on every node; what came from a leader is not owed to it. */
async function fill(store: ReplicationStore, count: number, leader?: string): Promise<void> {
  for (let from = 0; from < count; from += 5_000) {
    const length = Math.min(5_000, count - from)
    const records = Array.from({ length }, (_, i): StoredRecord => {
      const created = 1_700_000_000_000_000_000n + BigInt(from + i)
      const key = `items/${from + i}`
      return { kind: 'entry', key, created, updated: 0n, origin: 'seed', data: VALUE }
    })
    await store.merge(records, { source: 'seed', ...(leader === undefined ? {} : { leader }) })
  }
}

interface Pair {
  readonly leader: RigNode
  readonly follower: RigNode
}

/** A leader and a follower that hold the same `count` entries, in step. */
async function pairOf(count: number): Promise<Pair> {
  const leader = await rig.add({ host: 'leader', fill: (store) => fill(store, count) })
  const follower = await rig.add({
    host: 'follower',
    follows: 'leader',
    fill: (store) => fill(store, count, 'http://leader'),
  })
  // Both sides count all of their records first.
  await rig.untilInStep(follower, 600_000)
  return { leader, follower }
}

function trafficOf({ engine }: RigNode): TrafficReport {
  const [link] = engine.status().links
  if (link === undefined) throw new Error('no link')
  return link.traffic
}

/** Bytes of messages, both ways, while `action` runs and until the follower is in step again. */
async function bytesOf({ follower }: Pair, action: () => Promise<void>): Promise<number> {
  const before = trafficOf(follower)
  await action()
  await rig.untilInStep(follower)
  const after = trafficOf(follower)
  return after.bytesIn + after.bytesOut - before.bytesIn - before.bytesOut
}

/** The follower is away while `changes` entries change at the leader. */
async function outage({ leader, follower }: Pair, changes: number): Promise<void> {
  rig.unplug('leader')
  await rig.until(() => follower.engine.status().links[0]?.state === 'offline', 'the outage')
  for (let i = 0; i < changes; i++) await leader.store.set(`items/${i}`, VALUE)
  rig.plug(leader)
}

describe('one change of a hundred bytes', () => {
  test.each([100, 10_000, 1_000_000])(
    'in a list of %i costs each follower less than 1 KB',
    async (count) => {
      const pair = await pairOf(count)
      const bytes = await bytesOf(pair, async () => {
        await pair.leader.store.set('items/7', VALUE)
        const head = pair.leader.store.head
        await rig.until(() => pair.follower.engine.status().links[0]?.cursor === head, 'the change')
      })
      expect(bytes).toBeGreaterThan(VALUE.length)
      expect(bytes).toBeLessThan(1024)
    },
    900_000,
  )

  test('made at a follower costs less than 1 KB', async () => {
    const pair = await pairOf(1000)
    const bytes = await bytesOf(pair, async () => {
      await pair.follower.store.set('items/7', VALUE)
    })
    expect(bytes).toBeGreaterThan(VALUE.length)
    expect(bytes).toBeLessThan(1024)
  })
})

test.each([1_000, 100_000])(
  'coming back to a list of %i after an outage costs what has changed meanwhile',
  async (count) => {
    const pair = await pairOf(count)
    for (const changes of [0, 10, 1_000]) {
      const bytes = await bytesOf(pair, () => outage(pair, changes))
      expect(bytes, `${changes} changes`).toBeLessThan(2_000 + 250 * changes)
      expect(bytes, `${changes} changes`).toBeGreaterThan(VALUE.length * changes)
    }
  },
  600_000,
)

test('an idle follower costs less than 100 bytes a second', async () => {
  const pair = await pairOf(1_000)
  const before = trafficOf(pair.follower)
  const seconds = 600
  await rig.time.advanceAsync(seconds * 1000)
  const after = trafficOf(pair.follower)
  expect(after.messagesIn).toBeGreaterThan(before.messagesIn)
  const bytes = after.bytesIn + after.bytesOut - before.bytesIn - before.bytesOut
  expect(bytes / seconds).toBeLessThan(100)
})

test('both sides count the same messages and bytes', async () => {
  const pair = await pairOf(100)
  await pair.leader.store.set('items/1', VALUE)
  await pair.follower.store.set('items/2', VALUE)
  await rig.untilInStep(pair.follower)
  const both = (): [TrafficReport, TrafficReport | undefined] => [
    trafficOf(pair.follower),
    pair.leader.engine.status().followers[0]?.traffic,
  ]
  await rig.until(() => {
    const [own, seen] = both()
    return seen?.messagesIn === own.messagesOut && seen.messagesOut === own.messagesIn
  }, 'both sides to have counted every message')
  const [own, seen] = both()
  expect(own.messagesOut).toBeGreaterThan(3)
  expect([seen?.bytesIn, seen?.bytesOut]).toEqual([own.bytesOut, own.bytesIn])
})
