/** Following a table by cursor: notifications wake, an interval makes sure, the cursor decides. */
import { isStateError, StateError } from '../../src/core/errors.ts'
import { matchKey } from '../../src/core/keys/key.ts'
import { Bell } from './bell.ts'
import type { ResolvedTableSettings } from './options.ts'
import type { TableChange, TableChanges, TableCursor } from './row.ts'
import type { Wake } from './signals.ts'

export interface WatchOptions {
  /** Go on after this place. Default: from now on. */
  readonly after?: TableCursor
  /** Key or glob of the changes wanted. Default: all. */
  readonly path?: string
  /** Ends the watch. */
  readonly signal?: AbortSignal
  /** Changes read at a time. Default 500. */
  readonly pageSize?: number
}

/** What a watch needs of the tables. */
export interface WatchedTables {
  changes(table: string, after: number, limit?: number): Promise<TableChanges>
  hear(table: string, wake: Wake): () => void
}

export async function* watchTable(
  tables: WatchedTables,
  table: string,
  { after, path, signal, pageSize = 500 }: WatchOptions,
  { pool, watchIntervalMs, closed }: ResolvedTableSettings & { readonly closed: AbortSignal },
): AsyncGenerator<TableChange> {
  const end = signal === undefined ? closed : AbortSignal.any([closed, signal])
  const ended = (): boolean => end.aborted
  const bell = new Bell(pool.options.time)
  const unsubscribe = tables.hear(table, () => bell.ring())
  const ring = (): void => bell.ring()
  end.addEventListener('abort', ring)
  try {
    let cursor = after
    while (!ended()) {
      const page = await nextPage(tables, table, cursor, pageSize)
      if (page === 'closed') return
      if (page !== 'away') {
        assertOnLog(table, cursor, page)
        for (const change of cursor === undefined ? [] : page.changes) {
          if (ended()) return
          if (path === undefined || matchKey(path, change.record.key)) yield change
        }
        const { epoch } = page.through
        cursor = cursor === undefined ? { epoch, seq: page.head } : page.through
        if (cursor.seq < page.head) continue
      }
      await bell.wait(watchIntervalMs)
    }
  } finally {
    end.removeEventListener('abort', ring)
    unsubscribe()
  }
}

/** `away`: the server is out of reach, which a watch outlives; `closed`: the tables were closed. */
async function nextPage(
  tables: WatchedTables,
  table: string,
  cursor: TableCursor | undefined,
  pageSize: number,
): Promise<TableChanges | 'away' | 'closed'> {
  try {
    return await tables.changes(table, cursor?.seq ?? 0, cursor === undefined ? 1 : pageSize)
  } catch (error) {
    if (isStateError(error, 'not_open')) return 'closed'
    if (isStateError(error) && error.meaning.retryable) return 'away'
    throw error
  }
}

function assertOnLog(table: string, cursor: TableCursor | undefined, page: TableChanges): void {
  if (cursor === undefined) return
  const { epoch } = page.through
  if (cursor.epoch === epoch && cursor.seq >= page.floor && cursor.seq <= page.head) return
  throw new StateError(
    'precondition_failed',
    `postgres: changes of table "${table}" after seq ${cursor.seq} are no longer complete (kept from ${page.floor}); read the table in full`,
  )
}
