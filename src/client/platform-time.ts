/** Time and timers of whatever runs the client: a browser, a worker, or Node. */
import type { CancelTimer, TimeSource } from '../core/ports/time.ts'

/** Wall clock of millisecond resolution; `setTimeout` for timers. */
export const PLATFORM_TIME: TimeSource = Object.freeze({
  wallNs: (): bigint => BigInt(Date.now()) * 1_000_000n,
  monotonicNs: (): bigint => BigInt(Math.round(performance.now() * 1_000_000)),
  after(delayMs: number, callback: () => void): CancelTimer {
    const timer = setTimeout(callback, delayMs)
    return () => clearTimeout(timer)
  },
})
