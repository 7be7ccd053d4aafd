/**
 * What a record may be, one check for every way into a node: HTTP, in process, streams, the bus, shared
 * tables, SQL, backups and imports. Two parts:
 *
 * - `flawOf`: what no node may hold, whoever sends it, since others could not read it. A stored record that
 *   has such a flaw counts as damaged.
 * - `excessOf`: what is beyond the limits of size. What a node holds already, or its leader does, may be
 *   beyond them: it stays readable, can be deleted, and can be replaced by something smaller.
 */
import { LATEST_STAMP } from '../data/clock.ts'
import type { Entry, StoredRecord } from '../data/entry.ts'
import { isIdentifier } from '../data/origin.ts'
import { StateError } from '../errors.ts'
import { type JsonBounds, jsonExcess } from '../json/bounds.ts'
import { hasGlob, isValidKey, keyExcess } from '../keys/key.ts'
import { readFields } from './fields.ts'
import { fieldsFlaw, flaw, keyFlaw, originFlaw, type RecordFlaw, shown, stampFlaw } from './flaw.ts'

export type { RecordFlaw } from './flaw.ts'

/** Largest value that is taken when nothing is set, bytes of its JSON text as UTF-8: that of a body. */
export const DEFAULT_MAX_VALUE_BYTES: number = 10 * 1024 * 1024

export interface RecordLimits {
  /** Largest value that is taken, bytes of its compact JSON text as UTF-8. */
  readonly maxValueBytes: number
  /** Deepest nesting, and most items and members, of a value that is taken. */
  readonly json: JsonBounds
}

/** What stands in a message for a record that cannot be one: in its place among the others, and refused by every check. */
export interface Unreadable extends Entry {
  readonly flaw: RecordFlaw
}

/** @param came what came in the place of the key and of the origin; the key is kept where a record can have it. */
export function unreadable(
  came: { readonly key: unknown; readonly origin: unknown },
  found: RecordFlaw,
): Unreadable {
  const { key, origin } = came
  const isKey = typeof key === 'string' && isValidKey(key) && !hasGlob(key)
  return {
    kind: 'entry',
    key: isKey ? key : '',
    origin: isIdentifier(origin) ? origin : '',
    ...{ created: 0n, updated: 0n, data: '' },
    flaw: isKey ? found : { ...found, key: typeof key === 'string' ? key : '' },
  }
}

export function isUnreadable(record: StoredRecord): record is Unreadable {
  return 'flaw' in record
}

/** What is wrong with a record wherever it comes from; undefined for nothing. */
export function flawOf(record: StoredRecord): RecordFlaw | undefined {
  if (isUnreadable(record)) return record.flaw
  const { fields } = record
  const found = nameFlaw(record)
  if (found !== undefined) return found
  if (fields !== undefined && readFields(fields) === undefined) {
    return fieldsFlaw(fields)
  }
  return record.kind === 'entry' ? dataFlaw(record.data) : undefined
}

/** What is wrong with the key, origin or stamps of a record. */
export function nameFlaw(record: StoredRecord): RecordFlaw | undefined {
  const { key, origin } = record
  if (!isValidKey(key) || hasGlob(key)) return keyFlaw(key)
  if (!isIdentifier(origin)) return originFlaw(origin)
  const stamp = record.kind === 'entry' ? stampOf(record.created, record.updated) : record.deleted
  return stamp < 0n || stamp > LATEST_STAMP ? stampFlaw(stamp) : undefined
}

/**
 * What is too great in a record that is to take the place of `before`, undefined for nothing. Only what
 * makes it greater counts: a tombstone of a key that is held is always taken, and so is the same value.
 */
export function excessOf(
  record: StoredRecord,
  before: StoredRecord | undefined,
  { maxValueBytes, json }: RecordLimits,
): RecordFlaw | undefined {
  if (record.kind === 'tombstone' && before !== undefined) return undefined
  const held = before?.kind === 'entry' ? before.data : undefined
  if (record.kind === 'entry' && held === record.data) return undefined
  const excess = keyExcess(record.key)
  if (excess !== undefined) return flaw('invalid_key', `key ${shown(record.key)} ${excess}`)
  if (record.kind === 'tombstone') return undefined
  const bytes = valueBytes(record.data, maxValueBytes)
  const isSmaller = held !== undefined && bytes > maxValueBytes && bytes < utf8Length(held)
  if (bytes > maxValueBytes && !isSmaller) {
    return flaw('too_large', `value of ${bytes} bytes, the limit is ${maxValueBytes}`)
  }
  const found = jsonExcess(record.data, json, held)
  return found && flaw(found.code, found.message)
}

/** What is wrong with a record or too great in it, all in all. */
export function refusalOf(
  record: StoredRecord,
  before: StoredRecord | undefined,
  limits: RecordLimits,
): RecordFlaw | undefined {
  return flawOf(record) ?? excessOf(record, before, limits)
}

/** @throws StateError naming the key and what is wrong; see `refusalOf`. */
export function assertRecord(
  record: StoredRecord,
  before: StoredRecord | undefined,
  limits: RecordLimits,
): void {
  const refusal = refusalOf(record, before, limits)
  if (refusal !== undefined) throw refusedRecord(record.key, refusal)
}

/** The error that says so. */
export function refusedRecord(key: string, { code, text }: RecordFlaw): StateError {
  return new StateError(code, `storage: key ${shown(key)}: ${text}`)
}

/** JSON text that may stand in a row: one line, and text that UTF-8 can spell. */
function dataFlaw(data: string): RecordFlaw | undefined {
  if (data === '') return flaw('invalid_json', 'invalid data (empty)')
  // Half a pair has no UTF-8: what is read back would not be what was written.
  if (!(data as unknown as WellFormedText).isWellFormed()) {
    return flaw('invalid_json', 'invalid JSON: half a surrogate pair, write it as \\uXXXX')
  }
  // Compact JSON has no line feed, and a row ends its head with one.
  return data.includes('\n') ? flaw('invalid_json', 'data is not compact JSON') : undefined
}

/** What engines have since ECMAScript 2024, which is not among the types of this package. */
interface WellFormedText {
  isWellFormed(): boolean
}

function stampOf(created: bigint, updated: bigint): bigint {
  if (created < 0n || updated < 0n) return -1n
  return updated > created ? updated : created
}

/** Bytes of the text as UTF-8; counted only where they may pass the limit. */
function valueBytes(data: string, limit: number): number {
  return data.length * 3 <= limit ? data.length : utf8Length(data)
}

/** Bytes of well-formed text in UTF-8. */
function utf8Length(text: string): number {
  let bytes = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    // Each half of a pair is two of its four bytes.
    if (unit > 0x7f) bytes += unit > 0x7ff && (unit < 0xd800 || unit > 0xdfff) ? 2 : 1
  }
  return bytes
}
