/** Followers that are started again under another node of the tree, or under another spelling of its address. */
import {
  allGood,
  badLink,
  disturb,
  type Fault,
  frozen,
  killed,
  spelledOtherwise,
} from '../faults.ts'
import type { RoundKind } from '../round.ts'
import { loaded } from './loaded.ts'
import { growTree } from './tree.ts'

/** Who may follow whom, without a circle. */
const PARENTS: Readonly<Record<string, readonly string[]>> = {
  f: ['c', 'r'],
  e: ['c', 'r', 'f'],
}

const reparented: Fault = async ({ world, random }) => {
  const node = world.node(random.pick(Object.keys(PARENTS)))
  const parents = (PARENTS[node.name] ?? []).filter((name) => name !== node.leader?.name)
  if (random.chance(0.5)) await node.kill()
  else await node.stop()
  await node.follow(world.node(random.pick(parents)), random.pick(['127.0.0.1', 'localhost']))
  await node.start()
}

export const REPARENT: RoundKind = {
  name: 'reparent',
  about: 'followers that move to another node of the tree',
  async play(round) {
    await growTree(round)
    await loaded(round, async (_load, untilMs) => {
      const faults = [reparented, reparented, reparented, badLink, badLink, killed, frozen]
      await disturb(round, [...faults, spelledOtherwise, allGood], untilMs)
    })
  },
}
