/** Random writes and deletes on all sides, with cuts and lost calls; then all must hold the same. */
import { expect, test } from 'vitest'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { freePort } from '../../support/free-port.ts'
import { SeededRandom } from '../../support/seeded-random.ts'
import { waitFor } from '../../support/wait.ts'
import { OutageOracle } from './outage-oracle.ts'
import { OwnNode, startOwn, startPeer, thingsOf } from './own-node.ts'
import type { PivotPeer } from './peer.ts'

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f']

type Side = OwnNode | PivotPeer

async function thingsAt(side: Side): Promise<Record<string, string>> {
  return side instanceof OwnNode ? side.things() : thingsOf(side)
}

/** One write or delete, the value unlike any other. */
async function change(side: Side, random: SeededRandom, value: number): Promise<void> {
  const key = `things/${NAMES[random.below(NAMES.length)]}`
  const isThere = (await thingsAt(side))[key] !== undefined
  if (isThere && random.below(3) === 0) {
    // It may have been deleted by the other side meanwhile.
    await side.delete(key).catch(() => undefined)
  } else await side.set(key, String(value))
}

async function allSame(sides: readonly Side[], seed: number): Promise<void> {
  let seen: Record<string, string>[] = []
  await waitFor(
    async () => {
      seen = await Promise.all(sides.map(thingsAt))
      return seen.every((things) => JSON.stringify(things) === JSON.stringify(seen[0]))
    },
    { what: `convergence, seed ${seed}`, deadlineMs: 60_000 },
  ).catch((error: unknown) => {
    throw new Error(`seed ${seed}: ${JSON.stringify(seen)}`, { cause: error })
  })
}

test.each([1, 2, 3, 4, 5, 6])(
  'two of our followers and their 2.0 leader, seed %i',
  async (seed) => {
    const random = new SeededRandom(seed)
    const leader = await startPeer()
    const a = await startOwn({ follows: leader.address })
    const b = await startOwn({ follows: leader.address })
    await Promise.all([a.speaking(), b.speaking()])
    const sides = [leader, a, b]
    for (let i = 0; i < 60; i++) {
      if (random.below(8) === 0) leader.cut(random.below(2) === 0)
      const side = sides[random.below(3)]
      if (side !== undefined) await change(side, random, i)
    }
    leader.cut(false)
    await allSame(sides, seed)
    await waitFor(() => a.outbox + b.outbox === 0)
    await allSame(sides, seed)
  },
)

test.each([1, 2, 3, 4, 5, 6])(
  'our leader, a follower of ours and two 2.0 nodes, seed %i',
  async (seed) => {
    const random = new SeededRandom(seed)
    const leader = await startOwn()
    const own = await startOwn({ follows: leader.address })
    const one = await startPeer({ leader: leader.address })
    const two = await startPeer({ leader: leader.address })
    leader.lists(one, two)
    await one.register('one')
    await two.register('two')
    const sides = [leader, own, one, two]
    for (let i = 0; i < 60; i++) {
      if (random.below(8) === 0) one.cut(random.below(2) === 0)
      if (random.below(8) === 0) two.cut(random.below(2) === 0)
      const side = sides[random.below(4)]
      if (side !== undefined) await change(side, random, i)
    }
    one.cut(false)
    two.cut(false)
    await allSame(sides, seed)
    expect(Object.keys(await leader.things()).length).toBeGreaterThan(0)
  },
)

/** Some changes on one side, noted by the oracle. */
async function changesApart(
  name: string,
  side: Side,
  random: SeededRandom,
  oracle: OutageOracle,
): Promise<void> {
  for (let i = random.below(6); i > 0; i--) {
    const key = `things/${NAMES[random.below(NAMES.length)]}`
    if ((await thingsAt(side))[key] !== undefined && random.below(2) === 0) {
      await side.delete(key)
      oracle.changed(name, key, undefined)
    } else {
      const value = JSON.stringify(`${name} ${random.below(1_000_000)}`)
      await side.set(key, value)
      oracle.changed(name, key, value)
    }
  }
}

