/** A leader and its followers, with bad links, killed and frozen processes. */
import {
  allGood,
  allKilled,
  badLink,
  disturb,
  frozen,
  killed,
  spelledOtherwise,
  stopped,
} from '../faults.ts'
import type { RoundKind } from '../round.ts'
import { loaded } from './loaded.ts'

export const STAR: RoundKind = {
  name: 'star',
  about: 'a leader and two followers',
  async play(round) {
    const { world } = round
    const leader = await world.add('a')
    for (const name of ['b', 'c']) await (await world.add(name)).follow(leader)
    await loaded(round, async (_load, untilMs) => {
      const faults = [badLink, badLink, badLink, killed, stopped, frozen, spelledOtherwise]
      await disturb(round, [...faults, allGood, allKilled], untilMs)
    })
  },
}
