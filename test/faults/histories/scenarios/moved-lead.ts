/**
 * Leads that are moved by hand: nodes are started again with another `--cluster-url`, in any order, so that
 * there may be two leaders for a while, or a circle. Conditional writes pause meanwhile, and go on with
 * other keys: the product does not promise that two configured leaders decide once.
 */
import { allGood, badLink, disturb, type FaultContext, frozen, killed, lasts } from '../faults.ts'
import type { Load } from '../load.ts'
import type { RoundKind } from '../round.ts'
import type { Member } from '../world.ts'
import { loaded } from './loaded.ts'

export const MOVED_LEAD: RoundKind = {
  name: 'moved-lead',
  about: 'leads that are moved by hand',
  async play(round) {
    const { world } = round
    const leader = await world.add('a')
    for (const name of ['b', 'c']) await (await world.add(name)).follow(leader)
    await loaded(round, async (load, untilMs) => {
      const moved = (context: FaultContext): Promise<void> => moveLead(context, load)
      await disturb(round, [moved, moved, badLink, killed, frozen, allGood], untilMs)
    })
  },
}

async function moveLead({ world, random, record }: FaultContext, load: Load): Promise<void> {
  const next = random.pick(world.nodes.filter((node) => node.leader !== undefined))
  await load.pauseConditional()
  record.event('lead moves', next.name)
  for (const node of shuffled(world.nodes, (below) => random.below(below))) {
    if (random.chance(0.5)) await node.kill()
    else await node.stop()
    await node.follow(node === next ? undefined : next)
    await node.start()
    await lasts(random, 1000)
  }
  load.resumeConditional()
}

function shuffled(nodes: readonly Member[], below: (limit: number) => number): Member[] {
  const rest = [...nodes]
  return nodes.flatMap(() => rest.splice(below(rest.length), 1))
}
