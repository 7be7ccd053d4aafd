/**
 * A record as one line of JSON: what both formats of a backup hold. A line is for people and tools
 * too, so its shape is that of the meta object, with the origin and without the index:
 *
 * `{"key":"items/1","created":17…,"updated":0,"origin":"…","data":…}` for an entry,
 * `{"key":"items/2","deleted":17…,"origin":"…"}` for a tombstone; after the origin `"fields":{…}`, names and
 * texts, where the record has some (see `RecordFields`). In lines for people a last member `"crc":"<8 hex>"`
 * seals the line: the CRC-32 of the line without it, as this file spells it. So a line that was changed is
 * told from one that was only spaced or ordered again.
 *
 * Stamps are integers of nanoseconds and data is spelled as it was stored; neither goes through a
 * JavaScript number in either direction.
 */
import { crc32 } from 'node:zlib'
import { LATEST_STAMP } from '../../src/core/data/clock.ts'
import { type RecordFields, type StoredRecord, withFields } from '../../src/core/data/entry.ts'
import { withStandInOrigin } from '../../src/core/data/stand-in-origin.ts'
import { errorText, StateError } from '../../src/core/errors.ts'
import { compactJson, type JsonNode, parseNodes } from '../../src/core/json/json.ts'
import { hasGlob, isValidKey } from '../../src/core/keys/key.ts'
import { flawOf } from '../../src/core/records/check.ts'
import { readFields } from '../../src/core/records/fields.ts'

/** Greatest stamp that is taken: the year 2200. */
export const MAX_STAMP: bigint = LATEST_STAMP

/** The line of a record, without its line feed. Data is compact, so it holds no line feed either. */
export function encodeRecordLine(record: StoredRecord): string {
  const head = `{"key":"${record.key}",`
  const origin = `"origin":${JSON.stringify(record.origin)}`
  const named =
    record.fields === undefined ? origin : `${origin},"fields":${JSON.stringify(record.fields)}`
  if (record.kind === 'tombstone') return `${head}"deleted":${record.deleted},${named}}`
  return `${head}"created":${record.created},"updated":${record.updated},${named},"data":${record.data}}`
}

/** The line with its checksum. */
export function sealRecordLine(line: string): string {
  return `${line.slice(0, -1)},"crc":"${checksum(line)}"}`
}

/** A line that was read. */
export interface RecordLine {
  readonly record: StoredRecord
  /**
   * The line without its checksum, as it was written, when the checksum says that it is; undefined when it
   * has none.
   */
  readonly plain: string | undefined
}

export interface ReadLineOptions {
  /**
   * Gives records of earlier releases whose origin no node takes any more the one that stands in for it.
   * So it is with every sealed line. Default false: they are refused.
   */
  readonly standIn?: boolean
}

