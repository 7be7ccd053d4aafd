/** Nodes whose wall clocks are wrong, and jump: from seconds to ten years, ahead and behind, the leader's too. */
import { setTimeout as delay } from 'node:timers/promises'
import { allGood, badLink, disturb, type Fault, frozen, killed, lasts, stopped } from '../faults.ts'
import type { Round, RoundKind } from '../round.ts'
import { loaded } from './loaded.ts'
import { growTree } from './tree.ts'

const MINUTE = 60
const DAY = 86_400
/** Seconds. Up to a minute ahead is let pass, more is refused by a leader. */
const OFFSETS: readonly number[] = [25, 61, 90, 10 * MINUTE, DAY, 3650 * DAY]

/** How long the edge of a region is away from it while that meets its centre. */
const REGION_ALONE_MS = 4000

export const clockJumps: Fault = async ({ world, random }) => {
  random.pick(world.nodes).setClock(wrongBy({ random }))
  await lasts(random)
}

export const clockIsSetRight: Fault = async ({ world, random }) => {
  random.pick(world.nodes).setClock(0)
  await lasts(random)
}

function wrongBy({ random }: Pick<Round, 'random'>): number {
  return random.pick(OFFSETS) * random.pick([1, -1])
}

/** `begin`: what happens first. Without it clocks are wrong from the beginning. */
async function playWithWrongClocks(round: Round, begin?: () => Promise<void>): Promise<void> {
  for (const node of begin === undefined ? round.world.nodes : []) {
    if (round.random.chance(0.6)) node.setClock(wrongBy(round))
  }
  await loaded(round, async (_load, untilMs) => {
    await begin?.()
    const clocks = [clockJumps, clockJumps, clockIsSetRight]
    await disturb(round, [...clocks, badLink, badLink, killed, stopped, frozen, allGood], untilMs)
  })
}

export const CLOCKS: RoundKind = {
  name: 'clocks',
  about: 'a leader and two followers with wrong clocks',
  needs: ['faketime'],
  async play(round) {
    const leader = await round.world.add('a')
    for (const name of ['b', 'c']) await (await round.world.add(name)).follow(leader)
    await playWithWrongClocks(round)
  },
}

export const CLOCKS_TREE: RoundKind = {
  name: 'clocks-tree',
  about: 'followers of followers with wrong clocks',
  needs: ['faketime'],
  async play(round) {
    const { r, e } = await growTree(round)
    // A region that has not met its centre yet does not know that its clock is wrong, and its edge takes its stamps.
    if (round.random.chance(0.5)) {
      r.link.set('cut')
      r.setClock(61 + round.random.below(8))
      await playWithWrongClocks(round, async () => {
        await lasts(round.random)
        e.link.set('cut')
        r.link.set('open')
        await delay(REGION_ALONE_MS)
      })
    } else {
      await playWithWrongClocks(round)
    }
  },
}
