/**
 * Storage in a PostgreSQL database: the rows of one node under a namespace of their own, so that many
 * nodes may share a database. One opening at a time owns a namespace. See `storage-adapters/postgres/row-session.ts`
 * for what happens to batches when the server goes away.
 */
import { PostgresPool } from '../../postgres/connection/connection.ts'
import { migrate } from '../../postgres/connection/migrations.ts'
import { isConnectionLost } from '../../postgres/connection/postgres-error.ts'
import { StateError } from '../../src/core/errors.ts'
import { OpenClose } from '../../src/core/ports/open-close.ts'
import type {
  BatchOperation,
  BatchOptions,
  Row,
  RowRange,
  StorageAdapter,
  StorageCapabilities,
} from '../../src/core/ports/storage-adapter.ts'
import { type PostgresStorageOptions, type RowOptions, resolveRowOptions } from './row-options.ts'
import { RowQueue } from './row-queue.ts'
import { type BegunScan, iterateScan, RowScan } from './row-scan.ts'
import { RowSession } from './row-session.ts'
import { MAX_ROW_KEY_BYTES, READ_ROW, READ_ROWS, ROW_MIGRATIONS } from './row-tables.ts'

export type { PostgresStorageOptions } from './row-options.ts'

/** Counters of one opening. */
export interface PostgresStorageStats {
  /** How often the connection that owns the rows was made again. */
  readonly recoveries: number
  /** Batches that wait or are being written, their characters, and how many were refused with `overloaded`. */
  readonly batches: number
  readonly batchBytes: number
  readonly refusedBatches: number
  /** Scans that hold a connection, and how many were refused with `overloaded`. */
  readonly scans: number
  readonly refusedScans: number
  /** Connections of the pool, and requests that wait for one. */
  readonly connections: number
  readonly waiting: number
}

/** Everything that lives from an `open` to the next `close`. */
interface Opening {
  readonly pool: PostgresPool
  readonly session: RowSession
  readonly queue: RowQueue
  readonly scans: Set<RowScan>
  readonly reads: Set<Promise<unknown>>
}

/**
 * Levels: `disk`, the server answers when its log is synced; `process`, the default, it answers
 * before that. A batch of level `process` survives a killed node, and it survives a crash of the
 * server too while the node lives on; both at once may lose what was answered in the last second.
 * `disk` survives both.
 *
 * While the server is away every method rejects with `storage_failed`; they work again by themselves.
 * Needs a server, or a proxy in front of it, that gives each connection a session of its own.
 */
export class PostgresStorage implements StorageAdapter {
  readonly capabilities: StorageCapabilities = {
    durability: ['process', 'disk'],
    persistent: true,
    maxRowKeyBytes: MAX_ROW_KEY_BYTES,
  }
  readonly #options: RowOptions
  readonly #state = new OpenClose()
  #refusedScans = 0
  #opening: Opening | undefined
  /** The pool of an `open` under way, to be told when `close` is called. */
  #reaching: PostgresPool | undefined

  /** @throws StateError `invalid_option`. */
  constructor(options: PostgresStorageOptions) {
    this.#options = resolveRowOptions(options)
  }

  /** Resolves with `in_use` when another node has the rows, `storage_failed` when its own do not agree with it. */
  get lost(): Promise<StateError> | undefined {
    return this.#opening?.session.lost
  }

