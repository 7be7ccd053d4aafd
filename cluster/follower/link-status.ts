/** What people are shown of a link to a leader. */

import type { ComparisonStatus } from '../anti-entropy/comparison-log.ts'
import type { ListenerReport } from '../bus/listener.ts'
import type { FeedReport } from './state/feed-counts.ts'
import type { FollowerState } from './state/state.ts'

export interface LinkStatus extends ComparisonStatus {
  readonly url: string
  readonly state: FollowerState['kind']
  readonly scopes: readonly string[]
  /** Id of this life of the leader's log; undefined before the leader was heard. */
  readonly epoch: string | undefined
  /** Seq of the leader's log up to which this node holds everything. */
  readonly cursor: number
  /** Rows of the leader's log not applied yet, as far as known. */
  readonly lagRows: number
  /** Local changes the leader has not acknowledged. */
  readonly outbox: number
  /** Pushed records the leader refused on this connection. */
  readonly refused: number
  /** Values the leader refused for good, since this node started: they are in the conflict log. */
  readonly denied: number
  /**
   * Entries that the leader did not know and was sent since this node started, though deletes as late as they are
   * are forgotten there, or this node was away for longer than deletes are kept and the leader knows nothing of
   * where it was before: nothing tells whether they were deleted.
   */
  readonly unproven: number
  /** Records the leader refused as stamped too far in the future, since this node started. */
  readonly drifted: number
  /** Why the link was last down; undefined while it never was. */
  readonly lastError: string | undefined
  /** When the leader was last heard of or found gone, milliseconds since the epoch; 0 before that. */
  readonly lastCheckMs: number
  /** Where changes come from, and how the bus did. */
  readonly feed: FeedReport & { readonly bus: ListenerReport }
}
