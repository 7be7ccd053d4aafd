/** Taking back a clock that was too far ahead, and the next identity with it, in one batch. */
import type { HybridClock } from '../core/clock.ts'
import { encodeIdentity, nextIdentity, ORIGIN_ROW } from './identity.ts'
import type { Planner } from './operations.ts'

/**
 * Takes the clock back to `stamp`, and the next identity with it.
 * @throws StateError of the storage; the clock is then as it was.
 */
export async function comeDown(
  clock: HybridClock,
  stamp: bigint,
  run: (planner: Planner<void>) => Promise<void>,
): Promise<void> {
  const { last } = clock
  try {
    await run(planComeDown(clock, stamp))
  } catch (error) {
    clock.restore(last)
    throw error
  }
}

function planComeDown(clock: HybridClock, stamp: bigint): Planner<void> {
  return {
    reads: () => ({}),
    plan(context) {
      const reach = clock.last
      if (reach <= stamp) return { plan: undefined, result: undefined }
      clock.comeDown(stamp)
      const next = nextIdentity(context.identity, reach)
      const meta = new Map([[ORIGIN_ROW, encodeIdentity(next)]])
      return { plan: { slots: [], meta }, result: undefined }
    },
  }
}