  /** undefined while it is not open. */
  get stats(): PostgresStorageStats | undefined {
    if (this.#opening === undefined) return undefined
    const { pool, session, queue, scans } = this.#opening
    return {
      recoveries: session.recoveries,
      batches: queue.stats.batches,
      batchBytes: queue.stats.bytes,
      refusedBatches: queue.stats.refused,
      scans: scans.size,
      refusedScans: this.#refusedScans,
      connections: pool.stats.total,
      waiting: pool.stats.waiting,
    }
  }

  /**
   * Reaches the server (see `openTimeoutMs`), makes or upgrades the tables and takes the namespace.
   * Rejects with `in_use` when another node has it, `format_unsupported` for tables of a newer
   * release, else with `storage_failed`.
   */
  open(): Promise<void> {
    return this.#state.turn('open', () => this.#start())
  }

  /** Batches and reads under way finish first; scans that have not ended reject at their next row. */
  close(): Promise<void> {
    this.#reaching?.stopRetrying()
    return this.#state.turn('closed', () => this.#stop())
  }

  async get(key: string): Promise<string | undefined> {
    const rows = await this.#read<{ value: string }>('get', READ_ROW, key)
    return rows[0]?.value
  }

  async getMany(keys: readonly string[]): Promise<(string | undefined)[]> {
    const rows = await this.#read<{ value: string | null }>('getMany', READ_ROWS, [...keys])
    return rows.map(({ value }) => value ?? undefined)
  }

  async batch(operations: readonly BatchOperation[], options?: BatchOptions): Promise<void> {
    const { queue } = this.#assertOpen('batch')
    const level = options?.durability ?? 'process'
    if (!this.capabilities.durability.includes(level)) {
      throw new StateError(
        'invalid_option',
        `storage: durability "${level}" is not one of: ${this.capabilities.durability.join(', ')}`,
      )
    }
    await queue.add(operations, level)
  }

  iterate(range: RowRange = {}): AsyncIterable<Row> {
    const opening = this.#state.isOpen ? this.#opening : undefined
    const check = (): void => {
      if (opening === undefined || this.#opening !== opening || !this.#state.isOpen) {
        throw notOpen('iterate')
      }
    }
    const begun =
      opening === undefined
        ? Promise.reject(notOpen('iterate'))
        : // Its place among the batches is decided here, when the scan is asked for.
          opening.queue.between(() => this.#beginScan(opening, range))
    return iterateScan(begun, check)
  }

  async #beginScan(opening: Opening, range: RowRange): Promise<BegunScan> {
    const { pool, session, scans } = opening
    const { maxScans, scanIdleMs } = this.#options
    assertLimit(range.limit)
    const namespace = await session.ready()
    if (scans.size >= maxScans) {
      this.#refusedScans += 1
      throw new StateError(
        'overloaded',
        `storage: ${scans.size} scans are under way, at most ${maxScans} may`,
      )
    }
    const scan = new RowScan(await pool.session(), namespace, range, {
      time: pool.options.time,
      idleMs: scanIdleMs,
      onReleased: () => scans.delete(scan),
    })
    scans.add(scan)
    return { scan, first: await scan.start() }
  }

  async #read<R extends object>(operation: string, text: string, wanted: unknown): Promise<R[]> {
    const opening = this.#assertOpen(operation)
    const reading = readRows<R>(opening, operation, text, wanted)
    opening.reads.add(reading)
    try {
      return await reading
    } finally {
      opening.reads.delete(reading)
    }
  }

  async #start(): Promise<void> {
    if (this.#opening !== undefined) return
    const { namespace, ownershipWaitMs, ownerCheckMs, recoveryWaitMs, ...bounds } = this.#options
    const pool = new PostgresPool(this.#options.connection)
    const session = new RowSession({
      pool,
      name: namespace,
      ownershipWaitMs,
      ownerCheckMs,
      recoveryWaitMs,
    })
    this.#reaching = pool
    // Told to close before it began.
    if (this.#state.target === 'closed') pool.stopRetrying()
    try {
      await pool.open()
      await migrate(pool, 'storage', ROW_MIGRATIONS)
      await session.open()
    } catch (error) {
      await session.close()
      await pool.close()
      throw error
    } finally {
      this.#reaching = undefined
    }
    const queue = new RowQueue({
      maxBatches: bounds.maxQueuedBatches,
      maxBytes: bounds.maxQueuedBytes,
      time: pool.options.time,
      write: (changes, level) => session.write(changes, level),
      hasUnsynced: () => session.hasUnsynced,
    })
    this.#opening = { pool, session, queue, scans: new Set(), reads: new Set() }
  }

  async #stop(): Promise<void> {
    const opening = this.#opening
    if (opening === undefined) return
    const { pool, session, queue, scans, reads } = opening
    session.hurry()
    await queue.close()
    await Promise.allSettled(reads)
    await Promise.all([...scans].map((scan) => scan.end(notOpen('iterate'))))
    await session.close()
    await pool.close()
    this.#opening = undefined
  }

  #assertOpen(operation: string): Opening {
    if (!this.#state.isOpen || this.#opening === undefined) throw notOpen(operation)
    return this.#opening
  }
}

/** Reads on any connection; one that proves broken is replaced, and the statement sent again. */
async function readRows<R extends object>(
  { pool, session }: Opening,
  operation: string,
  text: string,
  wanted: unknown,
): Promise<R[]> {
  for (let left = pool.options.maxConnections; ; left -= 1) {
    // After a loss the rows may have to be made good first.
    const namespace = await session.ready()
    const connection = await pool.session()
    try {
      const name = `ooo-${operation}`
      return (await connection.query<R>(text, [namespace, wanted], { name })).rows
    } catch (error) {
      if (left === 0 || !isConnectionLost(error)) throw error
    } finally {
      connection.release()
    }
  }
}

function assertLimit(limit: number | undefined): void {
  if (limit === undefined || limit === Number.POSITIVE_INFINITY) return
  if (Number.isInteger(limit) && limit >= 0) return
  throw new StateError('invalid_option', `storage: limit ${limit} is not a whole number from 0`)
}

function notOpen(operation: string): StateError {
  return new StateError('not_open', `storage: not open: cannot ${operation}`)
}
