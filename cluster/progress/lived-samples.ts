/** What the wall clock said while time was lived, and what is old by it. See `lived-time.ts`. Pure. */
import { NS_PER_MS } from '../../src/core/ports/time.ts'

/** What the wall clock said when a node had lived for so long; nanoseconds. */
export interface Sample {
  readonly livedNs: bigint
  readonly wallNs: bigint
}

/** Samples while the age passes: so much later than need be a thing may become old. */
const SAMPLES = 8n

export class Samples {
  readonly #ageNs: bigint
  /** Oldest first; neither field ever goes down. The first may be older than the age, others are not. */
  #samples: readonly Sample[]

  /** @param ageMs after which a thing is old, milliseconds; 0: never */
  constructor(ageMs: number, samples: readonly Sample[] = []) {
    this.#ageNs = BigInt(Math.round(ageMs)) * NS_PER_MS
    this.#samples = samples
  }

  /** At most two more than are taken while the longest age passes that it was used with. */
  get list(): readonly Sample[] {
    return this.#samples
  }

  /** Takes a sample when one is due. */
  note(livedNs: bigint, wallNs: bigint): void {
    const last = this.#samples.at(-1)
    if (this.#ageNs === 0n) return
    if (last !== undefined && livedNs - last.livedNs < this.#ageNs / SAMPLES) return
    const now = { livedNs, wallNs }
    const kept = this.#samples.slice(Math.max(this.#newestOld(livedNs), 0))
    this.#samples = [...kept.map((sample) => lowered(sample, now)), now]
  }

  /** Stamp up to which everything is old, when so much was lived and the wall clock says this; 0n: nothing. */
  oldNs(livedNs: bigint, wallNs: bigint): bigint {
    const sample = this.#samples[this.#newestOld(livedNs)]
    if (this.#ageNs === 0n || sample === undefined) return 0n
    return lowered(sample, { livedNs, wallNs }).wallNs
  }

  /** Index of the newest sample taken a whole age ago; -1: there is none. */
  #newestOld(livedNs: bigint): number {
    return this.#samples.findLastIndex((sample) => livedNs - sample.livedNs >= this.#ageNs)
  }
}

/** What an earlier sample is by a later one: it lies back at least what was lived in between. */
function lowered(earlier: Sample, later: Sample): Sample {
  const mostNs = later.wallNs - (later.livedNs - earlier.livedNs)
  const wallNs = mostNs < 0n ? 0n : mostNs
  return wallNs < earlier.wallNs ? { ...earlier, wallNs } : earlier
}
