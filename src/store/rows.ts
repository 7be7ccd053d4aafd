/**
 * The layout of a node's storage: which rows there are and how they are spelled. Format 1.
 *
 * | row                | value                                                             |
 * |--------------------|-------------------------------------------------------------------|
 * | `e/<key>`          | the record: `<crc> <seq> s <created> <updated> <origin>\n<data>`  |
 * |                    | or `<crc> <seq> d <deleted> <origin>`                             |
 * | `l/<seq>`          | change log: the key changed at this seq, newest row per key only  |
 * | `o/<seq>`          | outbox: the key whose record at this seq its leader has not got   |
 * | `m/<name>`         | `format`, `id`, `epoch`, `head` (`<seq> <greatest stamp>`), …     |
 *
 * `<seq>` in row keys is 16 hex digits, so byte order is number order. `<crc>` is the CRC-32 of
 * the key, a line feed and the rest of the value, in hex.
 */
import { crc32 } from 'node:zlib'
import type { StoredRecord } from '../core/entry.ts'
import { StateError } from '../core/errors.ts'
import type { RowRange } from '../storage-adapter.ts'

export const FORMAT = '1'

/** A record with its place in a change log or outbox. */
export interface SequencedRow {
  readonly seq: number
  readonly record: StoredRecord
}

export const recordRow = (key: string): string => `e/${key}`
export const logRow = (seq: number): string => `l/${hexSeq(seq)}`
export const outboxRow = (seq: number): string => `o/${hexSeq(seq)}`
export const metaRow = (name: string): string => `m/${name}`

export const RECORD_ROWS: RowRange = Object.freeze({ gte: 'e/', lt: 'e0' })
export const OUTBOX_ROWS: RowRange = Object.freeze({ gte: 'o/', lt: 'o0' })
export const META_ROWS: RowRange = Object.freeze({ gte: 'm/', lt: 'm0' })

/** Change-log rows after `seq`, oldest first. */
export function logRowsAfter(seq: number, limit: number): RowRange {
  return { gt: logRow(seq), lt: 'l0', limit }
}

/** The seq in the key of a log or outbox row. */
export function seqOfRow(row: string): number {
  return Number.parseInt(row.slice(2), 16)
}

export function encodeRecord(record: StoredRecord, seq: number): string {
  const rest =
    record.kind === 'entry'
      ? `${seq} s ${record.created} ${record.updated} ${record.origin}\n${record.data}`
      : `${seq} d ${record.deleted} ${record.origin}`
  return `${checksum(record.key, rest)} ${rest}`
}

/** @throws StateError `corrupt_record` naming the key when the row does not match its checksum. */
export function decodeRecord(key: string, value: string): SequencedRow {
  const space = value.indexOf(' ')
  const rest = value.slice(space + 1)
  if (space === -1 || checksum(key, rest) !== value.slice(0, space)) throw corrupt(key)
  const lineEnd = rest.indexOf('\n')
  const fields = (lineEnd === -1 ? rest : rest.slice(0, lineEnd)).split(' ')
  const [seq, kind, first, second, third] = fields
  if (seq === undefined || first === undefined || second === undefined) throw corrupt(key)
  if (kind === 'd') {
    const record: StoredRecord = { kind: 'tombstone', key, deleted: BigInt(first), origin: second }
    return { seq: Number(seq), record }
  }
  if (kind !== 's' || third === undefined || lineEnd === -1) throw corrupt(key)
  const record: StoredRecord = {
    kind: 'entry',
    key,
    created: BigInt(first),
    updated: BigInt(second),
    origin: third,
    data: rest.slice(lineEnd + 1),
  }
  return { seq: Number(seq), record }
}

function hexSeq(seq: number): string {
  return seq.toString(16).padStart(16, '0')
}

function checksum(key: string, rest: string): string {
  return crc32(`${key}\n${rest}`).toString(16)
}

function corrupt(key: string): StateError {
  return new StateError(
    'corrupt_record',
    `storage: the record of key "${key}" does not match its checksum`,
  )
}
