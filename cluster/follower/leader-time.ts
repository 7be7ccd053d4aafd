/**
 * A follower's idea of its leader's time: measures the offset of the wall clock at the handshake and
 * again whenever the leader sends its clock, and takes this node's clock back to the leader's time
 * when it was too far ahead.
 */
import type { HybridClock } from '../../src/core/data/clock.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import { NS_PER_SECOND, type TimeSource } from '../../src/core/ports/time.ts'
import type { LeaderClock, LeaderClockQuestion } from '../../src/core/wire/leader-clock.ts'
import { measureOffset } from './clock-offset.ts'

export interface LeaderTimeOptions {
  readonly leader: string
  /** Corrected to this leader's time; undefined when another link does that. */
  readonly clock: HybridClock | undefined
  /** Takes the clock back to this stamp, with what belongs to it. */
  readonly lowerMaxStamp: (stamp: bigint) => void
  readonly time: TimeSource
  readonly logger: Logger
}

/** Smaller corrections are the daily drift of a clock: made without a word. */
const NOTEWORTHY_NS = NS_PER_SECOND

export class LeaderTime {
  readonly #options: LeaderTimeOptions
  #helloSentNs = 0n
  /** The latest question, and when it was sent. */
  #asked = 0
  #askedNs = 0n
  #leaderClock: LeaderClock | undefined

  constructor(options: LeaderTimeOptions) {
    this.#options = options
  }

  /** The latest that was heard on this connection. */
  get leaderClock(): LeaderClock | undefined {
    return this.#leaderClock
  }

  /** Number of the latest question. */
  get asked(): number {
    return this.#asked
  }

  /** A hello is being sent: a new connection. */
  greeted(): void {
    this.#helloSentNs = this.#options.time.monotonicNs()
    this.#leaderClock = undefined
  }

  /** The leader answered the hello, with its clock. */
  welcomed(leaderNs: bigint): void {
    this.#correct(leaderNs, this.#helloSentNs)
  }

  /** The next question, which is sent at once. */
  ask(): LeaderClockQuestion {
    this.#asked++
    this.#askedNs = this.#options.time.monotonicNs()
    return { t: 'terms', n: this.#asked }
  }

  /** Takes what the leader sent. */
  received(leaderClock: LeaderClock): void {
    this.#leaderClock = leaderClock
    if (leaderClock.n === this.#asked && leaderClock.n > 0)
      this.#correct(leaderClock.clock, this.#askedNs)
    const { clock, lowerMaxStamp, logger, leader } = this.#options
    if (clock === undefined || clock.last <= leaderClock.latest) return
    const aheadMs = Number((clock.last - leaderClock.clock) / 1_000_000n)
    lowerMaxStamp(leaderClock.greatest)
    logger.warn('this clock was too far ahead: stamps go on in leader time', { aheadMs, leader })
  }

  #correct(leaderNs: bigint, sentNs: bigint): void {
    const { clock, time, logger, leader } = this.#options
    if (clock === undefined) return
    const knownNs = clock.offsetNs
    const roundTripNs = time.monotonicNs() - sentNs
    const offsetNs = measureOffset({ leaderNs, wallNs: time.wallNs(), roundTripNs, knownNs })
    if (offsetNs === knownNs) return
    clock.offsetNs = offsetNs
    const stepNs = offsetNs > knownNs ? offsetNs - knownNs : knownNs - offsetNs
    if (stepNs < NOTEWORTHY_NS) return
    logger.warn('clock corrected to the leader', { offsetNs, leader })
  }
}
