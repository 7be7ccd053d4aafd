/** The reads of the table API, each one statement. */
import { StateError } from '../../src/core/errors.ts'
import { assertCount, assertStamp, assertTableName, assertTablePath } from './arguments.ts'
import { type Bind, comesAfter, selectEntries, type TableSelect } from './query.ts'
import { type EntryRow, entryOf, type TableEntry } from './row.ts'
import type { TableRunner } from './runner.ts'

/** Which entries a read is about. */
export interface TableRange {
  /** A key or glob. Default: every key. */
  readonly path?: string | undefined
  /** Least `created`, nanoseconds, inclusive. Default: none. */
  readonly from?: bigint | undefined
  /** Greatest `created`, nanoseconds, inclusive. Default, as is 0n: none. */
  readonly to?: bigint | undefined
}

export interface TableRead extends TableRange {
  readonly stamp?: 'created' | 'updated'
  readonly where?: readonly ((bind: Bind) => string)[]
  readonly order?: 'newest' | 'oldest'
  /** Default: as many as there are, which is refused beyond `maxRows`. */
  readonly limit?: number | undefined
}

/** Options of `entries`. */
export interface EntriesOptions extends TableRange {
  /** `newest` (default): by created, then key, both descending; `oldest`: both ascending. */
  readonly order?: 'newest' | 'oldest'
  /** Entries fetched at a time. Default 500. */
  readonly pageSize?: number
}

export class TableReader {
  readonly #runner: TableRunner
  readonly #maxRows: number

  constructor(runner: TableRunner, maxRows: number) {
    this.#runner = runner
    this.#maxRows = maxRows
  }

  async entries(table: string, read: TableRead): Promise<TableEntry[]> {
    const rows = await this.#rows<EntryRow>(table, 'entry', read)
    return rows.map(entryOf)
  }

  async keys(table: string, read: TableRead): Promise<string[]> {
    const rows = await this.#rows<{ key: string }>(table, 'key', read)
    return rows.map(({ key }) => key)
  }

  /** Entries in order, fetched page by page. */
  async *stream(table: string, options: EntriesOptions): AsyncGenerator<TableEntry> {
    const { order = 'newest', pageSize: limit = 500, path, from, to } = options
    let last: TableEntry | undefined
    do {
      const after = last
      const where = after === undefined ? [] : [comesAfter(after.created, after.key, order)]
      const page = await this.entries(table, { path, from, to, order, limit, where })
      yield* page
      last = page.length < limit ? undefined : page.at(-1)
    } while (last !== undefined)
  }

  async #rows<R extends object>(
    table: string,
    columns: TableSelect['columns'],
    { limit, ...read }: TableRead,
  ): Promise<R[]> {
    assertTableName(table)
    if (read.path !== undefined) assertTablePath(read.path)
    if (limit !== undefined) assertCount('n', limit, 1, this.#maxRows)
    if (read.from !== undefined) assertStamp('from', read.from)
    if (read.to !== undefined) assertStamp('to', read.to)
    // As in nopog, 0 stands for "up to now".
    const to = read.to === 0n ? undefined : read.to
    assertOrder(read.from, to)
    const most = limit ?? this.#maxRows + 1
    const statement = selectEntries({ ...read, to, table, columns, limit: most })
    const { rows } = await this.#runner.read<R>(statement)
    if (limit === undefined && rows.length > this.#maxRows) throw tooMany(table, this.#maxRows)
    return rows
  }
}

function assertOrder(from: bigint | undefined, to: bigint | undefined): void {
  if (from === undefined || to === undefined || from <= to) return
  throw new StateError('invalid_option', `storage: invalid range: from ${from} is after to ${to}`)
}

function tooMany(table: string, most: number): StateError {
  return new StateError(
    'too_large',
    `postgres: more than ${most} entries of table "${table}" match; read them with a limit or page by page`,
  )
}
