/** The states, events and effects of a follower's link, which `follower/state/state.ts` connects. */
import type { Digest } from '../../../src/core/data/digest.ts'
import type { StoredRecord } from '../../../src/core/data/entry.ts'
import type { ErrorCode } from '../../../src/core/errors.ts'
import type { Digests, KeySet } from '../../../src/core/wire/comparison.ts'
import type { LeaderClock } from '../../../src/core/wire/leader-clock.ts'
import type { MemberNode } from '../../../src/core/wire/node.ts'
import type { PieceMessage } from '../../../src/core/wire/pieces.ts'
import type {
  FollowerMessage,
  LeaderMessage,
  LogPosition,
  Rows,
} from '../../../src/core/wire/protocol.ts'
import {
  isRefusalOfOlder,
  OLDEST_STREAM_PROTOCOL,
  STREAM_PROTOCOL,
} from '../../../src/core/wire/protocol.ts'
import type { Grant } from '../../../src/core/wire/voting.ts'
import type { SequencedRow } from '../../../src/store/format/rows.ts'
import type { Apart, InStep } from '../../../src/store/lineage/in-step.ts'
import type { SentRow } from '../../../src/store/replication/replication.ts'
import type { Comparison } from '../../anti-entropy/comparison.ts'
import type {
  ComparisonEffect,
  ComparisonEvent,
  Tally,
} from '../../anti-entropy/comparison-events.ts'
import type { ClusterLimits } from '../../config/options.ts'
import type { Feed, FeedReason, SizedBatch } from './feed.ts'
import type { Overtaking } from './overtaking.ts'

/** Who this follower is and what it follows the leader for. */
export interface FollowerIdentity {
  readonly id: string
  readonly name: string
  readonly scopes: readonly string[]
  /** Newest version of the stream that it offers this leader. Default: the newest of all. */
  readonly protocol?: number
  /** Where this node is, for its leader. */
  readonly node?: MemberNode
  /** Whether it has a bus. Default false. */
  readonly bus?: boolean
  /** See `Hello`. */
  readonly incarnations?: readonly string[]
  readonly url?: string
}

export interface LinkData {
  /** Counts connections; effects of an earlier one come back with its number and are ignored. */
  readonly session: number
  readonly progress: LinkProgress
}

/** What a follower knows for sure of its leader's log; durable. */
export interface LinkProgress {
  /** Up to where the log has been applied. */
  readonly cursor: LogPosition | null
  /**
   * The newest state of the log that what we hold depends on: pages leave out changes that were
   * superseded up to there, and acknowledged pushes are in the log up to there. A leader that lost
   * its log below this place may lack what it acknowledged and may have gone back to what we
   * skipped, so it is compared with in full.
   */
  readonly seen: LogPosition | null
  /**
   * While comparing, a place of the leader's log with which all that is held and not pending came from the
   * log, or was in it before: the cursor before, or the start for a node that held nothing. A
   * comparison that was broken off begins again from it, or else what the leader has deleted and
   * forgotten since would be taken for news.
   */
  readonly base?: LogPosition | undefined
  /** Up to here all has been applied but what travels in pieces; in the log of the cursor. */
  readonly beyond?: number | undefined
  /** Id of the leader whose log it is; absent in what earlier builds stored. */
  readonly leader?: string | undefined
  /** What the base says nothing of, of what is held. Default: it is about all of it. */
  readonly apart?: Apart | undefined
  /** See `StoredProgress`. */
  readonly forgotten?: string | undefined
  readonly heardMs?: number | undefined
}

