/**
 * Records in messages. One that no node may hold does not make the message unreadable: it stands in its place as
 * `Unreadable`, so that places still count, and the check of records refuses it alone.
 */
import { LATEST_STAMP } from '../data/clock.ts'
import { type Entry, type StoredRecord, withFields } from '../data/entry.ts'
import { standInOrigin } from '../data/stand-in-origin.ts'
import { errorText } from '../errors.ts'
import { compactJson } from '../json/json.ts'
import { hasGlob, isValidKey } from '../keys/key.ts'
import { isUnreadable, type RecordFlaw, unreadable } from '../records/check.ts'
import { readFields } from '../records/fields.ts'
import { fieldsFlaw, flaw, keyFlaw, originFlaw, shown, stampFlaw } from '../records/flaw.ts'
import { type Fields, list } from './fields.ts'

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

/** The field `records`. @throws StateError `invalid_message` unless it is a list. */
export function records(fields: Fields): StoredRecord[] {
  return list(fields, 'records', MAX_RECORDS).map(readRecord)
}

/** The record with a value that came otherwise. */
export function withData(record: Entry, data: string): Entry {
  if (isUnreadable(record)) return record
  const compact = readData(data)
  return typeof compact === 'string' ? { ...record, data: compact } : unreadable(record, compact)
}

function readRecord(value: unknown): StoredRecord {
  if (!Array.isArray(value)) {
    const found = flaw('invalid_message', `${shown(value)} is no record`)
    return unreadable({ key: value, origin: '' }, found)
  }
  const parts: unknown[] = value
  const read = readParts(parts)
  return 'kind' in read ? read : unreadable({ key: parts[0], origin: parts[1] }, read)
}

function readParts(all: readonly unknown[]): StoredRecord | RecordFlaw {
  const last = all.at(-1)
  if (typeof last !== 'object' || last === null) return readBare(all)
  const fields = readFields(last as Fields)
  const bare = readBare(all.slice(0, -1))
  if (!('kind' in bare)) return bare
  return fields === undefined ? fieldsFlaw(last) : withFields(bare, fields)
}

function readBare(parts: readonly unknown[]): StoredRecord | RecordFlaw {
  const [key, from, first, second, data] = parts
  if (typeof key !== 'string' || !isValidKey(key) || hasGlob(key)) return keyFlaw(key)
  // A peer of an earlier release may hold records of an origin that it took by another door.
  if (typeof from !== 'string' || from.length > MAX_ORIGIN) return originFlaw(from)
  const origin = standInOrigin(from)
  if (parts.length !== 3 && parts.length !== 5) {
    return flaw('invalid_message', `${parts.length} parts are none of a record`)
  }
  const stamp = readStamp(first)
  if (stamp === undefined) return stampFlaw(first)
  if (parts.length === 3) return { kind: 'tombstone', key, origin, deleted: stamp }
  const updated = readStamp(second)
  if (updated === undefined) return stampFlaw(second)
  const compact = readData(data)
  if (typeof compact !== 'string') return compact
  return { kind: 'entry', key, origin, created: stamp, updated, data: compact }
}

function readData(data: unknown): string | RecordFlaw {
  if (typeof data !== 'string') return flaw('invalid_json', `data ${shown(data)} is no text`)
  try {
    return compactJson(data)
  } catch (error) {
    return flaw('invalid_json', errorText(error))
  }
}

function readStamp(value: unknown): bigint | undefined {
  if (typeof value !== 'string' || !/^\d{1,19}$/.test(value)) return undefined
  const ns = BigInt(value)
  return ns <= LATEST_STAMP ? ns : undefined
}
