/** Taking back a clock that was too far ahead, and what the node writes under with it. */
import type { HybridClock } from '../../core/data/clock.ts'
import type { Planner } from '../planning/planner.ts'

/**
 * Takes the clock back to `stamp`.
 * @throws StateError of the storage; the clock is then as it was.
 */
export async function lowerMaxStamp(
  clock: HybridClock,
  stamp: bigint,
  run: (planner: Planner<void>) => Promise<void>,
): Promise<void> {
  const { last } = clock
  try {
    await run(planLowerMaxStamp(clock, stamp))
  } catch (error) {
    clock.restore(last)
    throw error
  }
}

function planLowerMaxStamp(clock: HybridClock, stamp: bigint): Planner<void> {
  return {
    reads: () => ({}),
    plan({ identity }) {
      identity.maxStampLowered(clock.last)
      clock.lowerMaxStamp(stamp)
      return { plan: undefined, result: undefined }
    },
  }
}
