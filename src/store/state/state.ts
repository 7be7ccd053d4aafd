/**
 * What the store knows of its records, as the committer and readers use it. Two forms: everything
 * in memory (`in-memory-state.ts`), or on disk behind a bounded cache (`bounded-state.ts`).
 */
import type { Entry, StoredRecord } from '../../core/data/entry.ts'
import type { SequencedRow } from '../format/rows.ts'
import type { ListPace } from '../types/list-pace.ts'
import type { LeaderOf } from '../types/store-options.ts'

/** What is known of one key. */
export interface KeyState {
  readonly record: StoredRecord
  /** Place in the change log of the latest change. */
  readonly seq: number
  /** Leader that has not acknowledged this record yet. */
  readonly pendingFor: string | undefined
  /** Of a pending record: what its maker had seen of the key; undefined when not known (see `causal-context.ts`). */
  readonly causalContext?: string | undefined
}

/** A key state that takes the place of another, or of none. */
export interface KeyStateChange {
  readonly keyState: KeyState
  readonly before: KeyState | undefined
}

export interface ListOptions {
  /** `newest` (default): greatest `created` first; `oldest`: the reverse. */
  readonly order?: 'newest' | 'oldest'
  /** At most this many entries. Default: all. */
  readonly limit?: number
  /** Only entries with `created` of at least this, nanoseconds. Default: all. */
  readonly from?: bigint
  /** Only entries with `created` of at most this, nanoseconds. Default: all. */
  readonly to?: bigint
}

/** What an operation will look at. */
export interface Reads {
  readonly keys?: readonly string[]
  /** Globs of which every matching record is looked at. */
  readonly globs?: readonly string[]
}

/** What a batch is planned against: what its reads named, as the batch before left it. */
export interface StateView {
  keyState(key: string): KeyState | undefined
  /** Keys of live entries that match a glob. */
  matching(glob: string): string[]
}

/** Entries exactly as of commit `seq`. */
export interface FoundEntries {
  readonly seq: number
  /** The caller's to change. */
  readonly entries: Entry[]
}

/** Now or later: what is in memory is answered at once. */
export type Eventually<T> = T | Promise<T>

export interface State {
  /** Called only between batches. @throws StateError of the adapter. */
  view(reads: readonly Reads[]): Eventually<StateView>
  /** Applies what has been planned. Changes of a key come in order. */
  put(change: KeyStateChange): void
  /** Forgets a tombstone whose rows are gone from the adapter. */
  remove(keyState: KeyState): void
  /** Everything applied so far is in the adapter. */
  written(): void
  /** Whether the record of this key is in memory. */
  has(key: string): boolean
  keyState(key: string): Eventually<KeyState | undefined>
  keyStates(keys: readonly string[]): Eventually<readonly (KeyState | undefined)[]>
  /** Entries matching a key or glob, exactly as of commit `seq`; at once, or as `pace` says when they are many. */
  list(pattern: string, options: ListOptions, pace?: ListPace): Eventually<FoundEntries>
  /** Keys of entries that start with `prefix`, ascending. */
  keys(prefix: string): Eventually<string[]>
  /** Every record whose key starts with `prefix`, key ascending, exactly as of commit `seq`. */
  scan(prefix: string): Eventually<{ seq: number; rows: AsyncIterable<SequencedRow> }>
  /** What is pending for `leader`, oldest change first, without the seqs in `skip`. */
  pending(leader: string, limit: number, skip: ReadonlySet<number>): Eventually<SequencedRow[]>
  pendingCount(leader: string): number
  /**
   * Asks again for whom the records of the outbox are pending. Called while no batch is under way nor begins.
   * @returns rows of the outbox that stand for nothing. @throws StateError of the adapter.
   */
  retarget(leaderOf: LeaderOf): Eventually<readonly string[]>
}
