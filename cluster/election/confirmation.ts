/**
 * For how long a node knows that the holder of a lease may decide. It lasts as long as the holder itself believes
 * in its grant after a renewal; what other nodes pass on lasts no longer than it does for them.
 */
import { NS_PER_MS, type TimeSource } from '../../src/core/ports/time.ts'
import type { LeaseView } from './lease/lease.ts'
import type { ElectionTimes } from './state.ts'

/** What is known of the holder's right to decide. */
export interface ConfirmationReport {
  /**
   * How long the holder may go on deciding, as far as it is known here, without another renewal; milliseconds.
   * 0: that it may is not known.
   */
  readonly validForMs: number
  /**
   * Since when it is not known any more that the holder may decide, nor who else; milliseconds since the Unix
   * epoch. undefined: it is known, or nobody holds the lease.
   */
  readonly unconfirmedSinceMs?: number
}

export class Confirmation {
  readonly #time: TimeSource
  readonly #times: Pick<ElectionTimes, 'durationMs' | 'validMs'>
  /** On the monotonic clock. */
  #untilNs: bigint

  constructor(time: TimeSource, times: Pick<ElectionTimes, 'durationMs' | 'validMs'>) {
    this.#time = time
    this.#times = times
    this.#untilNs = time.monotonicNs()
  }

  /**
   * @param sentNs when it was asked; monotonic.
   * @param isNews it is another grant than the one that was heard of before.
   */
  heard({ isMine, heldForMs, confirmedForMs }: LeaseView, sentNs: bigint, isNews: boolean): void {
    const { durationMs, validMs } = this.#times
    const forMs = confirmedForMs ?? Math.max(0, heldForMs - (durationMs - validMs))
    const untilNs = isMine ? sentNs + ns(validMs) : this.#time.monotonicNs() + ns(forMs)
    // A node that knows less of the same grant takes nothing from what the lease has said, and one that knows
    // nothing any more does not begin that time again.
    const confirms = isMine || forMs > 0
    if (isNews || (confirms && untilNs > this.#untilNs)) this.#untilNs = untilNs
  }

  report(): ConfirmationReport {
    const leftNs = this.#untilNs - this.#time.monotonicNs()
    if (leftNs > 0n) return { validForMs: Number(leftNs / NS_PER_MS) }
    const sinceNs = this.#time.wallNs() + leftNs
    return { validForMs: 0, unconfirmedSinceMs: Number(sinceNs / NS_PER_MS) }
  }
}

const ns = (ms: number): bigint => BigInt(Math.round(ms)) * NS_PER_MS
