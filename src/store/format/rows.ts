/**
 * The layout of a node's storage: which rows there are and how they are spelled. Format 3.
 *
 * | row                      | value                                                          |
 * |--------------------------|----------------------------------------------------------------|
 * | `e/<key>`                | the record: `<crc> <seq> s <created> <updated> <origin>[ <name>=<text>…]\n<data>` |
 * |                          | or `<crc> <seq> d <deleted> <origin>[ <name>=<text>…]`; see `RecordFields` |
 * | `l/<seq>`                | `<crc> <key>`: change log; the key changed at this seq, newest row per key only |
 * | `o/<seq>`                | `<crc> <key>[ <seen>]`: outbox; the key whose record at this seq its leader has |
 * |                          | not got, and what its maker had seen (see `causal-context.ts`) |
 * | `b/<seq>`                | `<crc> <seen> <key> <record>`: a change that lost before its leader had it |
 * | `c/<scope> <stamp>`      | `<crc> …`: conflict log (see `conflict-log.ts`)                |
 * | `t/<dir> <created> <name>` | `<crc> `: time index, kept for a bounded cache only          |
 * | `x/<key>`                | `<crc> <reason>`: the record of this key is damaged            |
 * | `m/format`               | `3`                                                            |
 * | `m/<name>`               | `<crc> <value>`: `id`, `origin` (see `data/origin.ts`), `epochs`, `born`, |
 * |                          | `head` (see `head.ts`), …                                      |
 *
 * `<seq>` and `<created>` in row keys are 16 hex digits, so byte order is number order. `<crc>` is
 * a CRC-32 in hex, of the row's key (of a record: the record's key), a line feed and the rest of
 * the value. Format 2 had no fields. Format 1 had no `<crc>` but in records, and neither `t/` nor `x/`.
 */
import { crc32 } from 'node:zlib'
import { type Entry, indexOfKey, type StoredRecord } from '../../core/data/entry.ts'
import { directoryOf } from '../../core/keys/key.ts'
import type { RowRange } from '../../core/ports/storage-adapter.ts'
import { nameFlaw } from '../../core/records/check.ts'
import { fieldsText, withFieldWords } from '../../core/records/fields.ts'

export const FORMAT = '3'
/** The format before, whose rows are the same. */
export const FORMAT_WITHOUT_FIELDS = '2'
/** The oldest format that `upgrade.ts` brings up to date. */
export const FORMAT_WITHOUT_CHECKSUMS = '1'

/** A record with its place in a change log or outbox. */
export interface SequencedRow {
  readonly seq: number
  readonly record: StoredRecord
  /** Of a pending row: what its maker had seen, when that is known. */
  readonly causalContext?: string | undefined
  /** Of a pending row: it lost against one of the leader, which is to note it, not to take it. */
  readonly isLost?: boolean
}

export const recordRow = (key: string): string => `e/${key}`
export const logRow = (seq: number): string => `l/${hex16(seq)}`
export const outboxRow = (seq: number): string => `o/${hex16(seq)}`
export const supersededRow = (seq: number): string => `b/${hex16(seq)}`
/** @param stamp nanoseconds */
export const conflictRow = (scope: string, stamp: bigint): string => `c/${scope} ${hex16(stamp)}`
export const damageRow = (key: string): string => `x/${key}`
export const metaRow = (name: string): string => `m/${name}`
export const FORMAT_ROW: string = metaRow('format')

export function timeRow({ key, created }: Entry): string {
  return `t/${directoryOf(key)} ${hex16(created)} ${indexOfKey(key)}`
}

export const RECORD_ROWS: RowRange = Object.freeze({ gte: 'e/', lt: 'e0' })
export const LOG_ROWS: RowRange = Object.freeze({ gte: 'l/', lt: 'l0' })
export const OUTBOX_ROWS: RowRange = Object.freeze({ gte: 'o/', lt: 'o0' })
export const SUPERSEDED_ROWS: RowRange = Object.freeze({ gte: 'b/', lt: 'b0' })
export const CONFLICT_ROWS: RowRange = Object.freeze({ gte: 'c/', lt: 'c0' })
export const META_ROWS: RowRange = Object.freeze({ gte: 'm/', lt: 'm0' })
export const DAMAGE_ROWS: RowRange = Object.freeze({ gte: 'x/', lt: 'x0' })
export const TIME_ROWS: RowRange = Object.freeze({ gte: 't/', lt: 't0' })

/** Records whose key starts with `prefix`. */
export function recordRows(prefix: string): RowRange {
  // Keys are ASCII, so no key sorts at or after the prefix followed by this character.
  return { gte: recordRow(prefix), lt: `${recordRow(prefix)}\u007f` }
}

