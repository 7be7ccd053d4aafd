/**
 * The replication stream: every message between a follower and its leader, and how it is spelled.
 * Messages are JSON texts, one per WebSocket message; stamps are integer text, so no number
 * passes through a double; a record's data travels as a string, digit for digit.
 *
 * ```
 * follower                        leader
 *    │ hello (scopes, cursor) ──────▶ │
 *    │ ◀──────────── welcome (resume) │
 *    │ ◀──────── rows … (through seq) │   as far as the window of unacknowledged bytes allows
 *    │ ack (seq) ───────────────────▶ │
 *    │ push (n, rows) ──────────────▶ │
 *    │ ◀──────── pushed (n, outcomes) │
 *    │ ◀─────────────── beat (through)│   when idle; answered by an ack
 * ```
 */
import type { StoredRecord } from './entry.ts'
import { StateError } from './errors.ts'
import { compactJson } from './json.ts'
import { hasGlob, isValidKey } from './key.ts'

/** Version of the stream; a peer that speaks another one is refused. */
export const STREAM_PROTOCOL = 1

/** Where the stream is served. */
export const STREAM_PATH = '/_pivot/stream'

/** The header that carries the cluster token. */
export const TOKEN_HEADER = 'x-ooo-cluster-token'

/** What became of a pushed record at the leader. Only `refused` ones stay in the outbox. */
export type PushOutcome = 'applied' | 'equal' | 'superseded' | 'refused'

export interface Hello {
  readonly t: 'hello'
  readonly protocol: number
  /** The follower's node id and its display name. */
  readonly id: string
  readonly name: string
  /** Key paths and globs it follows. */
  readonly scopes: readonly string[]
  /** Up to where it has applied this leader's log; null when it never did. */
  readonly cursor: LogPosition | null
  /** The newest state of the log that what it holds depends on; null when it holds none of it. */
  readonly seen: LogPosition | null
}

/** A place in one node's change log. */
export interface LogPosition {
  /** Id of the life of the log in which the place was learnt. */
  readonly epoch: string
  /** Everything up to and including this seq. */
  readonly seq: number
}

export interface Welcome {
  readonly t: 'welcome'
  readonly protocol: number
  readonly id: string
  readonly epoch: string
  /** Seq of the leader's last change. */
  readonly head: number
  /** True: rows continue after the cursor. False: everything is sent, from the start of the log. */
  readonly resume: boolean
  /** The leader's wall clock, nanoseconds, as integer text. */
  readonly clock: string
}

export interface Rows {
  readonly t: 'rows'
  readonly records: readonly StoredRecord[]
  /** All changes in scope up to this seq have been sent. */
  readonly through: number
  readonly head: number
}

export interface Ack {
  readonly t: 'ack'
  /** Everything up to this seq is durable at the follower. */
  readonly seq: number
}

export interface Push {
  readonly t: 'push'
  /** Number of this push on this connection, from 1. */
  readonly n: number
  readonly records: readonly StoredRecord[]
}

export interface Pushed {
  readonly t: 'pushed'
  readonly n: number
  /** One per record, in order. */
  readonly outcomes: readonly PushOutcome[]
  /** Seq of the leader's last change once these were merged. */
  readonly head: number
}

export interface Beat {
  readonly t: 'beat'
  readonly through: number
  readonly head: number
}

export type FollowerMessage = Hello | Ack | Push
export type LeaderMessage = Welcome | Rows | Pushed | Beat

export function encodeMessage(message: FollowerMessage | LeaderMessage): string {
  if (message.t === 'rows' || message.t === 'push') {
    return JSON.stringify({ ...message, records: message.records.map(encodeRecord) })
  }
  return JSON.stringify(message)
}

/** @throws StateError `invalid_message` saying which field is wrong. */
export function decodeFollowerMessage(text: string): FollowerMessage {
  const fields = parseFields(text)
  switch (fields.t) {
    case 'hello':
      return {
        t: 'hello',
        protocol: integer(fields, 'protocol'),
        id: identifier(fields.id, 'id'),
        name: string(fields, 'name', 200),
        scopes: list(fields, 'scopes', MAX_SCOPES).map(scope),
        cursor: position(fields, 'cursor'),
        seen: position(fields, 'seen'),
      }
    case 'ack':
      return { t: 'ack', seq: integer(fields, 'seq') }
    case 'push':
      return { t: 'push', n: integer(fields, 'n'), records: records(fields) }
    default:
      throw invalid('t', fields.t)
  }
}

