/**
 * When pools hand over what waits. Changes of one turn of the event loop leave together at its end. Where
 * handing over takes long, as with thousands of subscribers, a short pause follows it, in which more may
 * gather: until no write is under way, within bounds. What came during a long flush then leaves in one
 * write per socket, so that throughput grows with the load, there is always time to read requests,
 * and a node that keeps up hardly waits.
 */
import { type CancelTimer, NS_PER_MS, type TimeSource } from '../core/ports/time.ts'

export interface PacerOptions {
  readonly time: TimeSource
  /** Runs its argument when the current turn of the event loop has ended. */
  readonly endOfTurn: (run: () => void) => void
  /** Resolves when no write is under way; without it pauses are as long as they may be. Must not reject. */
  readonly settled?: (() => Promise<void>) | undefined
}

/** Work that took less is followed by no pause. */
const SHORT_NS = NS_PER_MS
/** A pause is at least and at most these parts of the work before it (measured, see bench/NOTES.md). */
const LEAST_SHARE = 16n
const MOST_SHARE = 4n

export class Pacer {
  readonly #options: PacerOptions
  readonly #flush: () => void
  #state: 'resting' | 'due' | 'closed' = 'resting'
  /** Monotonic times: before the first nothing is handed over, from the last on whatever waits. */
  #leastEndNs = 0n
  #mostEndNs = 0n
  #cancelLeast: CancelTimer | undefined
  #cancelMost: CancelTimer | undefined
  #isSettling = false
  #done: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined

  /** @param flush hands over everything that waits; must not throw */
  constructor(options: PacerOptions, flush: () => void) {
    this.#options = options
    this.#flush = flush
  }

  /** Something waits: `flush` runs once, soon. */
  request(): void {
    if (this.#state !== 'resting') return
    this.#state = 'due'
    const leftMs = this.#leftMs(this.#mostEndNs)
    if (leftMs === 0) {
      this.#options.endOfTurn(() => this.#run())
      return
    }
    this.#cancelMost = this.#options.time.after(leftMs, () => this.#run())
    this.#runOnceSettled()
  }

  /** Settles when what waits now has been handed over; undefined when nothing waits. */
  flushed(): Promise<void> | undefined {
    if (this.#state !== 'due') return undefined
    this.#done ??= deferred()
    return this.#done.promise
  }

  /** Nothing is handed over any more. Idempotent. */
  close(): void {
    this.#state = 'closed'
    this.#cancelLeast?.()
    this.#cancelMost?.()
    this.#settle()
  }

  /** At most one of these waits, however long writes go on. */
  #runOnceSettled(): void {
    const { settled, time, endOfTurn } = this.#options
    if (settled === undefined || this.#isSettling) return
    this.#isSettling = true
    const run = (): void => {
      this.#isSettling = false
      this.#run()
    }
    void settled().then(() => {
      const leftMs = this.#leftMs(this.#leastEndNs)
      if (leftMs === 0) endOfTurn(run)
      else if (this.#state !== 'closed') this.#cancelLeast = time.after(leftMs, run)
    })
  }

  #leftMs(endNs: bigint): number {
    const leftNs = endNs - this.#options.time.monotonicNs()
    return leftNs <= 0n ? 0 : Math.ceil(Number(leftNs) / 1e6)
  }

  #run(): void {
    if (this.#state !== 'due') return
    this.#state = 'resting'
    this.#cancelMost?.()
    const { time } = this.#options
    const beginNs = time.monotonicNs()
    this.#flush()
    const endNs = time.monotonicNs()
    const spentNs = endNs - beginNs
    const workNs = spentNs < SHORT_NS ? 0n : spentNs
    this.#leastEndNs = endNs + workNs / LEAST_SHARE
    this.#mostEndNs = endNs + workNs / MOST_SHARE
    this.#settle()
  }

  #settle(): void {
    const done = this.#done
    this.#done = undefined
    done?.resolve()
  }
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined
  const promise = new Promise<void>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}
