/**
 * A leader's answer to one exchange: the records the follower lacks, page by page from one scan
 * that goes on as fast as the follower takes them, then the hashes the leader has no record for.
 * Holds the follower's hashes (at most MAX_HASHES, packed) and one page.
 */
import type { StoredRecord } from '../src/core/entry.ts'
import { HASH_DIGITS } from '../src/core/protocol-comparison.ts'
import { HashSet } from './hash-set.ts'
import type { ClusterLimits } from './options.ts'
import { recordBytes } from './page.ts'
import type { HashedRow, SetReading } from './set-rows.ts'
import { setRows } from './set-rows.ts'

export interface AnswerPage {
  /** Those that changed after what the follower has applied come last. */
  readonly records: readonly StoredRecord[]
  readonly fresh: number
  readonly lacks: string
  readonly last: boolean
  /** What the page adds to a message, roughly. */
  readonly bytes: number
}

export class Answer {
  readonly #after: number
  readonly #limits: ClusterLimits
  readonly #rows: AsyncGenerator<HashedRow, undefined>
  readonly #hashes = new HashSet()
  #hasRows = true
  #unmet: Iterator<string, undefined> | undefined

  /** @param after seq of this node's log up to which the follower has applied it. */
  constructor(reading: SetReading, after: number, limits: ClusterLimits) {
    this.#rows = setRows(reading)
    this.#after = after
    this.#limits = limits
  }

  /** Hashes of records that the follower holds. */
  add(hashes: string): void {
    this.#hashes.addAll(hashes)
  }

  /** The next page; one at a time. @throws StateError of the storage. */
  async next(): Promise<AnswerPage> {
    if (this.#hasRows) {
      const page = await this.#records()
      if (page !== undefined) return page
    }
    return this.#lacks()
  }

  /** Ends the scan. */
  async close(): Promise<void> {
    await this.#rows.return(undefined)
  }

  /** undefined when the scan ended without anything to send. */
  async #records(): Promise<AnswerPage | undefined> {
    const { messageRecords, messageBytes } = this.#limits
    const settled: StoredRecord[] = []
    const fresh: StoredRecord[] = []
    let bytes = 0
    while (settled.length + fresh.length < messageRecords && bytes < messageBytes) {
      const { value, done } = await this.#rows.next()
      if (done === true) {
        this.#hasRows = false
        break
      }
      if (this.#hashes.meet(value.hash)) continue
      const { seq, record } = value.row
      if (seq > this.#after) fresh.push(record)
      else settled.push(record)
      bytes += recordBytes(record)
    }
    const records = [...settled, ...fresh]
    if (records.length === 0) return undefined
    return { records, fresh: fresh.length, lacks: '', last: false, bytes }
  }

  #lacks(): AnswerPage {
    this.#unmet ??= this.#hashes.unmet()
    const most = Math.max(1, Math.floor(this.#limits.messageBytes / HASH_DIGITS))
    const hashes: string[] = []
    let last = false
    while (hashes.length < most && !last) {
      const next = this.#unmet.next()
      if (next.done === true) last = true
      else hashes.push(next.value)
    }
    const lacks = hashes.join('')
    return { records: [], fresh: 0, lacks, last, bytes: lacks.length }
  }
}
