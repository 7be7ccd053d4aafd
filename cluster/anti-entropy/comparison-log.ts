/** What a link remembers of its comparisons, for people; and when the next one is due. */
import type { Logger } from '../../src/core/ports/logger.ts'
import {
  type CancelTimer,
  NS_PER_MS,
  type Random,
  type TimeSource,
} from '../../src/core/ports/time.ts'
import type { Tally } from './comparison-events.ts'

export interface ComparisonStatus {
  /** Of the comparison under way; undefined when there is none. */
  readonly comparison: Tally | undefined
  /** Comparisons that found a difference although both sides believed to be in step. */
  readonly repairs: number
  /** Records that were put right by them, on either side. */
  readonly repairedRecords: number
  /** When both sides were last found to hold the same, milliseconds since the epoch; 0 before that. */
  readonly lastAgreementMs: number
}

export interface ComparisonLogOptions {
  readonly leader: string
  readonly time: TimeSource
  readonly random: Random
  readonly logger: Logger
  /** 0: never. */
  readonly intervalMs: number
  /** Begins a comparison if it may. */
  readonly due: () => void
}

export class ComparisonLog {
  readonly #options: ComparisonLogOptions
  #repairs = 0
  #repairedRecords = 0
  #lastAgreementMs = 0
  #cancel: CancelTimer | undefined

  constructor(options: ComparisonLogOptions) {
    this.#options = options
  }

  /** The link is live: the first comparison is due soon, the others at intervals. */
  start(): void {
    this.#schedule(this.#options.intervalMs / 50)
  }

  stop(): void {
    this.#cancel?.()
  }

  status(comparison: Tally | undefined): ComparisonStatus {
    return {
      comparison,
      repairs: this.#repairs,
      repairedRecords: this.#repairedRecords,
      lastAgreementMs: this.#lastAgreementMs,
    }
  }

  /** A comparison has ended. @param hasRefused whether the leader refuses some of ours. */
  ended(tally: Tally, isRepair: boolean, hasRefused: boolean): void {
    const { leader, logger, time } = this.#options
    const { applied, pending, received, differing } = tally
    const records = applied + pending
    if (!isRepair) {
      logger.info('compared in full with the leader', { leader, received, pending })
    } else if (records > 0) {
      this.#repairs++
      this.#repairedRecords += records
      logger.warn('a difference from the leader was found and repaired', {
        leader,
        applied,
        pending,
      })
    }
    if (isRepair && records === 0 && (differing === 0 || !hasRefused)) {
      this.#lastAgreementMs = Number(time.wallNs() / NS_PER_MS)
    }
  }

  /** Up to a quarter early or late, so that followers do not all ask at once. */
  #schedule(delayMs: number): void {
    const { intervalMs, time, random, due } = this.#options
    this.stop()
    if (intervalMs === 0) return
    this.#cancel = time.after(delayMs * (0.75 + random() / 2), () => {
      this.#schedule(intervalMs)
      due()
    })
  }
}
