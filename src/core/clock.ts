/**
 * Hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014), with the logical part
 * folded into the nanoseconds: every stamp exceeds all stamps given out or seen before, and stays
 * at the physical time whenever that is ahead. A wall clock that steps back only slows stamps
 * down to one nanosecond each until it has caught up.
 */
import type { TimeSource } from './time.ts'

export class HybridClock {
  readonly #time: TimeSource
  #last = 0n
  #offset = 0n

  constructor(time: TimeSource) {
    this.#time = time
  }

  /** A new stamp, nanoseconds since the Unix epoch; greater than every stamp before it. */
  now(): bigint {
    const physical = this.physicalNs()
    this.#last = physical > this.#last ? physical : this.#last + 1n
    return this.#last
  }

  /** Makes later stamps exceed `stamp`, which came from disk or from a peer. */
  observe(stamp: bigint): void {
    if (stamp > this.#last) this.#last = stamp
  }

  /** The greatest stamp given out or seen. */
  get last(): bigint {
    return this.#last
  }

  /** Wall time corrected to the leader's, without giving out a stamp. */
  physicalNs(): bigint {
    return this.#time.wallNs() + this.#offset
  }

  /** Nanoseconds to add to the local wall clock, as measured against the leader. */
  get offsetNs(): bigint {
    return this.#offset
  }

  set offsetNs(offset: bigint) {
    this.#offset = offset
  }
}
