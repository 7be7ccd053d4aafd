/**
 * The scans of an open database. Each holds an engine snapshot until it ends. When the engine is
 * opened again its snapshots are gone: scans begun after the last batch go on behind the last row
 * they gave, as nothing has changed since; older ones get time to end and are then cut short.
 */

import { StateError } from '../../src/core/errors.ts'
import type { Row, RowRange } from '../../src/core/ports/storage-adapter.ts'
import type { Database, EngineRows } from './files/database.ts'
import { levelFailure, notOpen } from './files/errors.ts'

/** Rows fetched from the engine in one call of a scan. */
const SCAN_ROWS = 1000
/** Bytes after which one such call stops early; a single greater row is still returned. */
const SCAN_BYTES = 256 * 1024
/** Rows below are the adapter's own. */
export const FIRST_ROW = '\u0001'

/** Bounds as the engine takes them: one on each side. */
export interface EngineRange {
  gt?: string
  gte?: string
  lt?: string
  lte?: string
  reverse: boolean
  limit: number
}

/** How a scan reaches the engine. */
export interface ScanAccess {
  /** Resolves when there is an engine to read from. */
  ready(): Promise<void>
  /** Lets the engine wait for a call under way. */
  track<T>(reading: Promise<T>): Promise<T>
}

interface Scan {
  range: EngineRange
  /** Batches written before its snapshot. */
  readonly count: number
  rows: EngineRows | undefined
  cut: StateError | undefined
  readonly ended: Promise<void>
  readonly end: () => void
}

export class EngineScans {
  readonly #directory: string
  readonly #scans = new Set<Scan>()
  #database: Database | undefined

  constructor(directory: string) {
    this.#directory = directory
  }

  /** Begins a scan of the state after `count` batches. */
  start(range: EngineRange, count: number, access: ScanAccess): AsyncIterable<Row> {
    let end: () => void = () => undefined
    const ended = new Promise<void>((resolve) => {
      end = resolve
    })
    const scan: Scan = { range, count, rows: undefined, cut: undefined, ended, end }
    // The engine's iterator takes its snapshot when it is made, which is here.
    if (this.#database !== undefined) scan.rows = makeRows(this.#database, range)
    this.#scans.add(scan)
    return this.#rows(scan, access)
  }

  /** An engine is there: scans that wait for one begin. */
  attach(database: Database): void {
    this.#database = database
    for (const scan of this.#scans) {
      if (scan.cut === undefined) scan.rows ??= makeRows(database, scan.range)
    }
  }

  /** The engine goes. Scans of the state after `count` batches may go on with the next one; undefined: none comes. */
  detach(count: number | undefined): void {
    this.#database = undefined
    for (const scan of this.#scans) {
      if (count === undefined) scan.cut = notOpen('scan')
      else if (scan.count !== count && scan.rows !== undefined) {
        const text = `storage: a scan of folder "${this.#directory}" was cut short, as the database had to be opened anew after a failed write`
        scan.cut = new StateError('storage_failed', text)
      }
      scan.rows = undefined
    }
  }

  /** Waits until no scan of a state before `count` batches runs, at most `patienceMs`. */
  async olderThan(count: number, patienceMs: number): Promise<void> {
    const older = [...this.#scans].filter((scan) => scan.count !== count)
    if (older.length === 0) return
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, patienceMs)
    })
    await Promise.race([Promise.all(older.map(({ ended }) => ended)), late])
    clearTimeout(timer)
  }

  async *#rows(scan: Scan, access: ScanAccess): AsyncGenerator<Row, void, undefined> {
    try {
      while (scan.range.limit > 0) {
        const page = await this.#page(scan, access)
        const last = page.at(-1)
        if (last === undefined) return
        scan.range = behind(scan.range, last[0], page.length)
        yield* page
      }
    } catch (error) {
      throw levelFailure('scan', this.#directory, error)
    } finally {
      this.#scans.delete(scan)
      scan.end()
      await scan.rows?.close()
    }
  }

  async #page(scan: Scan, access: ScanAccess): Promise<Row[]> {
    if (scan.cut !== undefined) throw scan.cut
    await access.ready()
    if (scan.cut !== undefined) throw scan.cut
    if (scan.rows === undefined) throw notOpen('scan')
    return access.track(scan.rows.nextv(SCAN_ROWS))
  }
}

/** The engine takes one bound on each side: of two, the narrower is kept. */
export function engineRange(range: RowRange): EngineRange {
  const limit = range.limit ?? Number.POSITIVE_INFINITY
  if (limit !== Number.POSITIVE_INFINITY && !(Number.isInteger(limit) && limit >= 0)) {
    throw new StateError('invalid_option', `storage: limit ${limit} is not a whole number from 0`)
  }
  const bounds: EngineRange = { reverse: range.reverse ?? false, limit }
  const { gt, lt, lte } = range
  const gte = range.gte === undefined || range.gte < FIRST_ROW ? FIRST_ROW : range.gte
  if (gt !== undefined && gt >= gte) bounds.gt = gt
  else bounds.gte = gte
  if (lt !== undefined && (lte === undefined || lt <= lte)) bounds.lt = lt
  else if (lte !== undefined) bounds.lte = lte
  return bounds
}

/** What is left of a range after its rows up to `key`. */
function behind(range: EngineRange, key: string, rows: number): EngineRange {
  const { gt, gte, lt, lte, reverse } = range
  const low = reverse
    ? { ...(gt === undefined ? {} : { gt }), ...(gte === undefined ? {} : { gte }) }
    : { gt: key }
  const high = reverse
    ? { lt: key }
    : { ...(lt === undefined ? {} : { lt }), ...(lte === undefined ? {} : { lte }) }
  return { ...low, ...high, reverse, limit: range.limit - rows }
}

function makeRows(database: Database, range: EngineRange): EngineRows {
  return database.iterator({ ...range, highWaterMarkBytes: SCAN_BYTES })
}
