/** Where a follower's rows come from, as data; `links-feed.ts` says how that changes. */
import type { Batch } from '../../../src/core/wire/bus.ts'

/** Why rows come from somewhere else than before. */
export type FeedReason = 'joined' | 'gap' | 'down' | 'silent' | 'slow' | 'large' | 'leader'

/** A message of the bus, and its size. */
export interface SizedBatch extends Batch {
  readonly bytes: number
}

export interface Feed {
  readonly from: 'stream' | 'bus' | 'fetch'
  /** Number of the latest request. */
  readonly n: number
  /** Of a `fetch`: what is asked for. */
  readonly until: number
  /** What came over the bus and does not join on yet, by the place where it begins. */
  readonly ahead: readonly SizedBatch[]
  /** What was taken from the bus and is not stored yet. */
  readonly unstored: readonly { readonly to: number; readonly bytes: number }[]
  /** Intervals since the bus was heard. */
  readonly silence: number
  /** The head that the leader's stream told last: by its next beat the bus should have brought it. */
  readonly expected: number
  /** Up to where was acknowledged. */
  readonly acked: number
  /** Up to where the leader wants to hear of at once. */
  readonly wanted: number
}

/** How every connection begins. */
export const FROM_STREAM: Feed = Object.freeze({
  from: 'stream',
  n: 0,
  until: 0,
  ahead: [],
  unstored: [],
  silence: 0,
  expected: 0,
  acked: 0,
  wanted: 0,
})
