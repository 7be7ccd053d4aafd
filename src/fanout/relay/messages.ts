/**
 * What the process that holds the state and its fan-out workers say to each other. One channel per
 * worker carries everything in order, so that a batch never passes the state it belongs to.
 */
import type { FanoutCounters } from '../frames/subscriber.ts'

/** The frames of a FrameBatch. */
export interface RelayedBatch {
  readonly from: string | undefined
  readonly frames: readonly Uint8Array[]
}

/** What brings a subscriber up to date; `same`: the full state that was relayed last. */
export type RelayedCatchUp =
  | { readonly kind: 'loading' }
  | { readonly kind: 'current' }
  | { readonly kind: 'same' }
  | { readonly kind: 'behind'; readonly batch: RelayedBatch }

/** About one pool, to a worker. */
export type PoolNews =
  /** Changes, for all who are current. */
  | { readonly kind: 'batch'; readonly pool: number; readonly batch: RelayedBatch }
  /** The state was lost; whatever comes next is a full one. */
  | { readonly kind: 'invalid'; readonly pool: number }
  /** There is a state again, for all who wait. */
  | { readonly kind: 'live'; readonly pool: number; readonly catchUp: RelayedCatchUp }
  /** The answer to a request of `asked`. */
  | {
      readonly kind: 'caughtUp'
      readonly pool: number
      readonly request: number
      readonly catchUp: RelayedCatchUp
    }

/** A worker asks on behalf of one subscriber, which holds `heldVersion`. */
export interface PoolQuestion {
  readonly kind: 'asked'
  readonly pool: number
  readonly request: number
  readonly heldVersion: string | undefined
}

/** What a worker counted since it said so last. */
export type CounterDeltas = Readonly<FanoutCounters>
