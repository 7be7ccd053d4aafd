/**
 * Hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014), with the logical part
 * folded into the nanoseconds: every stamp exceeds all stamps given out or seen before, and stays
 * at the physical time whenever that is ahead. A wall clock that steps back only slows stamps
 * down to one nanosecond each until it has caught up.
 *
 * A wrong clock elsewhere can not push this one away: stamps of peers are followed only up to
 * `latest`. Of what is beyond, a write of the same key still exceeds it (`now(above)`).
 */
import { NS_PER_SECOND, type TimeSource } from '../ports/time.ts'

/** Stamps are taken up to here, 2200-01-01T00:00:00Z; far below 2^63, which no clock may reach. */
export const LATEST_STAMP: bigint = 7_258_118_400_000_000_000n
/** A wall clock beyond 2190 counts as this, so that its stamps have room to grow. */
const LATEST_WALL_NS = 6_942_585_600_000_000_000n

/** Stamps right after the last one are taken always, or a clock set back would shut everyone out. */
const SUCCESSORS_NS = 1_000_000n

/** How far ahead of this node's time a stamp of another node may be, when nothing is set. */
export const DEFAULT_MAX_DRIFT_NS: bigint = 60n * NS_PER_SECOND

export class HybridClock {
  /** How far ahead of this node's time a stamp from elsewhere may be, nanoseconds. */
  maxDriftNs: bigint = DEFAULT_MAX_DRIFT_NS
  readonly #time: TimeSource
  #last = 0n
  /** Greatest physical time stamped with, or stamp found on disk: time that this node has lived. */
  #lived = 0n
  #offset = 0n

  constructor(time: TimeSource) {
    this.#time = time
  }

  /**
   * A new stamp, nanoseconds since the Unix epoch; greater than every stamp before it, and than
   * `above`, the version of what it replaces. A stamp far ahead is exceeded for its own key only.
   */
  now(above: bigint = 0n): bigint {
    const physical = this.physicalNs()
    if (physical > this.#lived) this.#lived = physical
    this.#last = physical > this.#last ? physical : this.#last + 1n
    if (above < this.#last) return this.#last
    this.observe(above + 1n)
    return above + 1n
  }

  /** Makes later stamps exceed `stamp`, which came from a peer, unless it is beyond `latest`. */
  observe(stamp: bigint): void {
    if (stamp > this.#last && stamp <= this.latest) this.#last = stamp
  }

  /** Makes later stamps exceed `stamp`, which this node had reached before it was started. */
  restore(stamp: bigint): void {
    const known = stamp < LATEST_STAMP ? stamp : LATEST_STAMP
    if (known > this.#last) this.#last = known
    if (known > this.#lived) this.#lived = known
  }

  /**
   * Takes the clock back to `stamp` when it is ahead, because the time it has lived was wrong.
   * Writes of keys that carry greater stamps go on exceeding them.
   */
  lowerMaxStamp(stamp: bigint): void {
    if (this.#last > stamp) this.#last = stamp
    if (this.#lived > stamp) this.#lived = stamp
  }

  /** The greatest stamp given out or followed. */
  get last(): bigint {
    return this.#last
  }

  /** As far in the future as a stamp may be chosen. */
  get furthest(): bigint {
    const physical = this.physicalNs()
    const furthest = (physical > this.#lived ? physical : this.#lived) + this.maxDriftNs
    return furthest < LATEST_STAMP ? furthest : LATEST_STAMP
  }

  /** The greatest stamp to take from another node. */
  get latest(): bigint {
    const next = this.#last + SUCCESSORS_NS
    const { furthest } = this
    return furthest > next ? furthest : next < LATEST_STAMP ? next : LATEST_STAMP
  }

  /** Wall time corrected to the leader's, without giving out a stamp; from 0 to the year 2190. */
  physicalNs(): bigint {
    const ns = this.#time.wallNs() + this.#offset
    return ns < 0n ? 0n : ns < LATEST_WALL_NS ? ns : LATEST_WALL_NS
  }

  /** Nanoseconds to add to the local wall clock, as measured against the leader. */
  get offsetNs(): bigint {
    return this.#offset
  }

  set offsetNs(offset: bigint) {
    this.#offset = offset
  }
}
