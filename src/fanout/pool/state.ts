/** The states of a pool; see `pool.ts` for the transitions. */
import type { Entry, StoredRecord } from '../../core/data/entry.ts'
import { newestFirst } from '../../core/data/entry.ts'
import type { CancelTimer } from '../../core/ports/time.ts'
import type { Snapshot } from '../frames/frame.ts'
import { diffEntries } from '../views/list-diff.ts'
import type { View } from '../views/view.ts'

export interface LoadingState {
  readonly kind: 'loading'
  /** Newest record per key since the read began, in seq order. */
  readonly pending: Map<string, { readonly seq: number; readonly record: StoredRecord }>
  overflowed: boolean
}

export interface LiveState {
  readonly kind: 'live'
  readonly view: View
  /** Every commit up to here is in the view. */
  seq: number
  snapshot: Snapshot | undefined
}

export interface IdleState {
  readonly kind: 'idle'
  readonly seq: number
  /** What was shown, where that may change without a commit; undefined for no proof of it. */
  readonly list?: readonly Entry[] | undefined
}

export type PoolState =
  | IdleState
  | LoadingState
  | LiveState
  | { readonly kind: 'failed'; readonly cancelRetry: CancelTimer }
  | { readonly kind: 'closed' }

/** What a read of the source gave. */
export type Read = { readonly seq: number; readonly entries: Entry[] }

/** Up to `seq` the present version is known to be true; negative when it is not. */
export type Proven = Omit<IdleState, 'kind'>

/** Longest list an idle pool holds on to, in entries. */
const MAX_IDLE_LIST = 1000

/** The state of a pool that lost its last user. @param heardSeq up to which it heard every commit */
export function idleAfter({ seq, view }: LiveState, heardSeq: number): IdleState {
  const list = view.list?.()
  const isShort = list !== undefined && list.length <= MAX_IDLE_LIST
  return { kind: 'idle', seq: Math.max(seq, heardSeq), list: isShort ? list : undefined }
}

/** Whether a view that may change by itself shows what it did when the pool went idle. */
export function showsSame({ list }: Proven, view: View): boolean {
  const now = view.list?.()
  if (now === undefined) return list === undefined
  return list !== undefined && diffEntries(list, now).length === 0
}

/** The entries after the records were applied to them, newest first. */
export function withRecords(entries: Entry[], records: readonly StoredRecord[]): readonly Entry[] {
  if (records.length === 0) return entries
  const byKey = new Map<string, Entry>(entries.map((entry) => [entry.key, entry]))
  for (const record of records) {
    if (record.kind === 'entry') byKey.set(record.key, record)
    else byKey.delete(record.key)
  }
  return [...byKey.values()].sort(newestFirst)
}
