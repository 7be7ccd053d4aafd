/**
 * A leader's answer to one exchange: the records the follower lacks, page by page from one scan
 * that goes on as fast as the follower takes them, then those whose values travel in pieces, one by one,
 * then the hashes the leader has no record for.
 * Holds the follower's hashes (at most MAX_HASHES, packed), the names of MAX_LARGE records, and one page.
 */
import type { Entry, StoredRecord } from '../../src/core/data/entry.ts'
import { HASH_DIGITS } from '../../src/core/wire/comparison.ts'
import { isLarge, PIECES_PROTOCOL } from '../../src/core/wire/pieces.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { ClusterLimits } from '../config/options.ts'
import { recordBytes } from '../stream/page.ts'
import { HashSet } from './hash-set.ts'
import type { HashedRow, SetReading } from './set-rows.ts'
import { setRows } from './set-rows.ts'

/** Names of large records that are kept at most; with more, the scan waits until they have been sent. */
const MAX_LARGE = 1000

export interface AnswerPage {
  /** Those that changed after what the follower has applied come last. */
  readonly records: readonly StoredRecord[]
  readonly fresh: number
  /** The only record, when its value goes in pieces before the page. */
  readonly large?: Entry
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
  readonly #store: Pick<ReplicationStore, 'keyState'>
  /** Above it values travel in pieces; undefined: none does. */
  readonly #pieceBytes: number | undefined
  /** Keys of records that come after the others. */
  readonly #large: string[] = []
  #hasRows = true
  #unmet: Iterator<string, undefined> | undefined

  /** @param after seq of this node's log up to which the follower has applied it. */
  constructor(reading: SetReading, after: number, limits: ClusterLimits) {
    this.#rows = setRows(reading)
    this.#store = reading.store
    const speaksPieces = (reading.protocol ?? PIECES_PROTOCOL) >= PIECES_PROTOCOL
    this.#pieceBytes = speaksPieces ? limits.pieceBytes : undefined
    this.#after = after
    this.#limits = limits
  }

  /** Hashes of records that the follower holds. */
  add(hashes: string): void {
    this.#hashes.addAll(hashes)
  }

  /** The next page; one at a time. @throws StateError of the storage. */
  async next(): Promise<AnswerPage> {
    while (this.#hasRows) {
      const isFull = this.#large.length >= MAX_LARGE
      const page = isFull ? await this.#nextLarge() : await this.#records()
      if (page !== undefined) return page
    }
    return (await this.#nextLarge()) ?? this.#lacks()
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
      if (this.#isLarge(record)) {
        this.#large.push(record.key)
        if (this.#large.length >= MAX_LARGE) break
        continue
      }
      if (seq > this.#after) fresh.push(record)
      else settled.push(record)
      bytes += recordBytes(record)
    }
    const records = [...settled, ...fresh]
    if (records.length === 0) return undefined
    return { records, fresh: fresh.length, lacks: '', last: false, bytes }
  }

  #isLarge(record: StoredRecord): record is Entry {
    return this.#pieceBytes !== undefined && isLarge(record, this.#pieceBytes)
  }

  /** As they are by now; what is not large any more has changed, and is told by the log. */
  async #nextLarge(): Promise<AnswerPage | undefined> {
    for (let key = this.#large.shift(); key !== undefined; key = this.#large.shift()) {
      const keyState = await this.#store.keyState(key)
      if (keyState === undefined || !this.#isLarge(keyState.record)) continue
      const { record } = keyState
      const fresh = keyState.seq > this.#after ? 1 : 0
      const bytes = recordBytes(record)
      return { records: [record], fresh, large: record, lacks: '', last: false, bytes }
    }
    return undefined
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
