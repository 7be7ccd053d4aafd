/** Reading the fields of stream messages: each check names the field and shows what it found. */
import { LATEST_STAMP } from './clock.ts'
import { type StoredRecord, withFields } from './entry.ts'
import { StateError } from './errors.ts'
import { compactJson } from './json.ts'
import { hasGlob, isValidKey } from './key.ts'
import { isIdentifier } from './origin.ts'
import { readFields } from './record-fields.ts'
import { standInOrigin } from './stand-in-origin.ts'

/** A place in one node's change log. */
export interface LogPosition {
  /** Id of the life of the log in which the place was learnt. */
  readonly epoch: string
  /** Everything up to and including this seq. */
  readonly seq: number
}

/** A message before its fields are known to be right. */
export type Fields = Readonly<Record<string, unknown>>

/** Most records in one message. */
export const MAX_RECORDS = 10_000

/** Longest origin of an earlier release, UTF-16 units. */
const MAX_ORIGIN = 1000

/** The first version of the stream in which records have fields, marks among them. */
export const PROTOCOL_WITH_FIELDS = 3

/**
 * Entry: `[key, origin, created, updated, data]`; tombstone: `[key, origin, deleted]`. After it an object
 * with the record's fields, where it has some and the protocol has them, which is from 3.
 */
export function encodeRecord(record: StoredRecord, protocol: number): unknown[] {
  const { key, origin, fields } = record
  const parts =
    record.kind === 'tombstone'
      ? [key, origin, String(record.deleted)]
      : [key, origin, String(record.created), String(record.updated), record.data]
  return fields === undefined || protocol < PROTOCOL_WITH_FIELDS ? parts : [...parts, fields]
}

function decodeRecord(value: unknown): StoredRecord {
  if (!Array.isArray(value)) throw invalid('records', value)
  const parts: unknown[] = value
  const last = parts.at(-1)
  if (typeof last !== 'object' || last === null) return decodeParts(parts)
  const fields = readFields(last as Fields)
  if (fields === undefined) throw invalid('fields', last)
  return withFields(decodeParts(parts.slice(0, -1)), fields)
}

function decodeParts(parts: readonly unknown[]): StoredRecord {
  const [key, from, first, second, data] = parts
  if (typeof key !== 'string' || !isValidKey(key) || hasGlob(key)) throw invalid('key', key)
  const origin = originOf(from)
  if (parts.length === 3) {
    return { kind: 'tombstone', key, origin, deleted: stamp(first, 'deleted') }
  }
  if (parts.length !== 5 || typeof data !== 'string') throw invalid('data', data)
  const created = stamp(first, 'created')
  return {
    kind: 'entry',
    key,
    origin,
    created,
    updated: stamp(second, 'updated'),
    data: compactJson(data),
  }
}

/**
 * A peer of an earlier release may hold records of an origin that it took by another door. One such record
 * must not end the stream.
 */
function originOf(value: unknown): string {
  if (typeof value !== 'string' || value.length > MAX_ORIGIN) throw invalid('origin', value)
  return standInOrigin(value)
}

/** @throws StateError `invalid_message` unless the text is a JSON object. */
export function parseFields(text: string): Fields {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new StateError('invalid_message', 'stream: a message is not JSON', { cause })
  }
  if (typeof value !== 'object' || value === null) throw invalid('message', value)
  return value as Fields
}

/** The field `records`. @throws StateError `invalid_message`, as every function below. */
export function records(fields: Fields): StoredRecord[] {
  return list(fields, 'records', MAX_RECORDS).map(decodeRecord)
}

/** A list of at most `limit` items. */
export function list(fields: Fields, name: string, limit: number): unknown[] {
  const value = fields[name]
  if (!Array.isArray(value)) throw invalid(name, value)
  if (value.length > limit) {
    throw new StateError(
      'invalid_message',
      `stream: ${value.length} ${name}, the limit is ${limit}`,
    )
  }
  return value
}

/** A whole number from 0. */
export function integer(fields: Fields, name: string): number {
  const value = fields[name]
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw invalid(name, value)
  return value as number
}

/** A text of at most `limit` UTF-16 units. */
export function string(fields: Fields, name: string, limit: number): string {
  const value = fields[name]
  if (typeof value !== 'string' || value.length > limit) throw invalid(name, value)
  return value
}

/** Nanoseconds as integer text. */
export function stamp(value: unknown, name: string): bigint {
  if (typeof value !== 'string' || !/^\d{1,19}$/.test(value)) throw invalid(name, value)
  const ns = BigInt(value)
  if (ns > LATEST_STAMP) throw invalid(name, value)
  return ns
}

/** An id of a node or an epoch. */
export function identifier(value: unknown, name: string): string {
  if (!isIdentifier(value)) throw invalid(name, value)
  return value
}

/** A key or glob. */
export function scope(value: unknown): string {
  if (typeof value !== 'string' || !isValidKey(value)) throw invalid('scopes', value)
  return value
}

/** A place in a log, or null. */
export function position(fields: Fields, name: string): LogPosition | null {
  const value = fields[name]
  if (value === null) return null
  if (typeof value !== 'object') throw invalid(name, value)
  const place = value as Fields
  return { epoch: identifier(place.epoch, `${name}.epoch`), seq: integer(place, 'seq') }
}

/** What is thrown for a field with a wrong value. */
export function invalid(name: string, value: unknown): StateError {
  const shown = String(typeof value === 'object' ? JSON.stringify(value) : value).slice(0, 80)
  return new StateError('invalid_message', `stream: field "${name}" has the wrong value ${shown}`)
}
