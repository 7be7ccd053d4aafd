/** The states, events and effects of a follower's stream at its leader, which `leader-session.ts` connects. */
import type { Ack, Hello, LeaderMessage, Push, PushOutcome } from '../src/core/protocol.ts'
import type { BusInvitation, FeedRequest } from '../src/core/protocol-bus.ts'
import type { LogPage } from '../src/store/change-log.ts'
import type { AnswerEffect, AnswerEvent, Answers } from './answer-state.ts'

export interface StreamingState {
  readonly kind: 'streaming'
  /** Version of the stream that the follower speaks. */
  readonly protocol: number
  readonly follower: {
    readonly id: string
    readonly name: string
    readonly scopes: readonly string[]
  }
  /** The log has been read and sent up to here. */
  readonly sent: number
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
  /** Beats since the follower was last heard. */
  readonly silentBeats: number
}

export type LeaderSessionState =
  | { readonly kind: 'greeting'; readonly silentBeats: number }
  | StreamingState
  | { readonly kind: 'closed' }

/** What the leader is, at the moment of a hello. */
export interface LeaderIdentity {
  readonly id: string
  readonly epoch: string
  readonly head: number
  readonly clock: string
  /** See `Welcome`. */
  readonly continues: boolean
  readonly forgotten: string
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
      readonly head: number
    }
  | { readonly type: 'committed'; readonly head: number; readonly own: readonly number[] }
  | { readonly type: 'page'; readonly page: LogPage }
  | AnswerEvent
  | { readonly type: 'beat' }
  | { readonly type: 'closed' }

export type LeaderSessionEffect =
  | { readonly type: 'send'; readonly message: LeaderMessage }
  | { readonly type: 'read'; readonly after: number; readonly limit: number }
  | ({ readonly type: 'merge' } & Pick<Push, 'n' | 'records' | 'seen' | 'lost'>)
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