/** @throws StateError `invalid_message` saying which field is wrong. */
export function decodeLeaderMessage(text: string): LeaderMessage {
  const fields = parseFields(text)
  switch (fields.t) {
    case 'welcome':
      return {
        t: 'welcome',
        protocol: integer(fields, 'protocol'),
        id: identifier(fields.id, 'id'),
        epoch: identifier(fields.epoch, 'epoch'),
        head: integer(fields, 'head'),
        resume: fields.resume === true,
        clock: String(stamp(fields.clock, 'clock')),
      }
    case 'rows':
      return {
        t: 'rows',
        records: records(fields),
        through: integer(fields, 'through'),
        head: integer(fields, 'head'),
      }
    case 'pushed':
      return {
        t: 'pushed',
        n: integer(fields, 'n'),
        outcomes: list(fields, 'outcomes', MAX_RECORDS).map(outcome),
        head: integer(fields, 'head'),
      }
    case 'beat':
      return { t: 'beat', through: integer(fields, 'through'), head: integer(fields, 'head') }
    default:
      throw invalid('t', fields.t)
  }
}

/** Most scopes one follower may ask for, and most records in one message. */
const MAX_SCOPES = 1000
const MAX_RECORDS = 10_000
const MAX_STAMP = 0x7fff_ffff_ffff_ffffn

type Fields = Readonly<Record<string, unknown>>

/** Entry: `[key, origin, created, updated, data]`; tombstone: `[key, origin, deleted]`. */
function encodeRecord(record: StoredRecord): string[] {
  if (record.kind === 'tombstone') return [record.key, record.origin, String(record.deleted)]
  const { key, origin, created, updated, data } = record
  return [key, origin, String(created), String(updated), data]
}

function decodeRecord(value: unknown): StoredRecord {
  if (!Array.isArray(value)) throw invalid('records', value)
  const fields: unknown[] = value
  const [key, from, first, second, data] = fields
  if (typeof key !== 'string' || !isValidKey(key) || hasGlob(key)) throw invalid('key', key)
  const origin = identifier(from, 'origin')
  if (fields.length === 3) {
    return { kind: 'tombstone', key, origin, deleted: stamp(first, 'deleted') }
  }
  if (fields.length !== 5 || typeof data !== 'string') throw invalid('data', data)
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

function parseFields(text: string): Fields {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new StateError('invalid_message', 'stream: a message is not JSON', { cause })
  }
  if (typeof value !== 'object' || value === null) throw invalid('message', value)
  return value as Fields
}

function records(fields: Fields): StoredRecord[] {
  return list(fields, 'records', MAX_RECORDS).map(decodeRecord)
}

function list(fields: Fields, name: string, limit: number): unknown[] {
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

function integer(fields: Fields, name: string): number {
  const value = fields[name]
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw invalid(name, value)
  return value as number
}

function string(fields: Fields, name: string, limit: number): string {
  const value = fields[name]
  if (typeof value !== 'string' || value.length > limit) throw invalid(name, value)
  return value
}

function stamp(value: unknown, name: string): bigint {
  if (typeof value !== 'string' || !/^\d{1,19}$/.test(value)) throw invalid(name, value)
  const ns = BigInt(value)
  if (ns > MAX_STAMP) throw invalid(name, value)
  return ns
}

function identifier(value: unknown, name: string): string {
  if (typeof value !== 'string' || !/^[\w-]{1,64}$/.test(value)) throw invalid(name, value)
  return value
}

function scope(value: unknown): string {
  if (typeof value !== 'string' || !isValidKey(value)) throw invalid('scopes', value)
  return value
}

function position(fields: Fields, name: string): LogPosition | null {
  const value = fields[name]
  if (value === null) return null
  if (typeof value !== 'object') throw invalid(name, value)
  const place = value as Fields
  return { epoch: identifier(place.epoch, `${name}.epoch`), seq: integer(place, 'seq') }
}

function outcome(value: unknown): PushOutcome {
  if (value === 'applied' || value === 'equal' || value === 'superseded' || value === 'refused') {
    return value
  }
  throw invalid('outcomes', value)
}

function invalid(name: string, value: unknown): StateError {
  const shown = String(typeof value === 'object' ? JSON.stringify(value) : value).slice(0, 80)
  return new StateError('invalid_message', `stream: field "${name}" has the wrong value ${shown}`)
}
