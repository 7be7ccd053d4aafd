/** Nodes whose wall clocks are wrong, and jump: from seconds to ten years, ahead and behind, the leader's too. */
import { allGood, badLink, disturb, type Fault, frozen, killed, lasts, stopped } from '../faults.ts'
import type { Round, RoundKind } from '../round.ts'
import { loaded } from './loaded.ts'
import { growTree } from './tree.ts'

const MINUTE = 60
const DAY = 86_400
/** Seconds. Up to a minute ahead is let pass, more is refused by a leader. */
const OFFSETS: readonly number[] = [25, 61, 90, 10 * MINUTE, DAY, 3650 * DAY]

const clockJumps: Fault = async ({ world, random }) => {
  random.pick(world.nodes).setClock(wrongBy({ random }))
  await lasts(random)
}

const clockIsSetRight: Fault = async ({ world, random }) => {
  random.pick(world.nodes).setClock(0)
  await lasts(random)
}

function wrongBy({ random }: Pick<Round, 'random'>): number {
  return random.pick(OFFSETS) * random.pick([1, -1])
}

async function playWithWrongClocks(round: Round): Promise<void> {
  for (const node of round.world.nodes) {
    if (round.random.chance(0.6)) node.setClock(wrongBy(round))
  }
  await loaded(round, async (_load, untilMs) => {
    const clocks = [clockJumps, clockJumps, clockIsSetRight]
    await disturb(round, [...clocks, badLink, badLink, killed, stopped, frozen, allGood], untilMs)
  })
}

export const CLOCKS: RoundKind = {
  name: 'clocks',
  about: 'a leader and two followers with wrong clocks',
  needs: 'faketime',
  async play(round) {
    const leader = await round.world.add('a')
    for (const name of ['b', 'c']) await (await round.world.add(name)).follow(leader)
    await playWithWrongClocks(round)
  },
}

export const CLOCKS_TREE: RoundKind = {
  name: 'clocks-tree',
  about: 'followers of followers with wrong clocks',
  needs: 'faketime',
  async play(round) {
    await growTree(round)
    await playWithWrongClocks(round)
  },
}
