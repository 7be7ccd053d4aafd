/** Options of shared tables: meaning, unit, default and range of each. */

import { StateError } from '../../src/core/errors.ts'
import { assertKey, matchKey } from '../../src/core/keys/key.ts'
import { type BackoffOptions, resolveBackoff } from '../../src/core/ports/backoff.ts'
import type { PostgresPool } from '../connection/connection.ts'
import type { PostgresOptions } from '../connection/options.ts'
import { assertCount, assertTableName } from '../tables/arguments.ts'
import { DEFAULT_TOMBSTONE_RETENTION_MS } from '../tables/options.ts'

export interface SharedSettings {
  /** Which table holds which keys: from key or glob to the table's name. The first that covers a key counts. */
  readonly scopes: Readonly<Record<string, string>>
  /** Milliseconds after which a table is looked at though nothing was notified. Default 5 000, least 1. */
  readonly pollIntervalMs?: number
  /** Most records sent or fetched at a time. Default 500, least 1, most 10 000. */
  readonly pageRows?: number
  /** Bytes of values sent or fetched at a time; one record always is. Default 4 MiB. */
  readonly pageBytes?: number
  /**
   * Milliseconds a local change may be stamped ahead of the table's clock; such a change waits in the
   * outbox until that clock has caught up. Default 60 000.
   */
  readonly maxClockDriftMs?: number
  /** Milliseconds for which the table remembers deletes. Default 7 days. 0: for ever. */
  readonly tombstoneRetentionMs?: number
  /** Delay between attempts while the database is away. Default from 100 to 5 000 ms, doubling, with jitter. */
  readonly retry?: Partial<BackoffOptions>
}

/** The database by URL with its options, or a pool that the caller closes. */
export type SharedTablesOptions = SharedSettings &
  (PostgresOptions | { readonly pool: PostgresPool })

/** The complete settings. */
export interface ResolvedSharedSettings extends Required<Omit<SharedSettings, 'scopes' | 'retry'>> {
  /** In the order given. */
  readonly scopes: readonly SharedScope[]
  readonly retry: BackoffOptions
}

export interface SharedScope {
  /** Key or glob. */
  readonly path: string
  readonly table: string
}

/** @throws StateError `invalid_key` or `invalid_option`. */
export function resolveSharedSettings(options: SharedSettings): ResolvedSharedSettings {
  const scopes = Object.entries(options.scopes).map(([path, table]) => {
    assertKey(path)
    assertTableName(table)
    return { path, table }
  })
  if (scopes.length === 0) {
    throw new StateError('invalid_option', 'postgres: shared tables need at least one scope')
  }
  const settings: ResolvedSharedSettings = {
    scopes,
    pollIntervalMs: options.pollIntervalMs ?? 5_000,
    pageRows: options.pageRows ?? 500,
    pageBytes: options.pageBytes ?? 4 * 1024 * 1024,
    maxClockDriftMs: options.maxClockDriftMs ?? 60_000,
    tombstoneRetentionMs: options.tombstoneRetentionMs ?? DEFAULT_TOMBSTONE_RETENTION_MS,
    retry: resolveBackoff({ initialMs: 100, maxMs: 5_000, ...options.retry }),
  }
  assertCount('pollIntervalMs', settings.pollIntervalMs, 1, 2 ** 31 - 1)
  assertCount('pageRows', settings.pageRows, 1, 10_000)
  assertCount('pageBytes', settings.pageBytes, 1, 2 ** 30)
  assertCount('maxClockDriftMs', settings.maxClockDriftMs, 0, Number.MAX_SAFE_INTEGER)
  assertCount('tombstoneRetentionMs', settings.tombstoneRetentionMs, 0, Number.MAX_SAFE_INTEGER)
  return Object.freeze(settings)
}

/** The table that holds a key; undefined when it is not shared. */
export function tableOf(scopes: readonly SharedScope[], key: string): string | undefined {
  return scopes.find(({ path }) => matchKey(path, key))?.table
}

/** The name under which a store knows a table that leads keys. */
export function leaderOfTable(table: string): string {
  return `postgres:${table}`
}
