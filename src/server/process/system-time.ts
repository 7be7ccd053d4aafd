/** The real TimeSource: the machine's clocks and timers. */
import type { TimeSource } from '../../core/ports/time.ts'
import { NS_PER_MS } from '../../core/ports/time.ts'

/** How far the two clocks may drift apart before the finer one is set by the coarser. */
const MAX_DEVIATION_NS = 2n * NS_PER_MS
/** Longest delay a platform timer can take. */
const MAX_DELAY_MS = 2 ** 31 - 1

/**
 * Wall time in nanoseconds: the millisecond clock, refined by the monotonic one. When the wall clock
 * is stepped, it follows at the next reading.
 */
export function createSystemTime(): TimeSource {
  let anchorWall = BigInt(Date.now()) * NS_PER_MS
  let anchorMonotonic = process.hrtime.bigint()
  return {
    wallNs: () => {
      const monotonic = process.hrtime.bigint()
      const refined = anchorWall + (monotonic - anchorMonotonic)
      const coarse = BigInt(Date.now()) * NS_PER_MS
      const deviation = refined > coarse ? refined - coarse : coarse - refined
      if (deviation <= MAX_DEVIATION_NS) return refined
      anchorWall = coarse
      anchorMonotonic = monotonic
      return coarse
    },
    monotonicNs: () => process.hrtime.bigint(),
    after: (delayMs, callback) => {
      const timer = setTimeout(callback, Math.min(Math.max(delayMs, 0), MAX_DELAY_MS))
      return () => clearTimeout(timer)
    },
  }
}
