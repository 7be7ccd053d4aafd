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
 *    │ terms (n) ───────────────────▶ │   now and then
 *    │ ◀──────── terms (clock, …)     │   and once after the welcome
 * ```
 *
 * Comparing what the two hold goes on beside this: see `wire/comparison.ts`. Where both are on a
 * bus, rows may come over that: see `wire/bus.ts`. Large values travel in pieces: see
 * `wire/pieces.ts`. What an elected leader needs to decide: see `wire/voting.ts`.
 */
import type { StoredRecord } from '../data/entry.ts'
import { StateError } from '../errors.ts'
import { type BusInvitation, decodeFeedRequest, type FeedRequest, invitation } from './bus.ts'
import {
  type ComparisonMessage,
  type ComparisonReply,
  comparisonFields,
  decodeComparisonMessage,
  decodeComparisonReply,
} from './comparison.ts'
import {
  type Fields,
  identifier,
  integer,
  type LogPosition,
  list,
  parseFields,
  position,
  scope,
  stamp,
  string,
} from './fields.ts'
import { type Knowledge, type KnownPlace, readKnowledge, readKnownPlaces } from './known.ts'
import {
  decodeLeaderClock,
  decodeLeaderClockQuestion,
  type LeaderClock,
  type LeaderClockQuestion,
  leaderClockFields,
} from './leader-clock.ts'
import { type NodeIdentity, readNodeIdentity } from './node.ts'
import {
  decodePieceMessage,
  type PieceMessage,
  pieceFields,
  type Whole,
  wholePlaces,
  withoutValues,
} from './pieces.ts'
import { decodePush, decodePushed, type Push, type Pushed } from './push.ts'
import { encodeRecord, records } from './records.ts'
import { decodeGrant, decodeVote, type Grant, type Vote, votingFields } from './voting.ts'

export type { LogPosition } from './fields.ts'
export type { Push, Pushed, PushOutcome, PushReason } from './push.ts'

/** Newest version of the stream that this release speaks. 3: records have fields, large values travel in pieces. */
export const STREAM_PROTOCOL = 3
/** Oldest version that it still speaks, with peers of the release before. */
export const OLDEST_STREAM_PROTOCOL = 2

/**
 * The version that a leader and a follower speak: a hello names the newest of the follower, a welcome what
 * both speak. undefined when there is none.
 */
export function commonProtocol(offered: number): number | undefined {
  return offered < OLDEST_STREAM_PROTOCOL ? undefined : Math.min(offered, STREAM_PROTOCOL)
}

/** Why a peer with this protocol is refused. */
export function protocolRefusal(protocol: number): string {
  return `stream protocol ${protocol}, this node speaks ${OLDEST_STREAM_PROTOCOL} to ${STREAM_PROTOCOL}`
}

/** Whether this is how a leader of the release before, which knows one version only, refuses ours. */
export function isRefusalOfOlder(refusal: string): boolean {
  return /stream protocol \d+, this node speaks 2(?! to)/.test(refusal)
}

/** Where the stream is served. */
export const STREAM_PATH = '/_pivot/stream'

/** The header that carries the cluster token. */
export const TOKEN_HEADER = 'x-ooo-cluster-token'

export interface Hello extends NodeIdentity {
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
  /**
   * While it compares, a place of the log with which all it holds and is not pending came from the log,
   * or was in it before; null when that is not known.
   */
  readonly base: LogPosition | null
  /**
   * Of the log of the cursor's epoch it holds everything up to here but what travels in pieces. Default: no
   * more than the cursor says.
   */
  readonly beyond?: number
  /** It can take rows from a bus. Default: it can not. */
  readonly bus?: boolean
  /** Other places with which `base` would be as true, for a leader that does not know its log. Default: none. */
  readonly known?: readonly KnownPlace[]
}

export interface Welcome extends Knowledge {
  readonly t: 'welcome'
  readonly protocol: number
  readonly id: string
  readonly epoch: string
  /** Seq of the leader's last change. */
  readonly head: number
  /** True: rows continue after the cursor. False: after `head`, and the follower is to compare. */
  readonly resume: boolean
  /** Whether nothing was lost of what the log was when the follower had the place it told. */
  readonly continues: boolean
  /** The leader's wall clock, nanoseconds, as integer text. */
  readonly clock: string
  /**
   * Tombstones up to this stamp, nanoseconds as integer text, were removed after the place that it knows;
   * "0" when none were, or when it knows none.
   */
  readonly forgotten: string
  /** Longest value it takes, bytes. Default: not told. */
  readonly maxValueBytes?: number
  /** Where the leader publishes what it commits, when it does. */
  readonly bus?: BusInvitation
}

export interface Rows extends Whole {
  readonly t: 'rows'
  readonly records: readonly StoredRecord[]
  /** All changes in scope up to this seq have been sent. */
  readonly through: number
  /** From `through` to here all have been sent but those whose values travel in pieces. Default: `through`. */
  readonly beyond?: number
  readonly head: number
  /** Number of the feed they belong to. Default 0: the follower has not asked for another. */
  readonly feed?: number
}

export interface Ack {
  readonly t: 'ack'
  /** What was sent up to this seq is durable at the follower. */
  readonly seq: number
  /** As in `Rows`. Default: `seq`. */
  readonly beyond?: number
  /** Whether the follower holds everything up to there; false while it compares with a log new to it. */
  readonly complete: boolean
}

export interface Beat {
  readonly t: 'beat'
  readonly through: number
  readonly head: number
  /** See `Rows`. */
  readonly feed?: number
  /** False: what the leader publishes does not get to the bus. Default: as far as it knows it does. */
  readonly bus?: false
}

export type FollowerMessage =
  | Hello
  | Ack
  | Push
  | FeedRequest
  | LeaderClockQuestion
  | Vote
  | ComparisonMessage
  | PieceMessage
export type LeaderMessage =
  | Welcome
  | Rows
  | Pushed
  | Beat
  | LeaderClock
  | Grant
  | ComparisonReply
  | PieceMessage

/** @param protocol what the two peers speak. */
export function encodeMessage(
  message: FollowerMessage | LeaderMessage,
  protocol: number = STREAM_PROTOCOL,
): string {
  if (message.t === 'rows' || message.t === 'push') {
    const { whole, withheld } = { withheld: undefined, ...message }
    const records = withoutValues(withoutValues(message.records, { whole }), { whole: withheld })
    const encoded = records.map((record) => encodeRecord(record, protocol))
    return JSON.stringify({ ...message, records: encoded })
  }
  if (message.t === 'terms' && 'clock' in message) return JSON.stringify(leaderClockFields(message))
  if (message.t === 'grant' || message.t === 'vote') return JSON.stringify(votingFields(message))
  if (message.t === 'offer' || message.t === 'piece' || message.t === 'got') {
    return JSON.stringify(pieceFields(message))
  }
  const isReply = message.t === 'digests' || message.t === 'found'
  return JSON.stringify(isReply ? comparisonFields(message, protocol) : message)
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
        scopes: scopesOf(fields),
        cursor: position(fields, 'cursor'),
        seen: position(fields, 'seen'),
        base: position(fields, 'base'),
        ...optional(fields, 'beyond'),
        ...(fields.bus === true ? { bus: true } : {}),
        ...readKnownPlaces(fields),
        ...readNodeIdentity(fields),
      }
    case 'ack':
      return {
        t: 'ack',
        seq: integer(fields, 'seq'),
        ...optional(fields, 'beyond'),
        complete: fields.complete === true,
      }
    case 'push':
      return decodePush(fields)
    case 'feed':
      return decodeFeedRequest(fields)
    case 'terms':
      return decodeLeaderClockQuestion(fields)
    case 'vote':
      return decodeVote(fields)
    default:
      return decodePieceMessage(fields) ?? decodeComparisonMessage(fields)
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
        continues: fields.continues === true,
        clock: String(stamp(fields.clock, 'clock')),
        forgotten: String(stamp(fields.forgotten, 'forgotten')),
        ...readKnowledge(fields),
        ...optional(fields, 'maxValueBytes'),
        ...(fields.bus === undefined ? {} : { bus: invitation(fields.bus) }),
      }
    case 'rows': {
      const found = records(fields)
      const whole = wholePlaces(fields, found.length)
      return {
        t: 'rows',
        records: found,
        ...whole,
        ...logPlace(fields),
        ...optional(fields, 'beyond'),
      }
    }
    case 'pushed':
      return decodePushed(fields)
    case 'beat':
      return { t: 'beat', ...logPlace(fields), ...(fields.bus === false ? { bus: false } : {}) }
    case 'terms':
      return decodeLeaderClock(fields)
    case 'grant':
      return decodeGrant(fields)
    default:
      return decodePieceMessage(fields) ?? decodeComparisonReply(fields)
  }
}

function logPlace(fields: Fields): Pick<Rows, 'through' | 'head' | 'feed'> {
  return {
    through: integer(fields, 'through'),
    head: integer(fields, 'head'),
    ...(fields.feed === undefined ? {} : { feed: integer(fields, 'feed') }),
  }
}

/** A whole number that need not be there. */
function optional<Name extends string>(fields: Fields, name: Name): { [name in Name]?: number } {
  if (fields[name] === undefined) return {}
  return { [name]: integer(fields, name) } as { [name in Name]: number }
}

/** Most scopes one follower may ask for. */
const MAX_SCOPES = 1000

function scopesOf(fields: Fields): string[] {
  const scopes = list(fields, 'scopes', MAX_SCOPES).map(scope)
  if (scopes.length > 0) return scopes
  throw new StateError('invalid_message', 'stream: a hello with no scopes')
}
