/** How often a 2.0 node is probed: in each round while it answers, less and less often while it is away. */
import { NS_PER_SECOND } from '../../../src/core/ports/time.ts'

/** After so many failed probes the time between two is doubled with each, five times at most: 96 s. */
const PATIENT_PROBES = 10
const MAX_DOUBLINGS = 5
const USUAL_NS = 3n * NS_PER_SECOND

export class ProbePace {
  /** When the last probe began, monotonic. */
  lastNs = 0n
  /** Failed one after the other. */
  #failures = 0

  ended(isServing: boolean): void {
    this.#failures = isServing ? 0 : this.#failures + 1
  }

  /** Whether to probe it in a round at this time. */
  isDue(nowNs: bigint): boolean {
    const beyond = Math.min(this.#failures - PATIENT_PROBES, MAX_DOUBLINGS)
    return beyond <= 0 || nowNs - this.lastNs >= USUAL_NS * 2n ** BigInt(beyond)
  }
}
