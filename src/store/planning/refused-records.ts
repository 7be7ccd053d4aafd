/**
 * Which records of other nodes, tables and backups this node has not taken, because no node may hold them
 * or they are greater than it takes. Counted, and the first of them named: once in the log, and for people
 * who ask.
 */
import type { StoredRecord } from '../../core/data/entry.ts'
import type { Logger } from '../../core/ports/logger.ts'
import { type RecordFlaw, refusedRecord } from '../../core/records/check.ts'

/** Keys that are named; more are counted only. */
const MAX_NAMED = 100

export interface RefusedReport {
  /** How often a record was refused since the node was opened. */
  readonly count: number
  /** The latest reason by key, of the first 100 keys. */
  readonly reasons: ReadonlyMap<string, string>
}

export class RefusedRecords {
  readonly #logger: Logger
  readonly #reasons = new Map<string, string>()
  #count = 0

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** @param from who sent it: id of a follower, or URL of a leader. Default: not told. */
  note({ key: named, origin }: StoredRecord, flaw: RecordFlaw, from?: string): void {
    this.#count += 1
    const given = flaw.key ?? named
    const key = given.slice(0, 200)
    const isNew = !this.#reasons.has(key)
    if (isNew && this.#reasons.size >= MAX_NAMED) return
    const { message: text } = refusedRecord(given, flaw)
    const message = from === undefined ? text : `${text}; sent by ${from}`
    this.#reasons.set(key, message)
    if (isNew) {
      this.#logger.warn('a record is not taken', { reason: message, origin: origin.slice(0, 64) })
    }
  }

  report(): RefusedReport {
    return { count: this.#count, reasons: new Map(this.#reasons) }
  }
}
