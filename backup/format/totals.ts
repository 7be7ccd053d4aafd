/** Counts and digests the records of a backup, the same way when it is written and when it is read. */
import { createHash } from 'node:crypto'
import { type StoredRecord, versionOf } from '../../src/core/data/entry.ts'
import type { RecordTotals } from './header.ts'

export class TotalsCounter {
  #entries = 0
  #tombstones = 0
  #bytes = 0
  #newest = 0n
  readonly #hash = createHash('sha256')

  /** Counts a record. Its line goes to `addBytes`. */
  addRecord(record: StoredRecord): void {
    if (record.kind === 'entry') this.#entries += 1
    else this.#tombstones += 1
    const version = versionOf(record)
    if (version > this.#newest) this.#newest = version
  }

  /** Takes lines of records with their line feeds, in order. */
  addBytes(lines: Uint8Array): void {
    this.#bytes += lines.length
    this.#hash.update(lines)
  }

  /** What was counted so far. */
  totals(): RecordTotals {
    return {
      records: this.#entries + this.#tombstones,
      entries: this.#entries,
      tombstones: this.#tombstones,
      bytes: this.#bytes,
      newest: this.#newest,
      digest: this.#hash.copy().digest('hex'),
    }
  }
}
