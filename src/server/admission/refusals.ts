/** Refused clients: what they are told, when they are to come back, how many there were. */
import type { Logger } from '../../core/ports/logger.ts'
import type { Random, TimeSource } from '../../core/ports/time.ts'
import { retryHeaders, withRetryHint } from '../../core/retry-hint.ts'
import { queueRetry, type RetryPace, type RetryQueue } from './retry-queue.ts'

/**
 * Why: no room for connections, none for subscribers, too many from one address, or too many handshakes
 * at once.
 */
export type RefusalReason = 'connections' | 'subscribers' | 'address' | 'rate'

/** The answer to a refused request or handshake. */
export interface AdmissionRefusal {
  readonly status: number
  readonly text: string
  /** `Retry-After` and `ooo-retry-after-ms`. */
  readonly headers: Readonly<Record<string, string>>
}

export interface AdmissionRefusalsOptions {
  readonly time: TimeSource
  readonly random: Random
  /** Told of each refusal: one that leaves out most, see `once-a-minute.ts`. */
  readonly logger: Logger
  /** Handshakes served per second, more than 0: those refused for the rate are called back as fast. */
  readonly upgradesPerSecond: number
}

/** Nobody knows when there will be room: that many may ask per second, and none sooner than after a second. */
const FULL: RetryPace = { perSecond: 100, minMs: 1000 }
const MIN_RATE_DELAY_MS = 100

export class AdmissionRefusals {
  readonly #options: AdmissionRefusalsOptions
  readonly #counts: Record<RefusalReason, number> = {
    connections: 0,
    subscribers: 0,
    address: 0,
    rate: 0,
  }
  #full: RetryQueue
  #rate: RetryQueue

  constructor(options: AdmissionRefusalsOptions) {
    this.#options = options
    this.#full = { length: 0, atNs: options.time.monotonicNs() }
    this.#rate = this.#full
  }

  /** Refused since this was made. */
  get counts(): Readonly<Record<RefusalReason, number>> {
    return { ...this.#counts }
  }

  /** @param sentence what was refused and the limit */
  refuse(reason: RefusalReason, sentence: string): AdmissionRefusal {
    this.#counts[reason]++
    const delayMs = this.#queue(reason)
    // A storm is one line a minute, not a line for each of its clients.
    this.#options.logger.warn('clients are refused', {
      code: reason,
      because: sentence,
      refused: this.#counts[reason],
    })
    return {
      status: reason === 'address' ? 429 : 503,
      text: `${withRetryHint(`ooo: ${sentence}`, delayMs)}\n`,
      headers: retryHeaders(delayMs),
    }
  }

  #queue(reason: RefusalReason): number {
    const { time, random, upgradesPerSecond } = this.#options
    const now = time.monotonicNs()
    if (reason === 'rate') {
      const pace = { perSecond: upgradesPerSecond, minMs: MIN_RATE_DELAY_MS }
      const { queue, delayMs } = queueRetry(this.#rate, pace, now, random)
      this.#rate = queue
      return delayMs
    }
    const { queue, delayMs } = queueRetry(this.#full, FULL, now, random)
    this.#full = queue
    return delayMs
  }
}
