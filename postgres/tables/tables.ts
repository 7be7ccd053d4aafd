/**
 * Named tables of keys and JSON values in one PostgreSQL database, for programs that keep data there
 * directly and for nodes that share it (`sharedTables`). Keys and globs are those of the server: `*`
 * stands for one segment and never crosses a `/`. Stamps are nanoseconds, strictly growing in each
 * table whoever writes. Values are kept as text, digit for digit.
 */
import type { StoredRecord } from '../../src/core/data/entry.ts'
import { StateError } from '../../src/core/errors.ts'
import { DEFAULT_MAX_VALUE_BYTES } from '../../src/core/records/check.ts'
import { migrate } from '../connection/migrations.ts'
import {
  assertCount,
  assertTableKey,
  assertTableName,
  assertTablePath,
  tableValue,
} from './arguments.ts'
import {
  DEFAULT_TOMBSTONE_RETENTION_MS,
  type PostgresTablesOptions,
  type ResolvedTableSettings,
  resolveTableSettings,
} from './options.ts'
import { comesAfter, contains, fieldIs, segmentIs, selectChanges } from './query.ts'
import { type EntriesOptions, TableReader } from './reads.ts'
import {
  type ChangeRow,
  changesOf,
  type TableChange,
  type TableChanges,
  type TableEntry,
  type TableStats,
} from './row.ts'
import { TableRunner } from './runner.ts'
import { TABLE_MIGRATIONS } from './schema.ts'
import { TableSignals, type Wake } from './signals.ts'
import { requireTableServer, tableStats } from './state.ts'
import { type WatchOptions, watchTable } from './watch.ts'
import { entryColumns, recordColumns, setColumns } from './writes.ts'

export class PostgresTables {
  readonly #settings: ResolvedTableSettings
  readonly #runner: TableRunner
  readonly #reader: TableReader
  readonly #signals: TableSignals
  readonly #closed = new AbortController()
  #opening: Promise<void> | undefined
  #closing: Promise<void> | undefined

  /** @throws StateError `invalid_option`. */
  constructor(options: PostgresTablesOptions) {
    this.#settings = resolveTableSettings(options)
    const { pool, retryTimeoutMs, maxRows } = this.#settings
    this.#runner = new TableRunner(pool, retryTimeoutMs)
    this.#reader = new TableReader(this.#runner, maxRows)
    this.#signals = new TableSignals(pool)
  }

