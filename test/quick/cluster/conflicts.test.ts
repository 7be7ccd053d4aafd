/** The conflict log against a model that knows who had seen what. */
import { expect, test } from 'vitest'
import { SeededRandom } from '../../support/seeded-random.ts'
import { ModelWorld } from './conflict-model.ts'

const SEEDS = 400
const STEPS = 120

test('the log holds what was lost unseen, and nothing that its winner had seen', async () => {
  let logged = 0
  for (let seed = 1; seed <= SEEDS; seed++) {
    const world = new ModelWorld(new SeededRandom(seed))
    for (const node of world.nodes) {
      await node.start()
      node.skew()
    }
    for (let i = 0; i < STEPS; i++) await world.step()
    await world.settle()
    expect({ seed, faults: await world.faults() }).toEqual({ seed, faults: [] })
    logged += (await world.conflicts()).length
    await world.stop()
  }
  expect(logged).toBeGreaterThan(SEEDS)
})
