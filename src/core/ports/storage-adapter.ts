/**
 * The contract between the store and a storage engine: an ordered map of text rows with atomic
 * batches. Small on purpose. Its proof is the suite `ooo-cluster/storage/conformance`, which every
 * adapter passes; `docs/adapters.md` shows how to write one.
 *
 * 1. Rows. A key is 1 to 1,100 printable ASCII characters (space to `~`), so that string order is
 *    byte order; a value is well-formed text without U+0000, of at most 16 MiB in UTF-8. Both come
 *    back exactly, and an empty value is not an absent row. Callers keep to this; an adapter that
 *    meets more than it can hold rejects the batch with `too_large`.
 * 2. Batches. A batch of up to 10,000 operations and 32 MiB is all there or not at all, for every
 *    read and after a crash. Its operations apply in their order, so the last one on a key wins.
 *    Batches apply in the order of the calls, awaited or not. `batch` reads its arguments before
 *    it returns. It resolves when the batch has the durability asked for.
 * 3. Reads. Each read shows one point of the order of batches. Every batch that had resolved when
 *    the read was called is in it; one that was under way may be.
 * 4. Refusals. A batch that rejects has changed nothing: no read sees any of it, now, after
 *    `close` and `open`, or after a crash. An adapter that lost the engine's answer finds out
 *    before it settles the call.
 * 5. Scans. `iterate` takes its snapshot when it is called and gives it once, in key order; batches
 *    called later do not show. It never throws: all errors come with the first or a later row. A
 *    scan holds its snapshot until it ends, is left early, or the adapter closes. At least 16 scans
 *    may be under way at once; one more than the adapter can serve rejects with `overloaded`.
 * 6. Life. A new adapter is closed. Before `open`, after `close`, and while either runs, every
 *    other method rejects with `not_open`. `open` and `close` may be called at any time, again
 *    and without waiting: the last call decides. `close` lets batches and reads under way finish;
 *    a scan that has not ended rejects with `not_open`, also when the adapter is opened again. An
 *    `open` that failed leaves the adapter closed and may be repeated. An adapter opened again
 *    holds what it held; what another object or process finds is said by the durability.
 * 7. One owner. Persistent rows belong to one open adapter at a time: `open` of a second one, in
 *    this process or another, rejects with `in_use` until the first has closed or its process died.
 * 8. Errors are `StateError`, with the engine's own error as `cause`: `storage_full` when a write
 *    found no space, `corrupt_record` when a read met damaged bytes, `overloaded` when too many
 *    batches or scans wait, `invalid_option` for a durability or limit that is not offered, else
 *    `storage_failed`. A failed read is never "absent". After a failure that has passed, the
 *    adapter works again without being reopened.
 */

import type { StateError } from '../errors.ts'

export type { ErrorCode } from '../errors.ts'
export { isStateError, StateError } from '../errors.ts'

/**
 * When a batch counts as written. `memory`: accepted by this process. `process`: handed to the
 * operating system or a server, survives this process being killed. `disk`: synced, survives a
 * power cut.
 */
export type Durability = 'memory' | 'process' | 'disk'

export type BatchOperation =
  | { readonly type: 'put'; readonly key: string; readonly value: string }
  | { readonly type: 'del'; readonly key: string }

export interface BatchOptions {
  /** Default: the strongest level not above `process` that the adapter has, else its weakest. */
  readonly durability?: Durability
}

/** Bounds of a scan; of two on one side the narrower holds. Without `gt`/`gte` it starts at the first row; without `lt`/`lte` it ends at the last. */
export interface RowRange {
  readonly gt?: string
  readonly gte?: string
  readonly lt?: string
  readonly lte?: string
  /** Greatest key first. Default false. */
  readonly reverse?: boolean
  /** At most this many rows, a whole number. Default: all. 0 gives none. */
  readonly limit?: number
}

export type Row = readonly [key: string, value: string]

/** What an adapter can do. Suites and callers switch on this, never on an adapter's name. */
export interface StorageCapabilities {
  /** Levels that `batch` honours, weakest first; at least one. Others are refused with `invalid_option`. */
  readonly durability: readonly Durability[]
  /** True when rows outlive `close` of the adapter object (a disk or a database holds them). */
  readonly persistent: boolean
  /** Longest key of a row, bytes, where it is less than the engine of a file has: at least 1,100. */
  readonly maxRowKeyBytes?: number
}

export interface StorageAdapter {
  readonly capabilities: StorageCapabilities
  /**
   * What was found damaged since `open` began, and what was done about it, as sentences for people;
   * undefined when all was well. Left out by storage that can not be damaged in part.
   */
  readonly damage?: string | undefined
  /**
   * Of the present opening: resolves with the reason when it is over for good although nobody closed it, as
   * when another owner has taken the rows. From then on every method rejects with that reason until the
   * adapter is closed and opened again. Never rejects. Left out by storage that cannot be lost.
   */
  readonly lost?: Promise<StateError> | undefined
  /**
   * Looks for damage beneath the rows and brings back what it can, while reads and batches wait. Callers
   * ask for it when rows do not match checksums of their own, or a read rejects with `corrupt_record`.
   * Resolves with what was damaged, which `damage` tells from then on too; undefined when nothing was. Rows
   * may be absent afterwards. Scans under way may reject. Left out by storage that can not be damaged in part.
   */
  readonly repair?: (() => Promise<string | undefined>) | undefined
  /** Why writes are refused at present, before one is tried; undefined when none need be. Left out by storage that cannot tell. */
  readonly fault?: StateError | undefined
  /**
   * Told true before `open` and false when the node has written what a start writes: between the two, room that
   * is kept for a start on a full disk may be used for batches too. Left out by storage that keeps none.
   */
  readonly starting?: ((isUnderWay: boolean) => void) | undefined
  /** Rejects with `in_use`, `storage_failed` or another code of the engine's reason. */
  open(): Promise<void>
  /** Frees what `open` took. */
  close(): Promise<void>
  /** The value of a row, or undefined when there is no such row. */
  get(key: string): Promise<string | undefined>
  /** As `get` for each key, in the order asked, all from one point of the order of batches. */
  getMany(keys: readonly string[]): Promise<(string | undefined)[]>
  /** Puts and deletes rows; deleting an absent row is done. An empty batch is none. */
  batch(operations: readonly BatchOperation[], options?: BatchOptions): Promise<void>
  /** The rows of a range by key, ascending unless `reverse`; to be read once. */
  iterate(range?: RowRange): AsyncIterable<Row>
}
