/** Followers of followers, with bad links, killed and frozen processes. */
import { allGood, allKilled, badLink, disturb, frozen, killed, stopped } from '../faults.ts'
import type { Round, RoundKind } from '../round.ts'
import type { Member } from '../world.ts'
import { loaded } from './loaded.ts'

export const TREE: RoundKind = {
  name: 'tree',
  about: 'a centre, a region, its edge, and another follower of the centre',
  async play(round) {
    await growTree(round)
    await loaded(round, async (_load, untilMs) => {
      await disturb(
        round,
        [badLink, badLink, badLink, killed, stopped, frozen, allGood, allKilled],
        untilMs,
      )
    })
  },
}

/** Centre c; region r and follower f under it; edge e under the region. None is started. */
export async function growTree({ world }: Round): Promise<Record<'c' | 'r' | 'e' | 'f', Member>> {
  const c = await world.add('c')
  const r = await world.add('r')
  const e = await world.add('e')
  const f = await world.add('f')
  await r.follow(c)
  await e.follow(r)
  await f.follow(c)
  return { c, r, e, f }
}
