/**
 * The contract between the store and a storage engine: an ordered map of text rows with atomic
 * batches. Small on purpose; `test/conformance/storage.ts` is its proof and runs on every adapter.
 *
 * Guarantees every adapter gives:
 * - Rows are ordered bytewise by key (row keys are ASCII, so string order is byte order).
 * - `batch` is atomic: after a crash all of it is there or none. Batches apply in call order.
 * - `batch` resolves when the batch is durable at the level asked for, and reads issued later
 *   see it. When it rejects, nothing of it is visible to later reads of this process.
 * - `iterate` reads a snapshot taken when it is called: batches committed later do not show.
 * - Before `open`, after `close`, and while either runs, every other method rejects with
 *   `StateError` code `not_open`. `open` and `close` are idempotent. A closed adapter may be
 *   opened again and holds what was durable.
 * - Failures of the engine reject with `StateError` code `storage_failed`, `cause` kept; a folder
 *   that another process holds rejects `open` with `in_use`. A failed read is never "absent".
 */

/**
 * When a batch counts as written. `memory`: accepted by this process. `process`: handed to the
 * operating system, survives a killed process. `disk`: synced, survives a power cut.
 */
export type Durability = 'memory' | 'process' | 'disk'

export type BatchOperation =
  | { readonly type: 'put'; readonly key: string; readonly value: string }
  | { readonly type: 'del'; readonly key: string }

export interface BatchOptions {
  /** Default: the strongest level not above `process` that the adapter has. */
  readonly durability?: Durability
}

/** Bounds of a scan. Without `gt`/`gte` it starts at the first row; without `lt`/`lte` it ends at the last. */
export interface RowRange {
  readonly gt?: string
  readonly gte?: string
  readonly lt?: string
  readonly lte?: string
  /** Greatest key first. Default false. */
  readonly reverse?: boolean
  /** At most this many rows. Default: all. 0 gives none. */
  readonly limit?: number
}

export type Row = readonly [key: string, value: string]

/** What an adapter can do. Suites and callers switch on this, never on an adapter's name. */
export interface StorageCapabilities {
  /** Levels that `batch` honours. A level that is missing is refused with `invalid_option`. */
  readonly durability: readonly Durability[]
  /** True when rows outlive `close` of the adapter object (a disk or a database holds them). */
  readonly persistent: boolean
}

export interface StorageAdapter {
  readonly capabilities: StorageCapabilities
  open(): Promise<void>
  close(): Promise<void>
  /** The value of a row, or undefined when there is no such row. */
  get(key: string): Promise<string | undefined>
  batch(operations: readonly BatchOperation[], options?: BatchOptions): Promise<void>
  iterate(range?: RowRange): AsyncIterable<Row>
}
