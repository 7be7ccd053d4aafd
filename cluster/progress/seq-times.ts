/**
 * When places in a change log were reached: a small bounded memory from which the age of a change
 * is told. Old places are thinned out, so that a long lag is told coarsely and a short one exactly.
 */

interface Reached {
  readonly seq: number
  /** Monotonic, nanoseconds. */
  readonly atNs: bigint
}

const MAX_PLACES = 1024

export class SeqTimes {
  #places: Reached[] = []

  /** The log reached `seq` at `nowNs`. A lower `seq` than before is another log: all is forgotten. */
  note(seq: number, nowNs: bigint): void {
    const last = this.#places.at(-1)
    if (last !== undefined && seq < last.seq) this.#places = []
    else if (last?.seq === seq) return
    this.#places.push({ seq, atNs: nowNs })
    if (this.#places.length > MAX_PLACES) this.#thin()
  }

  /**
   * Milliseconds since the log went beyond `seq`, at least; 0 when it did not. Of changes from before
   * the first note only that much is known.
   */
  ageMs(seq: number, nowNs: bigint): number {
    let low = 0
    let high = this.#places.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#places[middle]?.seq ?? 0) <= seq) low = middle + 1
      else high = middle
    }
    const place = this.#places[low]
    return place === undefined ? 0 : Number((nowNs - place.atNs) / 1_000_000n)
  }

  /** Places remembered; never more than the bound. */
  get size(): number {
    return this.#places.length
  }

  /** Drops every second place of the older half. */
  #thin(): void {
    const half = this.#places.length >>> 1
    this.#places = this.#places.filter((_, i) => i >= half || i % 2 === 0)
  }
}
