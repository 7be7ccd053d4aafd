/**
 * Since when a storage has not answered: a disk or a database that hangs fails nothing, so nobody would hear
 * of it. Logged once when it begins and once when it is over.
 */
import type { Logger } from '../../core/ports/logger.ts'
import { type CancelTimer, NS_PER_MS, type TimeSource } from '../../core/ports/time.ts'

/** Milliseconds without an answer to a call after which the storage counts as silent. */
export const SILENT_MS = 5000

/** A call under way. */
interface Call {
  readonly beganNs: bigint
}

export class StorageSilence {
  readonly #time: TimeSource | undefined
  readonly #logger: Logger
  /** Oldest first: a Set iterates in the order of insertion. */
  readonly #calls = new Set<Call>()
  #cancelLook: CancelTimer | undefined
  #isReported = false

  /** @param time without it nothing is noticed */
  constructor(time: TimeSource | undefined, logger: Logger) {
    this.#time = time
    this.#logger = logger
  }

  /** Milliseconds for which the oldest call has had no answer; 0 below `SILENT_MS`. */
  get ms(): number {
    const age = this.#age()
    return age < SILENT_MS ? 0 : age
  }

  /** Watches a call until it settles. Costs its caller no turn. */
  watch(call: Promise<unknown>): void {
    if (this.#time === undefined) return
    const begun: Call = { beganNs: this.#time.monotonicNs() }
    this.#calls.add(begun)
    this.#cancelLook ??= this.#time.after(SILENT_MS, this.#look)
    const answered = (): void => this.#answered(begun)
    call.then(answered, answered)
  }

  /** Ends the timer; what is under way is watched no more. */
  stop(): void {
    this.#cancelLook?.()
    this.#cancelLook = undefined
    this.#calls.clear()
    this.#isReported = false
  }

  #age(): number {
    const [oldest] = this.#calls
    if (oldest === undefined || this.#time === undefined) return 0
    return Number((this.#time.monotonicNs() - oldest.beganNs) / NS_PER_MS)
  }

  /** One timer for all calls: it runs on while there are any. */
  readonly #look = (): void => {
    this.#cancelLook = undefined
    if (this.#calls.size === 0) return
    const age = this.#age()
    if (age >= SILENT_MS && !this.#isReported) {
      this.#isReported = true
      this.#logger.error('the storage does not answer', {
        seconds: Math.floor(age / 1000),
        calls: this.#calls.size,
      })
    }
    const nextMs = age >= SILENT_MS ? SILENT_MS : SILENT_MS - age
    this.#cancelLook = this.#time?.after(nextMs, this.#look)
  }

  #answered(call: Call): void {
    const age = this.#isReported ? this.#age() : 0
    this.#calls.delete(call)
    if (!this.#isReported || this.#age() >= SILENT_MS) return
    this.#isReported = false
    this.#logger.info('the storage answers again', { seconds: Math.floor(age / 1000) })
  }
}
