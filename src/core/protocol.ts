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
 *
 * Comparing what the two hold goes on beside this: see `protocol-comparison.ts`.
 */
import type { StoredRecord } from './entry.ts'
import {
  type ComparisonMessage,
  type ComparisonReply,
  decodeComparisonMessage,
  decodeComparisonReply,
  encodeComparison,
} from './protocol-comparison.ts'
import {
  encodeRecord,
  identifier,
  integer,
  invalid,
  type LogPosition,
  list,
  MAX_RECORDS,
  parseFields,
  position,
  records,
  scope,
  stamp,
  string,
} from './protocol-fields.ts'

export type { LogPosition } from './protocol-fields.ts'

/** Version of the stream; a peer that speaks another one is refused. */
export const STREAM_PROTOCOL = 2

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

export interface Welcome {
  readonly t: 'welcome'
  readonly protocol: number
  readonly id: string
  readonly epoch: string
  /** Seq of the leader's last change. */
  readonly head: number
  /** True: rows continue after the cursor. False: after `head`, and the follower is to compare. */
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

export type FollowerMessage = Hello | Ack | Push | ComparisonMessage
export type LeaderMessage = Welcome | Rows | Pushed | Beat | ComparisonReply

export function encodeMessage(message: FollowerMessage | LeaderMessage): string {
  if (message.t === 'rows' || message.t === 'push') {
    return JSON.stringify({ ...message, records: message.records.map(encodeRecord) })
  }
  return encodeComparison(message) ?? JSON.stringify(message)
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
      return decodeComparisonMessage(fields)
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
      return decodeComparisonReply(fields)
  }
}

/** Most scopes one follower may ask for. */
const MAX_SCOPES = 1000

function outcome(value: unknown): PushOutcome {
  if (value === 'applied' || value === 'equal' || value === 'superseded' || value === 'refused') {
    return value
  }
  throw invalid('outcomes', value)
}