const CRC = /,"crc":"([0-9a-f]{8})"\}$/
const CRC_LENGTH = ',"crc":"00000000"}'.length
const ENTRY =
  /^\{"key":"([^"\\]+)","created":(\d{1,19}),"updated":(\d{1,19}),"origin":"([^"\\\s]+)","data":/
const TOMBSTONE = /^\{"key":"([^"\\]+)","deleted":(\d{1,19}),"origin":"([^"\\\s]+)"\}$/

/**
 * Reads a line, also one that a tool has spaced or ordered in its own way.
 * @throws StateError `invalid_json` or `invalid_message` naming what is wrong with it.
 */
export function readRecordLine(
  line: string,
  { standIn = false }: ReadLineOptions = {},
): RecordLine {
  const [, sealed] = CRC.exec(line.slice(-CRC_LENGTH)) ?? []
  const plain = sealed === undefined ? line : `${line.slice(0, -CRC_LENGTH)}}`
  const { record, crc } = decodePlain(plain) ?? decodeAnyLine(line)
  const named = crc ?? sealed
  if (named === undefined) {
    return { record: checked(standIn ? withStandInOrigin(record) : record), plain: undefined }
  }
  const written = encodeRecordLine(record)
  if (named === checksum(written)) {
    return { record: checked(withStandInOrigin(record)), plain: written }
  }
  throw invalid(`it was changed: its checksum is ${shorten(named)}; without "crc" it is a new one`)
}

/** As `readRecordLine`; gives the record. */
export function decodeRecordLine(line: string, options?: ReadLineOptions): StoredRecord {
  return readRecordLine(line, options).record
}

function checksum(line: string): string {
  return crc32(line).toString(16).padStart(8, '0')
}

/** A line as `encodeRecordLine` spells one without fields; undefined for any other. */
function decodePlain(line: string): { record: StoredRecord; crc?: undefined } | undefined {
  const entry = ENTRY.exec(line)
  if (entry !== null && line.endsWith('}')) {
    const [head, key = '', created = '', updated = '', origin = ''] = entry
    const data = compactJson(line.slice(head.length, -1))
    return { record: makeEntry(key, created, updated, origin, data) }
  }
  const tombstone = TOMBSTONE.exec(line)
  if (tombstone === null) return undefined
  const [, key = '', deleted = '', origin = ''] = tombstone
  return { record: makeTombstone(key, deleted, origin) }
}

function decodeAnyLine(line: string): { record: StoredRecord; crc: string | undefined } {
  const root = parseNodes(compactJson(line))
  if (root.kind !== 'object') throw invalid(`a record is an object, not ${shorten(root.raw)}`)
  const { members } = root
  const key = textOf(members, 'key')
  const origin = textOf(members, 'origin')
  const crc = members.has('crc') ? textOf(members, 'crc') : undefined
  const deleted = members.get('deleted')
  const fields = fieldsOf(members)
  if (deleted !== undefined) {
    refuseOthers(members, ['key', 'deleted', 'origin', 'fields', 'crc'])
    return { record: given(makeTombstone(key, deleted.raw, origin), fields), crc }
  }
  refuseOthers(members, ['key', 'created', 'updated', 'origin', 'fields', 'data', 'crc'])
  const created = members.get('created')?.raw ?? ''
  const updated = members.get('updated')?.raw ?? ''
  const data = members.get('data')
  if (data === undefined) throw invalid('"data" is missing')
  return { record: given(makeEntry(key, created, updated, origin, data.raw), fields), crc }
}

/** The record, unless no node may hold it. */
function checked(record: StoredRecord): StoredRecord {
  const flaw = flawOf(record)
  if (flaw !== undefined) throw invalid(flaw.text)
  return record
}

function given(record: StoredRecord, fields: RecordFields | undefined): StoredRecord {
  return fields === undefined ? record : withFields(record, fields)
}

function fieldsOf(members: ReadonlyMap<string, JsonNode>): RecordFields | undefined {
  const raw = members.get('fields')?.raw
  if (raw === undefined) return undefined
  const value: unknown = JSON.parse(raw)
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  const fields = isObject ? readFields(value as Record<string, unknown>) : undefined
  if (fields !== undefined) return fields
  throw invalid(`"fields" is ${shorten(raw)}, it must be an object of texts by name`)
}

function makeEntry(
  key: string,
  created: string,
  updated: string,
  origin: string,
  data: string,
): StoredRecord {
  assertConcrete(key)
  return {
    kind: 'entry',
    key,
    created: stampOf('created', created),
    updated: stampOf('updated', updated),
    origin,
    data,
  }
}

function makeTombstone(key: string, deleted: string, origin: string): StoredRecord {
  assertConcrete(key)
  return { kind: 'tombstone', key, deleted: stampOf('deleted', deleted), origin }
}

function assertConcrete(key: string): void {
  if (isValidKey(key) && !hasGlob(key)) return
  throw invalid(`"key" is ${shorten(JSON.stringify(key))}, which is no key of an entry`)
}

function stampOf(name: string, digits: string): bigint {
  if (/^\d{1,19}$/.test(digits)) {
    const stamp = BigInt(digits)
    if (stamp <= MAX_STAMP) return stamp
  }
  throw invalid(
    `"${name}" is ${digits === '' ? 'missing' : shorten(digits)}, it must be nanoseconds from 0 to ${MAX_STAMP}`,
  )
}

function textOf(members: ReadonlyMap<string, JsonNode>, name: string): string {
  const raw = members.get(name)?.raw
  if (raw?.startsWith('"')) return JSON.parse(raw) as string
  throw invalid(`"${name}" is ${raw === undefined ? 'missing' : shorten(raw)}, it must be a text`)
}

function refuseOthers(members: ReadonlyMap<string, JsonNode>, known: readonly string[]): void {
  for (const name of members.keys()) {
    if (!known.includes(name)) throw invalid(`a record has no ${shorten(JSON.stringify(name))}`)
  }
}

/** The start of a text, for messages. */
export function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

function invalid(text: string): StateError {
  return new StateError('invalid_message', `backup: ${text}`)
}

/** The reason in an error about a line, without the words every such error begins with. */
export function reasonOf(error: unknown): string {
  return errorText(error).replace(/^backup: /, '')
}
