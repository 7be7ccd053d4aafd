import { describe, test } from 'vitest'
import type { Faults } from './scenario.ts'
import { runScenario, STAR, TREE } from './scenario.ts'
import type { NodePlan } from './world.ts'

const KILLS: Faults = { powerCuts: false, lostDisks: false }
const POWER_CUTS: Faults = { powerCuts: true, lostDisks: false }
const LOST_DISKS: Faults = { powerCuts: true, lostDisks: true }

/** Runs `count` seeds from `first` on; the error names the seed that failed. */
async function runSeeds(
  first: number,
  count: number,
  plans: readonly NodePlan[],
  faults: Faults,
): Promise<void> {
  for (let seed = first; seed < first + count; seed++) {
    try {
      await runScenario(seed, plans, faults)
    } catch (cause) {
      throw new Error(`seed ${seed}: ${cause instanceof Error ? cause.message : cause}`, { cause })
    }
  }
}

const SEEDS = Number(process.env.SIMULATION_SEEDS ?? 150)
const FIRST = Number(process.env.SIMULATION_FIRST ?? 1)

describe('random histories converge and lose no acknowledged write', () => {
  test.each([
    ['a leader and two followers, processes killed, links cut', STAR, KILLS],
    ['a tree of three levels, processes killed, links cut', TREE, KILLS],
    ['a leader and two followers, power cuts that lose unsynced writes', STAR, POWER_CUTS],
    ['a leader and two followers, disks lost', STAR, LOST_DISKS],
    ['a tree of three levels, power cuts and disks lost', TREE, LOST_DISKS],
  ] as const)('%s', { timeout: 300_000 }, async (_name, plans, faults) => {
    await runSeeds(FIRST, SEEDS, plans, faults)
  })
})
