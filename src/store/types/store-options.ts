/** Options of a store: meaning, unit and default of each. */
import type { HybridClock } from '../../core/data/clock.ts'
import type { JsonBounds } from '../../core/json/bounds.ts'
import type { Logger } from '../../core/ports/logger.ts'
import type { Durability, StorageAdapter } from '../../core/ports/storage-adapter.ts'
import type { TimeSource } from '../../core/ports/time.ts'

export interface StoreOptions {
  readonly adapter: StorageAdapter
  readonly clock: HybridClock
  /** Durability of writes that do not name one. Default: the adapter's own default. */
  readonly durability?: Durability
  /** Makes the node id and the epoch, once per data folder. Unique, without white space. */
  readonly newId: () => string
  readonly logger?: Logger
  /** For retries and for progress while opening; without it there are none. */
  readonly time?: TimeSource
  /**
   * Bytes of records kept in memory. Default: everything is. 0 keeps none. With a bound, reads that
   * miss go to the adapter, where a time index is kept for them.
   */
  readonly cacheBytes?: number
  /** Largest value that is written, bytes of its JSON text as UTF-8. Default 10 MiB. */
  readonly maxValueBytes?: number
  /** Deepest nesting, and most items and members, of a value that is written. Default 512 and 4 000 000. */
  readonly jsonBounds?: JsonBounds
  /** Most operations that may wait for a batch; more are refused. Default 100 000. */
  readonly maxWaitingOperations?: number
  /**
   * Most bytes of operations that wait or are being written; what comes beyond it is refused, but for a single
   * one. As much again may wait of what other nodes send, which waits for room. Default 32 MiB.
   */
  readonly maxWaitingBytes?: number
  /** Most operations in one batch. Default 1 000. */
  readonly maxBatchOperations?: number
  /** Change-log rows kept in memory for live replication. Default 4 096. */
  readonly tailRows?: number
}

/**
 * How a node may decide what does not merge about a key: not at all (`refusal` says why), or with stamps
 * between two, both exclusive, nanoseconds.
 */
export type DecisionTerms =
  | { readonly refusal: string }
  | { readonly refusal?: undefined; readonly above: bigint; readonly below: bigint }

/** The terms for a key that this node leads; undefined: it decides, with any stamp. */
export type DecisionTermsOf = (key: string) => DecisionTerms | undefined

/** Names the leader a key is followed from; undefined when this node leads it or it stays local. */
export type LeaderOf = (key: string) => string | undefined