/** What is known while connected and welcomed. */
export interface Following extends LinkData {
  readonly leader: { readonly id: string; readonly epoch: string; readonly head: number }
  /** Version of the stream that is spoken. */
  readonly protocol: number
  /** Up to where the leader's log has been applied on this connection or before it. */
  readonly applied: number
  /** Up to where it has been applied but for what travels in pieces. */
  readonly beyond: number
  /** Up to where it has been applied, or will be by what is under way. */
  readonly covered: number
  /** What is being compared; undefined when nothing is. */
  readonly comparison: Comparison | undefined
  /** Number of the latest question of a comparison. */
  readonly asked: number
  /** Number of the next push. */
  readonly nextPush: number
  /** Pushes sent, by number, until acknowledged and dropped from the outbox. */
  readonly pushes: ReadonlyMap<number, readonly SentRow[]>
  /** What goes up in pieces, before it is pushed; undefined: nothing does. */
  readonly upload: { readonly row: SequencedRow; readonly isDone: boolean } | undefined
  /** Longest value that the leader takes, bytes; undefined: it has not told. */
  readonly maxValueBytes: number | undefined
  /** Rows whose values were left out of a push, by its number. */
  readonly withheld: ReadonlyMap<number, SequencedRow>
  /** Seqs of other rows that are to go up in pieces, one after the other. */
  readonly later: ReadonlySet<number>
  /** What later changes of its origin go up before. */
  readonly overtaken: Overtaking
  /** Seqs that the leader refused on this connection: kept in the outbox, not sent again. */
  readonly refused: ReadonlySet<number>
  /** Rows that the leader found stamped too far in the future: nothing is pushed until they are restamped. */
  readonly drifted: readonly SentRow[]
  /**
   * Our own changes that the leader merged after what it has sent: its log has them up to `head`, and
   * they are not sent back. Told as no lag.
   */
  readonly own: { readonly head: number; readonly count: number }
  /**
   * Whether the leader holds all that was held here when the connection began: once this push and all
   * before it are settled, `yes` from then on; undefined: not all of it has been pushed yet.
   */
  readonly hold: number | 'yes' | undefined
  /** Where rows come from; anywhere but from the stream only while live. */
  readonly feed: Feed
  /** Beat intervals since the leader was last heard. */
  readonly silentBeats: number
}

export type FollowerState =
  | ({ readonly kind: 'offline' } & LinkData)
  | ({
      readonly kind: 'greeting'
      readonly silentBeats: number
      /** Other places that the leader was told, in this order. */
      readonly known: readonly InStep[]
    } & LinkData)
  | ({ readonly kind: 'comparing'; readonly isCaughtUp: boolean } & Following)
  | ({ readonly kind: 'catchingUp' } & Following)
  | ({ readonly kind: 'live' } & Following)
  | { readonly kind: 'closed' }

export type FollowerEvent =
  | { readonly type: 'up' }
  | { readonly type: 'down' }
  /** Answer to `quiesce`: no durable step is under way. `known`: marks beside the progress. Default: none. */
  | { readonly type: 'quiet'; readonly session: number; readonly known?: readonly InStep[] }
  | {
      readonly type: 'message'
      readonly message: Exclude<LeaderMessage, Digests | LeaderClock | Grant | PieceMessage>
    }
  /** A part of the log came over the bus. */
  | { readonly type: 'batch'; readonly batch: SizedBatch }
  /** Messages of the bus may have been missed. */
  | { readonly type: 'busLost' }
  /** An interval in which the leader should have been heard on the bus. */
  | { readonly type: 'busTick' }
  /** The log is applied up to `seq`, durably, and so is this progress. */
  | {
      readonly type: 'applied'
      readonly session: number
      readonly seq: number
      /** Default: `seq`. */
      readonly beyond?: number
      readonly progress: LinkProgress
    }
  /** This progress is durable. */
  | { readonly type: 'saved'; readonly session: number; readonly progress: LinkProgress }
  /** A part of a comparison is durable, and so is this progress. */
  | ({ readonly session: number; readonly progress: LinkProgress } & Extract<
      ComparisonEvent,
      { type: 'took' }
    >)
  | ({ readonly session: number } & Extract<ComparisonEvent, { type: 'hashed' }>)
  /** The leader's digests, with ours of the same nodes at the same moment. */
  | {
      readonly type: 'digestsReceived'
      readonly message: Digests
      readonly ours: readonly Digest[]
    }
  /** It is time to compare; `pending` records are in the outbox. */
  | { readonly type: 'compareDue'; readonly pending: number }
  /** Something is, or may be, in the outbox. */
  | { readonly type: 'outbox' }
  /**
   * Answer to `collect`: rows of the outbox that are not under way. `wholeOf`: there were no more of them, and
   * this connection was live when they were read.
   */
  | {
      readonly type: 'collected'
      readonly rows: readonly SequencedRow[]
      /** Names of what followers of this node will push after later changes. Default: none. */
      readonly overtaken?: readonly string[]
      readonly wholeOf: number | undefined
    }
  /** A push is settled and dropped from the outbox. */
  | {
      readonly type: 'settled'
      readonly session: number
      readonly n: number
      readonly progress: LinkProgress
    }
  /** The rows that drifted have new stamps, durably. */
  | { readonly type: 'restamped'; readonly session: number }
  /** The leader has the value of this row. `row`: what is pending of it by now; undefined for nothing. */
  | {
      readonly type: 'uploaded'
      readonly session: number
      readonly seq: number
      readonly row: SequencedRow | undefined
    }
  /** An interval has passed. `isAlive`: bytes came from the leader, or went to it. Default: not. */
  | { readonly type: 'beat'; readonly isAlive?: boolean }
  | { readonly type: 'close' }

