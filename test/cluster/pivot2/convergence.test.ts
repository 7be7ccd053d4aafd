/** Random writes and deletes on all sides, with cuts and lost calls; then all must hold the same. */
import { expect, test } from 'vitest'
import { SeededRandom } from '../../support/seeded-random.ts'
import { waitFor } from '../../support/wait.ts'
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
