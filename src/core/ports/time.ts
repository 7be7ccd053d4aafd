/**
 * The engine's view of time. Everything that waits or stamps takes one of these, so that the
 * simulation can run it on a virtual clock. The real one is `src/server/process/system-time.ts`.
 */

/** Stops a timer; calling it again, or after the timer ran, does nothing. */
export type CancelTimer = () => void

export interface TimeSource {
  /** Wall clock, nanoseconds since the Unix epoch. May jump. */
  wallNs(): bigint
  /** Monotonic clock, nanoseconds since an arbitrary point. Never goes back. */
  monotonicNs(): bigint
  /** Runs `callback` once after `delayMs` milliseconds. */
  after(delayMs: number, callback: () => void): CancelTimer
}

/** Randomness as a dependency: uniform in [0, 1). */
export type Random = () => number

export const NS_PER_MS = 1_000_000n
export const NS_PER_SECOND = 1_000_000_000n