/** Change-log rows after one seq and up to another, oldest first. */
export function logRowsBetween(after: number, through: number, limit: number): RowRange {
  return { gt: logRow(after), lte: logRow(through), limit }
}

/** The conflicts of one scope, oldest first. */
export function conflictRows(scope: string): RowRange {
  return { gte: `c/${scope} `, lt: `c/${scope}!` }
}

/** What an outbox row holds. Keys have no spaces. */
export function encodePending(key: string, causalContext: string | undefined): string {
  return causalContext === undefined ? key : `${key} ${causalContext}`
}

/** The key, and what its maker had seen, of an outbox row's unsealed value. */
export function decodePending(value: string): { key: string; causalContext: string | undefined } {
  const space = value.indexOf(' ')
  if (space === -1) return { key: value, causalContext: undefined }
  return { key: value.slice(0, space), causalContext: value.slice(space + 1) }
}

/** Outbox rows, oldest first. */
export function outboxRowsAfter(seq: number): RowRange {
  return { gt: outboxRow(seq), lt: 'o0' }
}

/** Time rows of one directory with `from` ≤ created ≤ `to`. */
export function timeRows(directory: string, from: bigint, to: bigint): RowRange {
  const start = `t/${directory} `
  return { gte: `${start}${hex16(from)} `, lt: `${start}${hex16(to)}!` }
}

/** The key of a row's record: of `e/`, `x/` and `m/` rows what follows the kind. */
export function nameOfRow(row: string): string {
  return row.slice(2)
}

/** The seq in the key of a log or outbox row. */
export function seqOfRow(row: string): number {
  return Number.parseInt(row.slice(2), 16)
}

/** The record's key in the key of a time row. */
export function keyOfTimeRow(row: string): string {
  const space = row.indexOf(' ')
  return `${row.slice(2, space)}${row.slice(space + 18)}`
}

/** The value of any row but a record or `m/format`, protected by its checksum. */
export function sealRow(row: string, value: string): string {
  return `${checksum(row, value)} ${value}`
}

/** What was sealed; undefined when row and checksum do not fit. */
export function unsealRow(row: string, sealed: string): string | undefined {
  const space = sealed.indexOf(' ')
  const value = sealed.slice(space + 1)
  return space !== -1 && checksum(row, value) === sealed.slice(0, space) ? value : undefined
}

export function encodeRecord(record: StoredRecord, seq: number): string {
  const fields = record.fields === undefined ? '' : fieldsText(record)
  const rest =
    record.kind === 'entry'
      ? `${seq} s ${record.created} ${record.updated} ${record.origin}${fields}\n${record.data}`
      : `${seq} d ${record.deleted} ${record.origin}${fields}`
  return `${checksum(record.key, rest)} ${rest}`
}

/** undefined when the row does not match its checksum, or holds what no node may hold (see `core/records/check.ts`). */
export function decodeRecord(key: string, value: string): SequencedRow | undefined {
  const rest = unsealRow(key, value)
  if (rest === undefined) return undefined
  const lineEnd = rest.indexOf('\n')
  const fields = (lineEnd === -1 ? rest : rest.slice(0, lineEnd)).split(' ')
  const [seq, kind, first, second, third] = fields
  if (seq === undefined || first === undefined || second === undefined) return undefined
  if (kind === 'd') {
    const origin = interned(second)
    const deleted = BigInt(first)
    return sequenced(seq, { kind: 'tombstone', key, deleted, origin }, fields.slice(4))
  }
  if (kind !== 's' || third === undefined || lineEnd === -1) return undefined
  // Compact JSON is one line: another line feed is one of the origin.
  if (rest.indexOf('\n', lineEnd + 1) !== -1) return undefined
  const record: StoredRecord = {
    kind: 'entry',
    key,
    created: BigInt(first),
    updated: second === '0' ? 0n : BigInt(second),
    origin: interned(third),
    data: rest.slice(lineEnd + 1),
  }
  return sequenced(seq, record, fields.slice(5))
}

function sequenced(
  seq: string,
  plain: StoredRecord,
  words: readonly string[],
): SequencedRow | undefined {
  const record = withFieldWords(plain, words)
  if (record === undefined || nameFlaw(record) !== undefined) return undefined
  return { seq: Number(seq), record }
}

/** Origins are the ids of a few nodes, each on very many records: kept once. */
const origins = new Map<string, string>()
const MAX_ORIGINS = 1000

function interned(origin: string): string {
  const known = origins.get(origin)
  if (known !== undefined) return known
  if (origins.size < MAX_ORIGINS) origins.set(origin, origin)
  return origin
}

function hex16(number: number | bigint): string {
  return number.toString(16).padStart(16, '0')
}

function checksum(name: string, rest: string): string {
  return crc32(rest, crc32(`${name}\n`)).toString(16)
}
