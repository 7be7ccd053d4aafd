/** A scope that nodes begin to replicate one after the other, when all of them hold keys of it already. */
import { allGood, badLink, disturb, type FaultContext, killed, lasts } from '../faults.ts'
import type { RoundKind } from '../round.ts'
import { DEFAULT_KEYS } from '../world.ts'
import { loaded, PLAIN_KEYS } from './loaded.ts'

const LATE = 'late/*'
const LATE_KEYS = Array.from({ length: 5 }, (_, i) => `late/${i}`)

export const SCOPES: RoundKind = {
  name: 'scopes',
  about: 'a scope that is added to one node after the other',
  async play(round) {
    const { world } = round
    const leader = await world.add('a')
    for (const name of ['b', 'c']) await (await world.add(name)).follow(leader)
    const plainKeys = [...PLAIN_KEYS, ...LATE_KEYS]
    await loaded(
      round,
      async (_load, untilMs) => {
        await disturb(round, [badLink, killed, allGood], performance.now() + 3000)
        await addScope(round)
        await disturb(round, [badLink, killed, allGood], untilMs)
      },
      { plainKeys },
    )
  },
}

async function addScope({ world, random, record }: FaultContext): Promise<void> {
  const order = random.chance(0.5) ? [...world.nodes] : [...world.nodes].reverse()
  for (const node of order) {
    record.event('scope', node.name, { detail: LATE })
    await node.stop()
    node.keys = [...DEFAULT_KEYS, LATE]
    await node.start()
    await lasts(random, 1000)
  }
}
