/**
 * A virtual clock. Time stands still until `advance` moves it; timers run in the order of their
 * due time, equal times in the order they were set, so every run is the same.
 */
import type { CancelTimer, TimeSource } from '../../src/core/ports/time.ts'
import { NS_PER_MS } from '../../src/core/ports/time.ts'

interface Timer {
  readonly dueNs: bigint
  readonly callback: () => void
}

/** 2026-01-01T00:00:00Z. */
export const FAKE_START_NS = 1_767_225_600_000_000_000n

export class FakeTime implements TimeSource {
  /** Insertion order is the order of equal due times. */
  readonly #timers = new Set<Timer>()
  #elapsedNs = 0n
  #wallOffsetNs: bigint

  constructor(startNs: bigint = FAKE_START_NS) {
    this.#wallOffsetNs = startNs
  }

  wallNs(): bigint {
    return this.#wallOffsetNs + this.#elapsedNs
  }

  monotonicNs(): bigint {
    return this.#elapsedNs
  }

  after(delayMs: number, callback: () => void): CancelTimer {
    const delayNs = BigInt(Math.max(0, Math.round(delayMs * 1_000_000)))
    const timer = { dueNs: this.#elapsedNs + delayNs, callback }
    this.#timers.add(timer)
    return () => {
      this.#timers.delete(timer)
    }
  }

  /** Timers that have not run. */
  get pending(): number {
    return this.#timers.size
  }

  /** Milliseconds until the next timer, or undefined when there is none. */
  get nextDueMs(): number | undefined {
    const next = this.#next()
    return next === undefined ? undefined : Number(next.dueNs - this.#elapsedNs) / 1_000_000
  }

  /** Moves on by `ms` milliseconds and runs every timer that becomes due on the way. */
  advance(ms: number): void {
    const endNs = this.#elapsedNs + BigInt(Math.round(ms * 1_000_000))
    for (let timer = this.#next(); timer && timer.dueNs <= endNs; timer = this.#next()) {
      this.#fire(timer)
    }
    this.#pass(endNs)
  }

  /** Like `advance`, and lets promises settle before the first timer and after each one. */
  async advanceAsync(ms: number): Promise<void> {
    const endNs = this.#elapsedNs + BigInt(Math.round(ms * 1_000_000))
    await settle()
    for (let timer = this.#next(); timer && timer.dueNs <= endNs; timer = this.#next()) {
      this.#fire(timer)
      await settle()
    }
    this.#pass(endNs)
  }

  /** Steps the wall clock by `ms`, which may be negative; the monotonic clock does not notice. */
  jumpWall(ms: number): void {
    this.#wallOffsetNs += BigInt(ms) * NS_PER_MS
  }

  #fire(timer: Timer): void {
    this.#timers.delete(timer)
    this.#pass(timer.dueNs)
    timer.callback()
  }

  /** Never backwards: what a timer runs may take time itself, by `advance`. */
  #pass(toNs: bigint): void {
    if (toNs > this.#elapsedNs) this.#elapsedNs = toNs
  }

  #next(): Timer | undefined {
    let next: Timer | undefined
    for (const timer of this.#timers) {
      if (next === undefined || timer.dueNs < next.dueNs) next = timer
    }
    return next
  }
}

/** Lets every promise that can settle without a timer or I/O do so. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
