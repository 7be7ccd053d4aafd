/**
 * A scan over rows as of one moment: a read-only transaction at `repeatable read` on a connection of
 * its own, read page by page. A scan whose rows fit in one page gives its connection back at once.
 */

import type { PostgresSession } from '../../postgres/connection/connection.ts'
import type { PostgresTime } from '../../postgres/connection/options.ts'
import { errorText, isStateError, StateError } from '../../src/core/errors.ts'
import type { Row, RowRange } from '../../src/core/ports/storage-adapter.ts'
import type { CancelTimer } from '../../src/core/ports/time.ts'

/** Most rows and bytes in one page; a single greater row is still given. */
const PAGE_ROWS = 4_000
const PAGE_BYTES = 1024 * 1024
const FIRST_PAGE_ROWS = 500
/** Least rows asked for when they are great. */
const LEAST_PAGE_ROWS = 8

export interface RowScanOptions {
  readonly time: PostgresTime
  /** Milliseconds without a call of `next` after which the scan is ended. 0: never. */
  readonly idleMs: number
  /** Called once, when the scan holds no connection any more. */
  onReleased(): void
}

/** Some rows of a scan, in order; nothing follows the last page. */
export interface Page {
  readonly rows: readonly Row[]
  readonly last: boolean
}

/** Holds its session until its end: `start` takes the snapshot and reads the first page; after it, one `next` at a time. */
export class RowScan {
  readonly #session: PostgresSession
  readonly #namespace: number
  readonly #range: RowRange
  readonly #options: RowScanOptions
  #after: string | undefined
  #left: number
  #pageRows = FIRST_PAGE_ROWS
  #held = true
  #failed: StateError | undefined
  #idle: CancelTimer | undefined

  constructor(
    session: PostgresSession,
    namespace: number,
    range: RowRange,
    options: RowScanOptions,
  ) {
    this.#session = session
    this.#namespace = namespace
    this.#range = range
    this.#options = options
    this.#left = range.limit ?? Number.POSITIVE_INFINITY
  }

  async start(): Promise<Page> {
    try {
      await this.#session.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
    } catch (error) {
      await this.end()
      throw error
    }
    return await this.page()
  }

  /** The next rows. @throws StateError also when the scan was ended meanwhile. */
  async page(): Promise<Page> {
    this.#idle?.()
    if (this.#failed !== undefined) throw this.#failed
    try {
      const page = await this.#read()
      if (page.last) await this.end()
      else this.#watch()
      return page
    } catch (error) {
      await this.end()
      throw error
    }
  }

  /** Gives the connection back. A later `page` rejects with `reason`. Idempotent. */
  async end(reason?: StateError): Promise<void> {
    this.#idle?.()
    this.#failed ??= reason
    if (!this.#held) return
    this.#held = false
    const ended = await this.#session.query('COMMIT').then(
      () => true,
      () => false,
    )
    this.#session.release(!ended)
    this.#options.onReleased()
  }

  async #read(): Promise<Page> {
    const asked = Math.min(this.#pageRows, this.#left)
    if (asked === 0) return { rows: [], last: true }
    const { text, values } = pageQuery(this.#namespace, this.#range, this.#after, asked)
    const result = await this.#session.query<{ key: string; value: string; found: number }>(
      text,
      values,
    )
    const rows = result.rows.map(({ key, value }): Row => [key, value])
    this.#after = rows.at(-1)?.[0]
    this.#left -= rows.length
    const found = result.rows[0]?.found ?? 0
    const cut = rows.length < found
    this.#pageRows = cut
      ? Math.max(LEAST_PAGE_ROWS, rows.length * 2)
      : Math.min(PAGE_ROWS, this.#pageRows * 2)
    return { rows, last: (!cut && found < asked) || this.#left === 0 }
  }

  #watch(): void {
    const { idleMs, time } = this.#options
    if (idleMs === 0) return
    this.#idle = time.after(idleMs, () => {
      void this.end(
        new StateError('storage_failed', `storage: a scan was ended, not read on for ${idleMs} ms`),
      )
    })
  }
}

/** A scan whose snapshot is taken, with its first page. */
export interface BegunScan {
  readonly scan: RowScan
  readonly first: Page
}

/** An iterator that frees the scan even when it is left before its first row. */
export function iterateScan(
  begun: Promise<BegunScan>,
  check: () => void,
): AsyncIterableIterator<Row> {
  begun.catch(() => undefined)
  const rows = read(begun, check)
  let started = false
  return {
    [Symbol.asyncIterator]() {
      return this
    },
    next() {
      started = true
      return rows.next()
    },
    async return() {
      if (!started) {
        await begun.then(({ scan }) => scan.end()).catch(() => undefined)
      }
      return await rows.return()
    },
  }
}

async function* read(
  begun: Promise<BegunScan>,
  check: () => void,
): AsyncGenerator<Row, void, undefined> {
  const { scan, first } = await begun
  try {
    for (let page = first; ; page = await scan.page()) {
      for (const row of page.rows) {
        check()
        yield row
      }
      check()
      if (page.last) return
    }
  } catch (error) {
    if (isStateError(error)) throw error
    throw new StateError('storage_failed', `storage: cannot scan: ${errorText(error)}`, {
      cause: error,
    })
  } finally {
    await scan.end()
  }
}

/**
 * One page. The sizes of the rows before each one decide where it is cut, so that great values are
 * neither read nor sent in vain.
 */
function pageQuery(
  namespace: number,
  range: RowRange,
  after: string | undefined,
  rows: number,
): { text: string; values: unknown[] } {
  const values: unknown[] = [namespace, rows, PAGE_BYTES]
  const where = ['namespace = $1']
  const bound = (operator: string, key: string | undefined): void => {
    if (key === undefined) return
    values.push(key)
    where.push(`key ${operator} $${values.length}`)
  }
  bound('>', range.gt)
  bound('>=', range.gte)
  bound('<', range.lt)
  bound('<=', range.lte)
  bound(range.reverse === true ? '<' : '>', after)
  const order = range.reverse === true ? 'ORDER BY key DESC' : 'ORDER BY key'
  const size = 'octet_length(key)::bigint + octet_length(value)'
  const text = `SELECT key, value, found FROM (
      SELECT key, value, (count(*) OVER ())::int AS found,
        sum(${size}) OVER (${order} ROWS UNBOUNDED PRECEDING) - (${size}) AS before
      FROM (SELECT key, value FROM ooo_rows WHERE ${where.join(' AND ')} ${order} LIMIT $2) page
    ) sized WHERE before < $3 ${order}`
  return { text, values }
}
