/** Options of the table API: meaning, unit and default of each. */
import { DEFAULT_MAX_VALUE_BYTES } from '../../src/core/records/check.ts'
import { PostgresPool } from '../connection/connection.ts'
import type { PostgresOptions } from '../connection/options.ts'
import { assertCount, assertOrigin } from './arguments.ts'

export interface TableSettings {
  /** Written with every change as its origin. 1 to 64 letters, digits, `_` and `-`. Default `sql`. */
  readonly origin?: string
  /**
   * Largest value that is written, bytes of its compact JSON text as UTF-8. Default 10 MiB, most 64 MiB.
   * `createTable` raises the limit of the table itself to it.
   */
  readonly maxValueBytes?: number
  /** Most entries one answer may have; more are refused with `too_large`. Default 100 000, least 1. */
  readonly maxRows?: number
  /** Most keys one batch may have; more are refused with `too_large`. Default 10 000, least 1. */
  readonly maxBatch?: number
  /** Milliseconds for which a statement is tried again while the server is away. Default 10 000. 0: one attempt. */
  readonly retryTimeoutMs?: number
  /** Milliseconds after which a watch looks for changes though nothing was notified. Default 5 000, least 1. */
  readonly watchIntervalMs?: number
}

/** A pool that is the caller's to open and close, or the options of one of its own. */
export type PostgresTablesOptions = TableSettings &
  (PostgresOptions | { readonly pool: PostgresPool })

export interface ResolvedTableSettings extends Required<TableSettings> {
  readonly pool: PostgresPool
  readonly ownsPool: boolean
}

/** How long the deletes of a table are remembered unless said otherwise, milliseconds. */
export const DEFAULT_TOMBSTONE_RETENTION_MS: number = 7 * 24 * 3600 * 1000

/** The most that a table may be told to take as one value, bytes. */
export const MAX_TABLE_VALUE_BYTES: number = 64 * 1024 * 1024

/** Fills in defaults and checks ranges. @throws StateError `invalid_option`. */
export function resolveTableSettings(options: PostgresTablesOptions): ResolvedTableSettings {
  const own = !('pool' in options)
  const settings: ResolvedTableSettings = {
    origin: options.origin ?? 'sql',
    maxValueBytes: options.maxValueBytes ?? DEFAULT_MAX_VALUE_BYTES,
    maxRows: options.maxRows ?? 100_000,
    maxBatch: options.maxBatch ?? 10_000,
    retryTimeoutMs: options.retryTimeoutMs ?? 10_000,
    watchIntervalMs: options.watchIntervalMs ?? 5_000,
    pool: own ? new PostgresPool(options) : options.pool,
    ownsPool: own,
  }
  assertOrigin(settings.origin)
  assertCount('maxValueBytes', settings.maxValueBytes, 1, MAX_TABLE_VALUE_BYTES)
  assertCount('maxRows', settings.maxRows, 1, 10_000_000)
  assertCount('maxBatch', settings.maxBatch, 1, 100_000)
  assertCount('retryTimeoutMs', settings.retryTimeoutMs, 0, Number.MAX_SAFE_INTEGER)
  assertCount('watchIntervalMs', settings.watchIntervalMs, 1, 2 ** 31 - 1)
  return Object.freeze(settings)
}
