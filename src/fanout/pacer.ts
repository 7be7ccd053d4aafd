/**
 * When pools hand over what waits. Changes of one turn of the event loop leave together at its end. Where
 * handing over takes long, as with thousands of subscribers, a short pause follows it: only a node near
 * its limit notices, and there changes gather and leave in one write per socket, so that throughput
 * grows with the load and there is always time to read requests.
 */
import { type CancelTimer, NS_PER_MS, type TimeSource } from '../core/time.ts'

export interface PacerOptions {
  readonly time: TimeSource
  /** Runs its argument when the current turn of the event loop has ended. */
  readonly endOfTurn: (run: () => void) => void
}

/** Work that took less is followed by no pause. */
const SHORT_NS = NS_PER_MS
/** A pause is this part of the work before it. */
const PAUSE_SHARE = 4n

export class Pacer {
  readonly #options: PacerOptions
  readonly #flush: () => void
  #state: 'resting' | 'due' | 'closed' = 'resting'
  #cancelPause: CancelTimer | undefined
  /** Monotonic time before which nothing is handed over. */
  #notBeforeNs = 0n
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
    const { time, endOfTurn } = this.#options
    const waitNs = this.#notBeforeNs - time.monotonicNs()
    if (waitNs <= 0n) endOfTurn(() => this.#run())
    else this.#cancelPause = time.after(Math.ceil(Number(waitNs) / 1e6), () => this.#run())
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
    this.#cancelPause?.()
    this.#settle()
  }

  #run(): void {
    if (this.#state !== 'due') return
    this.#state = 'resting'
    const { time } = this.#options
    const beginNs = time.monotonicNs()
    this.#flush()
    const endNs = time.monotonicNs()
    const spentNs = endNs - beginNs
    this.#notBeforeNs = spentNs < SHORT_NS ? endNs : endNs + spentNs / PAUSE_SHARE
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
