/**
 * The part of the replication stream in which large values travel, in either direction. A value goes in
 * pieces before the message that holds its record; other messages pass between them. One value at a time is
 * under way in each direction; `n` counts them on this connection, from 1.
 *
 * ```
 * sender                                  receiver
 *    │ offer (n, key, version, …) ─────────▶ │
 *    │ ◀───────────────────── got (n, at)    │   `at` units are held, maybe of an earlier connection
 *    │ piece (n, at, data) … ──────────────▶ │
 *    │ ◀───────────────────── got (n, at)    │   for each piece
 *    │ rows, push or found (whole) ────────▶ │   once all is held: the record, its value left out
 * ```
 *
 * Lengths and places count UTF-16 units of the value's JSON text.
 */
import { encodeHash, hashText } from '../data/digest.ts'
import { type Entry, type StoredRecord, versionOf } from '../data/entry.ts'
import { errorText } from '../errors.ts'
import { hasGlob, isValidKey } from '../keys/key.ts'
import { isUnreadable, unreadable } from '../records/check.ts'
import { flaw, type RecordFlaw } from '../records/flaw.ts'
import { type Fields, identifier, integer, invalid, list, stamp } from './fields.ts'
import { withData } from './records.ts'

/** The first version of the stream in which values travel in pieces. */
export const PIECES_PROTOCOL = 3

/** Which value it is: two that are the same in all of this are one. */
export interface ValueName {
  readonly key: string
  /** Stamp of the record. */
  readonly version: bigint
  readonly origin: string
  readonly size: number
  /** Hash of the value, 16 hexadecimal digits: of edited data under a kept stamp another. */
  readonly hash: string
}

/** How much of this value do you hold? Pieces follow the answer. */
export interface Offer extends ValueName {
  readonly t: 'offer'
  readonly n: number
  /** Of one that came: why no node may hold the value. It is answered as if it were held, and its record refused. */
  readonly flaw?: RecordFlaw
}

export interface Piece {
  readonly t: 'piece'
  readonly n: number
  readonly at: number
  readonly data: string
}

/** The value is held up to here. */
export interface Got {
  readonly t: 'got'
  readonly n: number
  readonly at: number
}

export type PieceMessage = Offer | Piece | Got

/** Places in `records` of those whose values were sent before, in pieces. Default: none. */
export interface Whole {
  readonly whole?: readonly number[] | undefined
}

/** What stands for a value that was sent before. */
const LEFT_OUT = 'null'

export function nameOfValue(entry: Entry): ValueName {
  const { key, origin, data } = entry
  const hash = encodeHash(hashText(data))
  return { key, version: versionOf(entry), origin, size: data.length, hash }
}

export function isSameValue(a: ValueName, b: ValueName): boolean {
  return (
    a.key === b.key &&
    a.version === b.version &&
    a.origin === b.origin &&
    a.size === b.size &&
    a.hash === b.hash
  )
}

/** Whether the record's value goes in pieces of this size. */
export function isLarge(record: StoredRecord, pieceBytes: number): record is Entry {
  return record.kind === 'entry' && record.data.length > pieceBytes
}

/** The records without the values that were sent before. */
export function withoutValues(
  records: readonly StoredRecord[],
  { whole }: Whole,
): readonly StoredRecord[] {
  if (whole === undefined) return records
  return records.map((record, i) =>
    record.kind === 'entry' && whole.includes(i) ? { ...record, data: LEFT_OUT } : record,
  )
}

/**
 * The records with the values that came before; unreadable ones for values that are not to be taken.
 * @param sentValue undefined: no such value came. @throws StateError `invalid_message`.
 */
export function withValues(
  records: readonly StoredRecord[],
  { whole }: Whole,
  sentValue: (record: Entry) => string | RecordFlaw | undefined,
): readonly StoredRecord[] {
  if (whole === undefined) return records
  return records.map((record, i) => {
    if (!whole.includes(i) || isUnreadable(record)) return record
    const data = record.kind === 'entry' ? sentValue(record) : undefined
    if (record.kind !== 'entry' || data === undefined) throw invalid('whole', i)
    return typeof data === 'string' ? withData(record, data) : unreadable(record, data)
  })
}

/** Where the piece ends that begins at `at`, of about `maxBytes` as it is spelled in a message. */
export function endOfPiece(data: string, at: number, maxBytes: number): number {
  let bytes = 0
  let end = at
  while (end < data.length && bytes < maxBytes) {
    const unit = data.charCodeAt(end)
    bytes += spelledBytes(unit)
    end++
  }
  // The two halves of one character stay together, so that it costs four bytes and not twelve.
  const isHalf = end < data.length && (data.charCodeAt(end) & 0xfc00) === 0xdc00
  return isHalf ? end + 1 : end
}

/** The message as it is spelled, before it becomes JSON. */
export function pieceFields(message: PieceMessage): Fields {
  return message.t === 'offer' ? { ...message, version: String(message.version) } : { ...message }
}

/** undefined when it is another kind of message. @throws StateError `invalid_message`. */
export function decodePieceMessage(fields: Fields): PieceMessage | undefined {
  switch (fields.t) {
    case 'offer':
      return decodeOffer(fields)
    case 'piece': {
      const { data } = fields
      if (typeof data !== 'string' || data === '') throw invalid('data', data)
      return { t: 'piece', n: integer(fields, 'n'), at: integer(fields, 'at'), data }
    }
    case 'got':
      return { t: 'got', n: integer(fields, 'n'), at: integer(fields, 'at') }
    default:
      return undefined
  }
}

function decodeOffer(fields: Fields): Offer {
  const place = { t: 'offer', n: integer(fields, 'n'), size: integer(fields, 'size') } as const
  try {
    return {
      ...place,
      key: concreteKey(fields.key),
      version: stamp(fields.version, 'version'),
      origin: identifier(fields.origin, 'origin'),
      hash: valueHash(fields.hash),
    }
  } catch (error) {
    const found = flaw('invalid_message', errorText(error))
    const { key } = unreadable({ key: fields.key, origin: '' }, found)
    return { ...place, key, version: 0n, origin: '', hash: '', flaw: found }
  }
}

/** The field `whole` of a message with so many records. @throws StateError `invalid_message`. */
export function wholePlaces(fields: Fields, count: number): Whole {
  if (fields.whole === undefined) return {}
  return { whole: places(fields, 'whole', count) }
}

/** Places in a list of `count`. @throws StateError `invalid_message`. */
export function places(fields: Fields, name: string, count: number): number[] {
  return list(fields, name, count).map((value) => {
    const isPlace = Number.isInteger(value) && (value as number) >= 0 && (value as number) < count
    if (!isPlace) throw invalid(name, value)
    return value as number
  })
}

function concreteKey(value: unknown): string {
  if (typeof value !== 'string' || !isValidKey(value) || hasGlob(value)) {
    throw invalid('key', value)
  }
  return value
}

function valueHash(value: unknown): string {
  if (typeof value !== 'string' || !/^[0-9a-f]{16}$/.test(value)) throw invalid('hash', value)
  return value
}

function spelledBytes(unit: number): number {
  if (unit < 0x20) return 6
  if (unit === 0x22 || unit === 0x5c) return 2
  if (unit < 0x80) return 1
  if (unit < 0x800) return 2
  // A pair is four bytes.
  return unit >= 0xd800 && unit < 0xe000 ? 2 : 3
}
