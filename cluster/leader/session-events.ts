/** The states, events and effects of a follower's stream at its leader, which `leader/session.ts` connects. */
import type { Entry } from '../../src/core/data/entry.ts'
import type { BusInvitation, FeedRequest } from '../../src/core/wire/bus.ts'
import type { Knowledge } from '../../src/core/wire/known.ts'
import type {
  Ack,
  Hello,
  LeaderMessage,
  Push,
  PushOutcome,
  PushReason,
} from '../../src/core/wire/protocol.ts'
import type { LogPage } from '../../src/store/log/change-log.ts'
import type { AnswerEffect, AnswerEvent, Answers } from '../anti-entropy/answer-state.ts'

export interface StreamingState {
  readonly kind: 'streaming'
  /** Version of the stream that the follower speaks. */
  readonly protocol: number
  readonly follower: {
    readonly id: string
    readonly name: string
    readonly scopes: readonly string[]
  }
  /** The log has been read and sent up to here, but for what is `large`. */
  readonly sent: number
  /** Rows up to `sent` whose values travel in pieces and have not been sent, in order; the first one is shipped. */
  readonly large: readonly LargeRow[]
  /** Seq of the row whose value is on its way. */
  readonly shipping: number | undefined
  /** Rows up to here that are not large are held by the follower since a connection before. */
  readonly skipTo: number
  /** The follower holds everything up to here, once it is `complete`. */
  readonly acked: number
  /** False while the follower compares what it held before with this node. */
  readonly complete: boolean
  readonly head: number
  readonly inFlight: readonly { readonly through: number; readonly bytes: number }[]
  readonly reading: boolean
  /** What is being read was wanted by the feed before. */
  readonly isStale: boolean
  /** What the follower takes from the stream: up to `until`, null for all. */
  readonly feed: { readonly n: number; readonly until: number | null }
  /** The follower was told how to listen to the bus. */
  readonly isInvited: boolean
  /** True once the follower was told that it has reached the head. */
  readonly caughtUp: boolean
  /** Seqs that this follower itself pushed on this stream: not sent back. */
  readonly own: ReadonlySet<number>
  /** Number of the latest push. */
  readonly pushed: number
  /** Bytes of the records of each push not answered yet, oldest first. */
  readonly pushes: readonly number[]
  readonly answers: Answers
  /** Beats since anything came from the follower. */
  readonly silentBeats: number
}

/** A row of the log whose value travels in pieces. */
export interface LargeRow {
  readonly seq: number
  readonly key: string
}

export type LeaderSessionState =
  | { readonly kind: 'greeting'; readonly silentBeats: number }
  | StreamingState
  | { readonly kind: 'closed' }

/** What the leader is, at the moment of a hello. */
export interface LeaderIdentity extends Knowledge {
  readonly id: string
  readonly epoch: string
  readonly head: number
  readonly clock: string
  /** See `Welcome`. */
  readonly continues: boolean
  readonly forgotten: string
  readonly maxValueBytes?: number
  /** Undefined: it publishes nothing. */
  readonly bus?: BusInvitation | undefined
}

export type LeaderSessionEvent =
  | {
      readonly type: 'hello'
      readonly hello: Hello
      readonly canResume: boolean
      readonly leader: LeaderIdentity
    }
  | { readonly type: 'ack'; readonly ack: Ack }
  | { readonly type: 'feed'; readonly request: FeedRequest }
  /** What was published did not get to the bus. */
  | { readonly type: 'unpublished' }
  | { readonly type: 'push'; readonly push: Push }
  | {
      readonly type: 'merged'
      readonly n: number
      readonly outcomes: readonly PushOutcome[]
      /** See `Pushed`; none: all is said by the outcomes. */
      readonly reasons: readonly PushReason[]
      readonly head: number
    }
  | { readonly type: 'committed'; readonly head: number; readonly own: readonly number[] }
  | { readonly type: 'page'; readonly page: LogPage }
  /** The follower has the value of this row; undefined: the row is not in the log any more. */
  | { readonly type: 'shipped'; readonly seq: number; readonly record: Entry | undefined }
  | AnswerEvent
  /** An interval has passed. `isAlive`: bytes came from the follower, or went to it. Default: not. */
  | { readonly type: 'beat'; readonly isAlive?: boolean }
  | { readonly type: 'closed' }

export type LeaderSessionEffect =
  | { readonly type: 'send'; readonly message: LeaderMessage }
  | { readonly type: 'read'; readonly after: number; readonly limit: number }
  /** Send the value of this row in pieces; answered by `shipped`. */
  | ({ readonly type: 'ship' } & LargeRow)
  | ({ readonly type: 'merge' } & Omit<Push, 't'>)
  | AnswerEffect
  | {
      readonly type: 'close'
      readonly code: 'invalid_message' | 'out_of_order' | 'overloaded' | 'slow_consumer'
      readonly reason: string
    }

export interface LeaderSessionStep {
  readonly state: LeaderSessionState
  readonly effects: readonly LeaderSessionEffect[]
}
