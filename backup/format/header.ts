/**
 * What a backup says of itself: the header at its start and the totals at its end. Both are JSON
 * objects in both formats, so that they can be read with any tool.
 */
import { errorText, StateError } from '../../src/core/errors.ts'
import { type Lineage, readLineage } from '../../src/store/lineage/lineage.ts'

/** `binary`: compressed and checksummed by block. `jsonl`: one JSON object per line, for people. */
export type BackupFormat = 'binary' | 'jsonl'

/**
 * Version of the layout of a backup that is written: since 2 records have fields, since 3 lines for people have
 * checksums. A reader refuses a greater one.
 */
export const BACKUP_FORMATS: Readonly<Record<BackupFormat, number>> = Object.freeze({
  binary: 2,
  jsonl: 3,
})
/** The oldest and newest layout that are read. */
const OLDEST_FORMAT = 1
const NEWEST_FORMAT = 3

/** Where and when a backup was made. */
export interface BackupHeader {
  /** Id of the node. A restore into a folder keeps it. */
  readonly node: string
  /** What made it: `ooo-cluster <release>`, or the tool that data was imported from. */
  readonly from: string
  /** Epoch of the node's change log at `seq`. */
  readonly epoch: string
  /** The records are exactly those as of this commit of that epoch. */
  readonly seq: number
  /** Greatest stamp the node had given out or seen, nanoseconds. */
  readonly clock: bigint
  /** When it was made, ISO 8601, UTC. */
  readonly createdAt: string
  /** Key paths the node replicated; empty when not known. */
  readonly scopes: readonly string[]
  /** Where the records come from; absent from backups of earlier releases. */
  readonly lineage?: Lineage
}

/** What was wrong with the storage a backup was made from; the backup itself may be whole. */
export interface BackupFlaws {
  /** Keys whose records are damaged there and not in the backup: the first 100. */
  readonly damaged: readonly string[]
  /** What else was found, as sentences for people: the first 20. */
  readonly findings: readonly string[]
}

export const NO_FLAWS: BackupFlaws = Object.freeze({ damaged: [], findings: [] })

/** What a whole backup holds, told at its end. */
export interface BackupTotals extends BackupFlaws, RecordTotals {}

/** What can be said of records by reading them. */
export interface RecordTotals {
  readonly records: number
  readonly entries: number
  readonly tombstones: number
  /** Bytes of the lines of all records, line feeds included. */
  readonly bytes: number
  /** Greatest stamp of a record, nanoseconds; 0 without records. */
  readonly newest: bigint
  /** SHA-256 of the lines of all records, in hex. */
  readonly digest: string
}

/** `kind` marks the first and the last line of a jsonl backup. */
export function encodeHeader(header: BackupHeader, format: keyof typeof BACKUP_FORMATS): string {
  const { clock, ...rest } = header
  const version = BACKUP_FORMATS[format]
  return JSON.stringify({ ooo: 'backup', format: version, ...rest, clock: `${clock}` })
}

export function encodeTotals(totals: BackupTotals): string {
  const { newest, digest, ...rest } = totals
  return JSON.stringify({ ooo: 'end', ...rest, newest: `${newest}`, digest })
}

/**
 * The header in a JSON text.
 * @throws StateError `format_unsupported` for a newer layout, `invalid_message` for another shape.
 */
export function decodeHeader(json: string): BackupHeader {
  const fields = objectOf(json, 'backup')
  assertFormat(fields.format)
  const lineage = readLineage(fields.lineage)
  return {
    ...(lineage === undefined ? {} : { lineage }),
    node: text(fields, 'node'),
    from: text(fields, 'from'),
    epoch: text(fields, 'epoch'),
    seq: count(fields, 'seq'),
    clock: stamp(fields, 'clock'),
    createdAt: text(fields, 'createdAt'),
    scopes: texts(fields, 'scopes'),
  }
}

function assertFormat(format: unknown): asserts format is number {
  if (format === OLDEST_FORMAT || format === 2 || format === NEWEST_FORMAT) return
  throw new StateError(
    'format_unsupported',
    `backup: the file has format ${JSON.stringify(format)}, this release reads formats ${OLDEST_FORMAT} to ${NEWEST_FORMAT}`,
  )
}

/** The layout that a header in a JSON text names. Errors as `decodeHeader`. */
export function formatOf(json: string): number {
  const { format } = objectOf(json, 'backup')
  assertFormat(format)
  return format
}

/** The totals in a JSON text. @throws StateError `invalid_message` for another shape. */
export function decodeTotals(json: string): BackupTotals {
  const fields = objectOf(json, 'end')
  return {
    records: count(fields, 'records'),
    entries: count(fields, 'entries'),
    tombstones: count(fields, 'tombstones'),
    bytes: count(fields, 'bytes'),
    newest: stamp(fields, 'newest'),
    digest: text(fields, 'digest'),
    damaged: texts(fields, 'damaged'),
    findings: texts(fields, 'findings'),
  }
}

type Fields = Readonly<Record<string, unknown>>

function objectOf(json: string, kind: 'backup' | 'end'): Fields {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (cause) {
    throw new StateError('invalid_message', `backup: ${errorText(cause)}`, { cause })
  }
  if (typeof value === 'object' && value !== null && 'ooo' in value && value.ooo === kind) {
    return value as Fields
  }
  throw new StateError('invalid_message', `backup: this is no ${kind} line of a backup`)
}

function text(fields: Fields, name: string): string {
  const value = fields[name]
  if (typeof value === 'string') return value
  throw wrong(name, value, 'a text')
}

function texts(fields: Fields, name: string): readonly string[] {
  const value = fields[name]
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
  throw wrong(name, value, 'a list of texts')
}

function count(fields: Fields, name: string): number {
  const value = fields[name]
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw wrong(name, value, 'a whole number from 0')
}

function stamp(fields: Fields, name: string): bigint {
  const value = fields[name]
  if (typeof value === 'string' && /^\d{1,19}$/.test(value)) return BigInt(value)
  throw wrong(name, value, 'a text of digits')
}

function wrong(name: string, value: unknown, wanted: string): StateError {
  const shown = JSON.stringify(value)?.slice(0, 60) ?? 'missing'
  return new StateError('invalid_message', `backup: "${name}" is ${shown}, it must be ${wanted}`)
}
