/** What the serving process and a fan-out worker say to each other; see `workers/fleet.ts`. */

import type { SubscriberLimits } from '../../fanout/frames/subscriber.ts'
import type { CounterDeltas, PoolNews, PoolQuestion } from '../../fanout/relay/messages.ts'

/** What every connection of a worker is held to. */
export interface WorkerSettings extends SubscriberLimits {
  readonly pingIntervalMs: number
  readonly pongTimeoutMs: number
  readonly wsWriteTimeoutMs: number
  /** Bytes that subscribers of one worker may leave unread, of full states and of patches. */
  readonly maxUnreadBytes: number
}

export type ToWorker =
  | { readonly kind: 'setup'; readonly settings: WorkerSettings }
  /** A pool that connections will join; news of it follows until it is dropped. */
  | { readonly kind: 'open'; readonly pool: number }
  | { readonly kind: 'drop'; readonly pool: number }
  /** Comes with the connection, of which nothing has been answered yet. */
  | {
      readonly kind: 'join'
      readonly id: number
      readonly pool: number
      readonly heldVersion: string | undefined
      /** The answer to its handshake. */
      readonly opening: string
      readonly head: Uint8Array
    }
  | { readonly kind: 'close'; readonly id: number; readonly code: number; readonly reason: string }
  | { readonly kind: 'terminate'; readonly id: number }
  | PoolNews

export type FromWorker =
  | { readonly kind: 'ready' }
  /** Nothing else was to be said for a while. */
  | { readonly kind: 'alive' }
  /** These connections have ended. */
  | { readonly kind: 'gone'; readonly ids: readonly number[] }
  | {
      readonly kind: 'counted'
      readonly frames: CounterDeltas
      readonly silent: number
      readonly stalled: number
    }
  | PoolQuestion