  /**
   * Connects and brings the database's part of the table API to this release. Idempotent.
   * @throws StateError `storage_failed`; `format_unsupported` for a server before PostgreSQL 13, or a
   * database of a newer release; `invalid_option` for a database whose encoding is not UTF-8.
   */
  open(): Promise<void> {
    this.#opening ??= this.#start().catch((error) => {
      this.#opening = undefined
      throw error
    })
    return this.#opening
  }

  /** Ends all watches, and the pool unless it was given. Idempotent and final. */
  close(): Promise<void> {
    this.#closing ??= this.#stop()
    return this.#closing
  }

  /** Makes a table; nothing happens when it is there. @throws StateError `invalid_option`. */
  async createTable(table: string): Promise<void> {
    assertTableName(table)
    await this.#runner.read({ text: 'SELECT ooo_create_table($1)', values: [table] })
    const { maxValueBytes } = this.#settings
    if (maxValueBytes <= DEFAULT_MAX_VALUE_BYTES) return
    const text = 'SELECT ooo_raise_value_limit($1, $2)'
    await this.#runner.read({ text, values: [table, maxValueBytes] })
  }

  /** Removes a table with everything in it; nothing happens when there is none. */
  async dropTable(table: string): Promise<void> {
    assertTableName(table)
    await this.#runner.read({ text: 'SELECT ooo_drop_table($1)', values: [table] })
  }

  /** Names of all tables, ascending. */
  async tables(): Promise<string[]> {
    const text = 'SELECT name FROM ooo_tables ORDER BY name'
    const { rows } = await this.#runner.read<{ name: string }>({ text, values: [] })
    return rows.map(({ name }) => name)
  }

  /**
   * Writes JSON text under a key and returns the stamp: `created` of a new key, else `updated`.
   * @throws StateError `invalid_key`, `invalid_glob`, `invalid_json`, `not_found` without that table,
   * `storage_failed` (the write may have been made when the connection broke before the answer).
   */
  async set(table: string, key: string, json: string): Promise<bigint> {
    const [stamp] = await this.setBatch(table, [key], [json])
    return stamp ?? 0n
  }

  /**
   * Writes all of the keys or none, with one stamp each, in the order given; of a key that is named
   * twice the last value counts. Errors as `set`; `invalid_option` for unequal lengths, `too_large`.
   */
  async setBatch(
    table: string,
    keys: readonly string[],
    values: readonly string[],
  ): Promise<bigint[]> {
    assertTableName(table)
    this.#assertBatch(keys.length)
    const columns = setColumns(keys, values, this.#settings.maxValueBytes)
    const text = 'SELECT ooo_set($1, $2::text[], $3::text[], $4) AS stamps'
    const { rows } = await this.#runner.write<{ stamps: string[] }>(text, [
      table,
      columns.keys,
      columns.values,
      this.#settings.origin,
    ])
    const stamps = rows[0]?.stamps ?? []
    return columns.places.map((place) => BigInt(stamps[place] ?? 0))
  }

  /**
   * Writes an entry with the stamps given, whatever is there. Errors as `set`; `invalid_option`, and
   * `clock_drift` for a stamp more than a minute ahead, which all later ones would have to exceed.
   */
  async setWithMeta(
    table: string,
    key: string,
    json: string,
    created: bigint,
    updated: bigint,
  ): Promise<void> {
    await this.#put(table, [{ key, value: json, created, updated }], false)
  }

  /**
   * Adds entries, stamps included, whose keys are absent; returns how many. A key that was deleted
   * after the entry's stamps stays deleted; of a key that is named twice the first counts. Errors as
   * `setWithMeta`.
   */
  async importBatch(table: string, entries: readonly TableEntry[]): Promise<number> {
    return this.#put(table, entries, true)
  }

  /** The entry of a key, or all that match a glob, newest first. @throws StateError `too_large`. */
  get(table: string, path: string): Promise<TableEntry[]> {
    return this.#reader.entries(table, { path })
  }

  /** The newest `n`, newest first. */
  getN(table: string, path: string, n: number): Promise<TableEntry[]> {
    return this.#reader.entries(table, { path, limit: n })
  }

  /** The newest `n` created within [from, to]; `to` 0n is no bound. */
  getNRange(
    table: string,
    path: string,
    from: bigint,
    to: bigint,
    n: number,
  ): Promise<TableEntry[]> {
    return this.#reader.entries(table, { path, from, to, limit: n })
  }

  /** All created within [from, to], newest first; `to` 0n is no bound. */
  getRange(table: string, path: string, from: bigint, to: bigint): Promise<TableEntry[]> {
    return this.#reader.entries(table, { path, from, to })
  }

  /** All overwritten within [from, to]; what was only ever created is not among them. */
  getUpdatedRange(table: string, path: string, from: bigint, to: bigint): Promise<TableEntry[]> {
    return this.#reader.entries(table, { path, from, to, stamp: 'updated' })
  }

  /** Entries whose value is an object with this top-level field, whose text is `text`. */
  async getByField(
    table: string,
    path: string,
    field: string,
    text: string,
  ): Promise<TableEntry[]> {
    // No text of the database holds the character 0.
    if (`${field}${text}`.includes('\u0000')) return []
    return this.#reader.entries(table, { path, where: [fieldIs(field, text)] })
  }

  /** Entries whose value contains `json`, by PostgreSQL's rules. @throws StateError `invalid_json`. */
  async getByJson(table: string, path: string, json: string): Promise<TableEntry[]> {
    return this.#reader.entries(table, { path, where: [contains(tableValue(json))] })
  }

  /** As `getNRange`, of keys with `segment` at one of `places`, counted from 1. */
  async getRangeSegment(
    table: string,
    path: string,
    from: bigint,
    to: bigint,
    n: number,
    places: readonly number[],
    segment: string,
  ): Promise<TableEntry[]> {
    for (const place of places) assertCount('place', place, 1, 1000)
    assertTableKey(segment === '' ? '0' : segment)
    const where = [segmentIs(places, segment)]
    const read = this.#reader.entries(table, { path, from, to, limit: n, where })
    return segment === '' ? [] : read
  }

  /** The `n` entries after (`created`, `key`), oldest first; from the start with 0n and ''. */
  async scan(table: string, created: bigint, key: string, n: number): Promise<TableEntry[]> {
    if (key !== '') assertTableKey(key)
    const where = [comesAfter(created, key, 'oldest')]
    return this.#reader.entries(table, { limit: n, order: 'oldest', where })
  }

  /** All keys, newest first. @throws StateError `too_large`. */
  keys(table: string): Promise<string[]> {
    return this.#reader.keys(table, {})
  }

  /** As `getNRange`, keys only. */
  keysRange(table: string, path: string, from: bigint, to: bigint, n: number): Promise<string[]> {
    return this.#reader.keys(table, { path, from, to, limit: n })
  }

  /**
   * Entries in order, fetched page by page, however many. Each page is read again: a key that is deleted
   * and made again meanwhile may be missed or come twice.
   */
  entries(table: string, options: EntriesOptions = {}): AsyncGenerator<TableEntry> {
    return this.#reader.stream(table, options)
  }

  /** Deletes a key or all that match a glob, in one step; returns how many there were. */
  async delete(table: string, path: string): Promise<number> {
    assertTablePath(path)
    return this.#delete(table, path)
  }

  /** Deletes everything; returns how many keys there were. */
  clear(table: string): Promise<number> {
    return this.#delete(table, null)
  }

  async stats(table: string): Promise<TableStats> {
    assertTableName(table)
    return tableStats(this.#runner, table)
  }

  /**
   * At most `limit` changes after a seq, oldest first, whose values have together about `bytes` (at
   * least one change). @throws StateError `not_found`.
   */
  async changes(
    table: string,
    after: number,
    limit = 500,
    bytes: number = 4 * 1024 * 1024,
  ): Promise<TableChanges> {
    assertTableName(table)
    assertCount('after', after, 0, Number.MAX_SAFE_INTEGER)
    assertCount('limit', limit, 1, this.#settings.maxRows)
    assertCount('bytes', bytes, 1, Number.MAX_SAFE_INTEGER)
    const { rows } = await this.#runner.read<ChangeRow>(selectChanges(table, after, limit, bytes))
    const page = changesOf(rows, after, limit)
    if (page === undefined) throw noTable(table)
    return page
  }

  /**
   * Changes as they are committed, without loss: notifications only wake it, what changed is read by
   * cursor, also after the connection was lost. A key that changed several times before it was read is
   * given once, with its newest state. Ends with `signal` or `close`.
   * @throws StateError `precondition_failed` when changes after the cursor were forgotten, `not_found`.
   */
  watch(table: string, options: WatchOptions = {}): AsyncGenerator<TableChange> {
    assertTableName(table)
    if (options.path !== undefined) assertTablePath(options.path)
    return watchTable(this, table, options, { ...this.#settings, closed: this.#closed.signal })
  }

  /** Calls `wake` whenever the table may have changed, or the connection came or went. */
  hear(table: string, wake: Wake): () => void {
    return this.#signals.hear(table, wake)
  }

  /**
   * Takes records of a node: of each key the winner of (version, delete over set, origin) is kept.
   * Returns how many won. Records whose key appears twice are refused. Errors as `set`.
   */
  async merge(table: string, records: readonly StoredRecord[]): Promise<number> {
    assertTableName(table)
    this.#assertBatch(records.length)
    const text =
      'SELECT ooo_merge($1, $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[]) AS done'
    // Merging the same records again changes nothing, so it may be sent twice.
    const { rows } = await this.#runner.read<{ done: string }>({
      text,
      values: [table, ...recordColumns(records)],
    })
    return Number(rows[0]?.done ?? 0)
  }

  /** Which of the keys the table knows nothing of: neither an entry nor a remembered delete. */
  async unknown(table: string, keys: readonly string[]): Promise<string[]> {
    assertTableName(table)
    this.#assertBatch(keys.length)
    const text = `SELECT key FROM "ooo_t_${table}" WHERE key = ANY($1::text[])`
    const { rows } = await this.#runner.read<{ key: string }>({ text, values: [[...keys]] })
    const known = new Set(rows.map(({ key }) => key))
    return keys.filter((key) => !known.has(key))
  }

  /**
   * Forgets deletes older than `retentionMs` (default 7 days), at most 10 000 in one call; returns how
   * many. A watcher or node that was away since before that has to compare in full.
   */
  async compact(
    table: string,
    retentionMs: number = DEFAULT_TOMBSTONE_RETENTION_MS,
  ): Promise<number> {
    assertTableName(table)
    assertCount('retentionMs', retentionMs, 0, Number.MAX_SAFE_INTEGER)
    const text = 'SELECT ooo_table_compact($1, ooo_now() - $2::bigint * 1000000, 10000) AS gone'
    const { rows } = await this.#runner.read<{ gone: string }>({
      text,
      values: [table, retentionMs],
    })
    return Number(rows[0]?.gone ?? 0)
  }

  async #start(): Promise<void> {
    const { pool } = this.#settings
    await pool.open()
    await requireTableServer(pool)
    await migrate(pool, 'tables', TABLE_MIGRATIONS)
  }

  async #stop(): Promise<void> {
    this.#closed.abort()
    this.#runner.stop()
    await this.#signals.close()
    if (this.#settings.ownsPool) await this.#settings.pool.close()
  }

  async #put(table: string, entries: readonly TableEntry[], onlyAbsent: boolean): Promise<number> {
    assertTableName(table)
    this.#assertBatch(entries.length)
    const { maxValueBytes } = this.#settings
    const columns = entryColumns(entries, onlyAbsent ? 'first' : 'last', maxValueBytes)
    const text =
      'SELECT ooo_put($1, $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6, $7) AS done'
    const values = [table, ...columns, this.#settings.origin, onlyAbsent]
    const { rows } = await this.#runner.write<{ done: string }>(text, values)
    return Number(rows[0]?.done ?? 0)
  }

  async #delete(table: string, glob: string | null): Promise<number> {
    assertTableName(table)
    const text = 'SELECT ooo_delete($1, $2, $3) AS done'
    const values = [table, glob, this.#settings.origin]
    const { rows } = await this.#runner.write<{ done: string }>(text, values)
    return Number(rows[0]?.done ?? 0)
  }

  #assertBatch(count: number): void {
    if (count <= this.#settings.maxBatch) return
    throw new StateError(
      'too_large',
      `postgres: a batch of ${count} keys; at most ${this.#settings.maxBatch} are taken`,
    )
  }
}

function noTable(table: string): StateError {
  return new StateError('not_found', `postgres: there is no table "${table}"`)
}