/** All hold the same, the leader has seen that at its 2.0 nodes, and those are left alone. */
async function inStep(leader: Side, nodes: readonly Side[], seed: number): Promise<void> {
  await allSame([leader, ...nodes], seed)
  for (const node of nodes) {
    if (node instanceof OwnNode) {
      if (leader instanceof OwnNode) continue
      await waitFor(() => node.outbox === 0)
      await waitFor(() => node.contextCovers(leader.url, 'things/*'))
      continue
    }
    for (const path of ['things/*', 'nodes/*']) {
      if (leader instanceof OwnNode) await waitFor(() => leader.contextCovers(node.address, path))
    }
    let taken = -1
    await waitFor(
      () => {
        const isQuiet = taken === node.requests && node.isIdle
        taken = node.requests
        return isQuiet
      },
      { intervalMs: 150 },
    )
  }
  await allSame([leader, ...nodes], seed)
}

test.each([1, 2, 3, 4, 5, 6, 7, 8])(
  'what is changed apart under our leader holds after the outage, seed %i',
  async (seed) => {
    const random = new SeededRandom(seed)
    const storage = new MemoryStorage()
    const port = await freePort()
    let leader = await startOwn({ storage, port })
    const own = await startOwn({ follows: leader.address })
    const one = await startPeer({ leader: leader.address, autoSync: true, retryMs: 50 })
    const two = await startPeer({ leader: leader.address })
    leader.lists(one, two)
    await one.register('one')
    await two.register('two')
    for (const name of NAMES) await leader.set(`things/${name}`, `"${name}"`)
    for (let round = 0; round < 3; round++) {
      await inStep(leader, [own, one, two], seed)
      const oracle = new OutageOracle(await leader.things())
      const isLeaderAway = random.below(2) === 0
      const cut = [one, two].filter(() => isLeaderAway || random.below(3) > 0)
      for (const node of cut) node.cut(true)
      if (isLeaderAway) await leader.server.close()
      else await changesApart('leader', leader, random, oracle)
      for (const [i, node] of cut.entries()) {
        await changesApart(`node ${i}`, node, random, oracle)
        if (random.below(3) > 0) continue
        await node.stop()
        await node.start()
      }
      if (isLeaderAway) {
        await changesApart('follower', own, random, oracle)
        leader = await startOwn({ storage, port, lists: [one, two] })
        if (random.below(2) === 0) await changesApart('leader', leader, random, oracle)
      }
      for (const node of cut) node.cut(false)
      for (const node of cut) await node.read('things/a')
      await inStep(leader, [own, one, two], seed)
      expect(oracle.faults(await leader.things()), `seed ${seed}, round ${round}`).toEqual([])
    }
  },
)

test.each([1, 2, 3, 4, 5, 6, 7, 8])(
  'what is changed apart under a 2.0 leader holds after the outage, seed %i',
  async (seed) => {
    const random = new SeededRandom(seed)
    const leader = await startPeer()
    const storage = new MemoryStorage()
    let a = await startOwn({ follows: leader.address, storage })
    const b = await startOwn({ follows: leader.address })
    await Promise.all([a.speaking(), b.speaking()])
    for (const name of NAMES) await leader.set(`things/${name}`, `"${name}"`)
    for (let round = 0; round < 3; round++) {
      await inStep(leader, [a, b], seed)
      await Promise.all([a.speaking(), b.speaking()])
      const oracle = new OutageOracle(await a.things())
      leader.cut(true)
      await changesApart('a', a, random, oracle)
      await changesApart('b', b, random, oracle)
      const isAway = random.below(2) === 0
      if (isAway) await a.server.close()
      await changesApart('leader', leader, random, oracle)
      leader.cut(false)
      if (isAway) a = await startOwn({ follows: leader.address, storage })
      await a.speaking()
      await inStep(leader, [a, b], seed)
      expect(oracle.faults(await a.things()), `seed ${seed}, round ${round}`).toEqual([])
    }
  },
)

test('the oracle finds a write that is lost, a delete that is undone, and a value from nowhere', () => {
  const oracle = new OutageOracle({ kept: '1', written: '1', deleted: '1', both: '1' })
  oracle.changed('a', 'written', '2')
  oracle.changed('a', 'deleted', undefined)
  oracle.changed('a', 'both', '2')
  oracle.changed('b', 'both', '3')
  expect(oracle.faults({ kept: '1', written: '2', both: '3' })).toEqual([])
  const faults = oracle.faults({ written: '1', deleted: '1', both: '1', other: '1' })
  expect(faults).toHaveLength(5)
})
