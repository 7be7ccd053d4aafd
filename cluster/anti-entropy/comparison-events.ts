/** What a comparison hears, does and counts; `comparison.ts` connects them. */
import type { Digest } from '../../src/core/data/digest.ts'
import type { StoredRecord } from '../../src/core/data/entry.ts'
import type { ComparisonMessage, Found, KeySet } from '../../src/core/wire/comparison.ts'

/** What a comparison has come to so far. */
export interface Tally {
  /** Sets of keys in all, and how many of them are done. */
  readonly sets: number
  readonly done: number
  /** Sets whose digests were not the same, changes under way included. */
  readonly differing: number
  /** Records the leader sent. */
  readonly received: number
  /** Those of them that this node lacked and that were not under way anyhow. */
  readonly applied: number
  /** Records the leader lacks, which were not pending before. */
  readonly pending: number
}

export type ComparisonEvent =
  /** The leader told its digests; `ours` are of the same nodes at the same moment. */
  | {
      readonly type: 'digestsReceived'
      readonly n: number
      readonly theirs: readonly Digest[]
      readonly ours: readonly Digest[]
    }
  | { readonly type: 'hashed'; readonly n: number; readonly hashes: string }
  | { readonly type: 'found'; readonly message: Found }
  | {
      readonly type: 'took'
      readonly n: number
      readonly part: number
      readonly last: boolean
      readonly applied: number
      readonly pending: number
    }

export type ComparisonEffect =
  | { readonly type: 'send'; readonly message: ComparisonMessage }
  /** Once the set is counted here, send the question. */
  | {
      readonly type: 'ask'
      readonly n: number
      readonly set: KeySet
      readonly nodes: readonly string[]
    }
  /** Read the hashes of what is held below the nodes; answered by `hashed`. */
  | {
      readonly type: 'hash'
      readonly n: number
      readonly set: KeySet
      readonly nodes: readonly string[]
    }
  /**
   * Merge the records; with the last part, queue what the leader lacks: everything below the nodes that
   * is not equal (`isAll`), or what it told. Answered by `took`.
   */
  | {
      readonly type: 'take'
      readonly n: number
      readonly part: number
      readonly head: number
      readonly records: readonly StoredRecord[]
      readonly fresh: number
      readonly lacks: string
      readonly last: boolean
      readonly set: KeySet
      readonly nodes: readonly string[]
      readonly isAll: boolean
    }
