/** Reading of LevelDB's MANIFEST: which sorted files and which log make up the database. */

import { readLogFile } from './log.ts'
import { readVarint } from './snappy.ts'

export interface Manifest {
  /** Bytes of each sorted file that is in use, by its number. */
  readonly tables: ReadonlyMap<number, number>
  /** The oldest log that is still needed; 0 when none was named. */
  readonly logNumber: number
}

/** Tags of the fields of an edit (db/version_edit.cc of LevelDB). */
const TAG = {
  comparator: 1,
  log: 2,
  nextFile: 3,
  sequence: 4,
  pointer: 5,
  gone: 6,
  added: 7,
  previousLog: 9,
}

/** What a MANIFEST says, or undefined when it is damaged. A cut-off last edit was never in force. */
export function readManifest(bytes: Buffer): Manifest | undefined {
  const { records, damaged } = readLogFile(bytes)
  if (damaged || records.length === 0) return undefined
  const tables = new Map<number, number>()
  let logNumber = 0
  for (const record of records) {
    const named = applyEdit(record, tables)
    if (named === undefined) return undefined
    logNumber = Math.max(logNumber, named)
  }
  return { tables, logNumber }
}

/** Applies an edit; gives the log it names, 0 for none, undefined when it makes no sense. */
function applyEdit(edit: Buffer, tables: Map<number, number>): number | undefined {
  const fields = new Fields(edit)
  let log = 0
  while (!fields.atEnd) {
    const tag = fields.number()
    if (tag === TAG.comparator) fields.skipText()
    else if (tag === TAG.log) log = fields.number()
    else if (tag === TAG.nextFile || tag === TAG.sequence || tag === TAG.previousLog)
      fields.number()
    else if (tag === TAG.pointer) {
      fields.number()
      fields.skipText()
    } else if (tag === TAG.gone) {
      fields.number()
      tables.delete(fields.number())
    } else if (tag === TAG.added) {
      fields.number()
      tables.set(fields.number(), fields.number())
      fields.skipText()
      fields.skipText()
    } else return undefined
  }
  return fields.broken ? undefined : log
}

/** Reads numbers and texts one after another; once something is missing, it stays broken. */
class Fields {
  readonly #bytes: Buffer
  #at = 0
  broken = false

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get atEnd(): boolean {
    return this.broken || this.#at >= this.#bytes.length
  }

  number(): number {
    const read = readVarint(this.#bytes, this.#at)
    if (read === undefined) this.broken = true
    else this.#at = read.next
    return read?.value ?? 0
  }

  skipText(): void {
    const length = this.number()
    this.#at += length
    if (this.#at > this.#bytes.length) this.broken = true
  }
}