export type FollowerEffect =
  | { readonly type: 'send'; readonly message: FollowerMessage }
  /** The peer is a leader that speaks with us. */
  | { readonly type: 'good'; readonly clock: string }
  /** Rows come from there now. */
  | { readonly type: 'fed'; readonly from: Feed['from']; readonly reason: FeedReason }
  | {
      readonly type: 'drop'
      readonly code: 'out_of_order' | 'deadline'
      readonly reason: string
    }
  /** Wait for the durable steps of earlier connections. */
  | { readonly type: 'quiesce'; readonly session: number }
  /** Store this progress: none when a comparison begins, the place it began at when it has ended. */
  | {
      readonly type: 'save'
      readonly session: number
      readonly progress: LinkProgress
      /** The base to store when all that is held is pending. */
      readonly baseIfEmpty?: LogPosition
    }
  /**
   * Store the records, none or more, and in the same batch the places that cover them; the cursor
   * only when everything up to it is held, which before the end of a first comparison it is not.
   */
  | {
      readonly type: 'merge'
      readonly session: number
      readonly records: readonly StoredRecord[]
      readonly cursor: LogPosition
      readonly seen: LogPosition
      /** See `Rows`; up to the cursor unless more. */
      readonly beyond?: number
      readonly isComplete: boolean
    }
  | ({ readonly session: number } & Extract<ComparisonEffect, { type: 'ask' | 'hash' }>)
  | ({ readonly session: number; readonly seen: LogPosition } & Extract<
      ComparisonEffect,
      { type: 'take' }
    >)
  /** A comparison has ended; `isRepair`: both sides believed to be in step before. */
  | { readonly type: 'compared'; readonly tally: Tally; readonly isRepair: boolean }
  /** `live`: the connection, when everything has been compared on it. */
  | {
      readonly type: 'collect'
      readonly limit: number
      readonly skip: ReadonlySet<number>
      readonly live: number | undefined
    }
  /** Send the value of this row in pieces; answered by `uploaded`. */
  | { readonly type: 'upload'; readonly session: number; readonly row: SequencedRow }
  /** The leader holds all that was held here when the connection began; it may have refused some before. */
  | { readonly type: 'held' }
  /** The leader has no scope for this key, the first such on this connection: its row stays in the outbox. */
  | { readonly type: 'refused'; readonly key: string }
  /** Ask for the leader's time, then give these rows new stamps. */
  | { readonly type: 'restamp'; readonly session: number; readonly rows: readonly SentRow[] }
  | {
      readonly type: 'settle'
      readonly session: number
      readonly n: number
      readonly rows: readonly SentRow[]
      /** Of these, the seqs of those that lost at the leader. Default: none. */
      readonly superseded?: ReadonlySet<number>
      /** Of these, those that the leader will never take. Default: none. */
      readonly denied?: readonly DeniedRow[]
      readonly seen: LogPosition
    }

/** A row that the leader refused for good. */
export interface DeniedRow {
  readonly row: SentRow
  /** What was refused, where that is known; else what the row stands for. */
  readonly record?: StoredRecord
  readonly code: ErrorCode
  readonly reason: string
}

export interface FollowerStep {
  readonly state: FollowerState
  readonly effects: readonly FollowerEffect[]
}

export interface FollowerContext {
  readonly identity: FollowerIdentity
  /** What is compared. */
  readonly sets: readonly KeySet[]
  readonly limits: ClusterLimits
}

/** Every state but `closed`. */
export type OpenState = Exclude<FollowerState, { kind: 'closed' }>

/** Connected and welcomed. */
export type FollowingState = Extract<FollowerState, Following>

export function isFollowing(state: OpenState): state is FollowingState {
  return state.kind === 'comparing' || state.kind === 'catchingUp' || state.kind === 'live'
}

/** Gives the connection up; the connection below dials again after a delay. */
export function dropLink(
  state: OpenState,
  reason: string,
  code: 'out_of_order' | 'deadline' = 'out_of_order',
): FollowerStep {
  return {
    state: { kind: 'offline', session: state.session, progress: state.progress },
    effects: [{ type: 'drop', code, reason }],
  }
}

/** Whether these rows were asked for since they were missing on the bus. */
export function isFetched(state: FollowerState, { feed }: Rows): boolean {
  return state.kind === 'live' && state.feed.from === 'fetch' && state.feed.n === feed
}

/** What the next connection offers: our protocol, unless the leader has just refused that as unknown to it. */
export function nextOffer(context: FollowerContext, refusal: string): FollowerContext {
  const protocol = isRefusalOfOlder(refusal) ? OLDEST_STREAM_PROTOCOL : STREAM_PROTOCOL
  return { ...context, identity: { ...context.identity, protocol } }
}
