import { describe, test } from 'vitest'
import { HISTORIES, runScenario } from './scenario.ts'

/** Per kind of history; `npm run simulate -- --seeds N` runs more. */
const SEEDS = 500

describe('random histories converge and lose no acknowledged write', () => {
  test.each(HISTORIES)('$name', { timeout: 120_000 }, async ({ plans, faults }) => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      await runScenario(seed, plans, faults).catch((cause: Error) => {
        throw new Error(`seed ${seed}: ${cause.message}`, { cause })
      })
    }
  })
})
