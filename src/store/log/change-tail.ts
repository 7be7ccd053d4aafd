/**
 * The newest rows of the change log, kept in memory so that live replication reads no disk. Rows
 * are contiguous: every change after the oldest one kept is here, unless its key changed again.
 */

export interface LogRow {
  readonly seq: number
  readonly key: string
}

export class ChangeTail {
  readonly #maxRows: number
  #rows: LogRow[] = []
  /** Everything after this seq is in `#rows`. */
  #floor = 0

  /** @param maxRows rows that are kept when `trim` is called; up to twice as many between. */
  constructor(maxRows: number) {
    this.#maxRows = maxRows
  }

  /** Forgets all rows; the log is covered after `floor` from here on. */
  reset(floor: number): void {
    this.#rows = []
    this.#floor = floor
  }

  push(row: LogRow): void {
    this.#rows.push(row)
  }

  /** Everything kept is on disk now: the oldest rows beyond the bound may be forgotten. */
  trim(): void {
    // In halves, so that it costs constant time per row on average.
    if (this.#rows.length < this.#maxRows * 2) return
    this.#rows = this.#rows.slice(-this.#maxRows)
    const oldest = this.#rows[0]
    if (oldest !== undefined) this.#floor = oldest.seq - 1
  }

  /** Rows up to here are on disk; those after it are here. */
  get floor(): number {
    return this.#floor
  }

  /** At most `limit` rows after `seq`, oldest first; undefined when they are only on disk. */
  after(seq: number, limit: number): LogRow[] | undefined {
    if (seq < this.#floor) return undefined
    let low = 0
    let high = this.#rows.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#rows[middle]?.seq ?? 0) <= seq) low = middle + 1
      else high = middle
    }
    return this.#rows.slice(low, low + limit)
  }
}
