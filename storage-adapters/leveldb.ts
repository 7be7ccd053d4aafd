/**
 * Storage on this machine's disk over LevelDB (package `level`). LevelDB writes a batch as one
 * record of its log, which makes it atomic, and hands the record to the operating system before
 * the write answers, so that it survives a killed process; a synced write also survives a power cut.
 */

import { resolve } from 'node:path'
import { Level } from 'level'
import { errorText, StateError } from '../src/core/errors.ts'
import type {
  BatchOperation,
  BatchOptions,
  Row,
  RowRange,
  StorageAdapter,
  StorageCapabilities,
} from '../src/storage-adapter.ts'

/** Rows fetched from the engine in one call of a scan. */
const SCAN_ROWS = 1000
/** Bytes after which one such call stops early; a single greater row is still returned. */
const SCAN_BYTES = 256 * 1024

/** Options of `LevelStorage`. */
export interface LevelStorageOptions {
  /** Folder of the database; it and its parents are created. One process at a time may hold it. */
  readonly directory: string
  /** Bytes of blocks kept uncompressed in memory. Default 8 MiB. 0 keeps none. */
  readonly cacheBytes?: number
  /** Bytes of fresh rows kept in memory before they go to a sorted file; up to two such buffers exist. Default 4 MiB. */
  readonly writeBufferBytes?: number
  /** Batches that may wait for their turn; one more is refused with `overloaded`. Default 10,000. 0 admits none but the running one. */
  readonly maxQueuedBatches?: number
}

/** An ordered map in a LevelDB folder. Every scan holds an engine snapshot until it ends. */
export class LevelStorage implements StorageAdapter {
  readonly capabilities: StorageCapabilities = {
    durability: ['process', 'disk'],
    persistent: true,
  }
  readonly #options: Required<LevelStorageOptions>
  #database: Level<string, string> | undefined
  #target: 'open' | 'closed' = 'closed'
  #change: Promise<void> = Promise.resolve()
  #ready = false
  #lastBatch: Promise<void> = Promise.resolve()
  #batches = 0
  readonly #reads = new Set<Promise<unknown>>()

  constructor(options: LevelStorageOptions) {
    this.#options = Object.freeze({
      directory: resolve(options.directory),
      cacheBytes: options.cacheBytes ?? 8 * 1024 * 1024,
      writeBufferBytes: options.writeBufferBytes ?? 4 * 1024 * 1024,
      maxQueuedBatches: options.maxQueuedBatches ?? 10_000,
    })
  }

  /** Rejects with `in_use` when another process or object holds the folder, else with `storage_failed`. */
  open(): Promise<void> {
    return this.#turn('open', () => this.#start())
  }

  /** Running batches and reads finish first; scans that have not ended reject at their next row. */
  close(): Promise<void> {
    return this.#turn('closed', () => this.#stop())
  }

  async get(key: string): Promise<string | undefined> {
    const database = this.#assertOpen('get')
    const reading = database.get(key)
    this.#reads.add(reading)
    try {
      return await reading
    } catch (error) {
      throw failure('read', this.#options.directory, error)
    } finally {
      this.#reads.delete(reading)
    }
  }

  async batch(operations: readonly BatchOperation[], options?: BatchOptions): Promise<void> {
    const database = this.#assertOpen('batch')
    const level = options?.durability ?? 'process'
    if (!this.capabilities.durability.includes(level)) {
      throw new StateError(
        'invalid_option',
        `storage: durability "${level}" is not one of: ${this.capabilities.durability.join(', ')}`,
      )
    }
    if (this.#batches > this.#options.maxQueuedBatches) {
      throw new StateError(
        'overloaded',
        `storage: ${this.#batches} batches are waiting, at most ${this.#options.maxQueuedBatches} may`,
      )
    }
    // The engine runs on several threads: only one batch at a time keeps the order of the calls.
    const rows = operations.slice()
    const writing = this.#lastBatch.then(() => database.batch(rows, { sync: level === 'disk' }))
    this.#batches += 1
    this.#lastBatch = writing.then(
      () => this.#batchDone(),
      () => this.#batchDone(),
    )
    try {
      await writing
    } catch (error) {
      throw failure('write', this.#options.directory, error)
    }
  }

  iterate(range: RowRange = {}): AsyncIterable<Row> {
    const database = this.#ready ? this.#database : undefined
    try {
      // The engine's iterator takes its snapshot when it is made, which is here.
      const rows = database?.iterator({ ...engineRange(range), highWaterMarkBytes: SCAN_BYTES })
      return scan(rows, this.#options.directory)
    } catch (error) {
      return rejected(failure('scan', this.#options.directory, error))
    }
  }

  /** Queues a change of state behind the running one; asking twice for the same answers the same promise. */
  #turn(target: 'open' | 'closed', work: () => Promise<void>): Promise<void> {
    if (this.#target === target) return this.#change
    const before = this.#target
    this.#target = target
    this.#ready = false
    const change = this.#change.then(work, work)
    this.#change = change
    change.then(
      () => {
        if (this.#change === change) this.#ready = target === 'open'
      },
      () => {
        // A change that failed leaves the state before it, so that it can be asked for again.
        if (this.#change !== change) return
        this.#change = Promise.resolve()
        this.#target = before
        this.#ready = before === 'open'
      },
    )
    return change
  }

  async #start(): Promise<void> {
    if (this.#database !== undefined) return
    const database = new Level<string, string>(this.#options.directory, {
      keyEncoding: 'utf8',
      valueEncoding: 'utf8',
      cacheSize: this.#options.cacheBytes,
      writeBufferSize: this.#options.writeBufferBytes,
    })
    try {
      await database.open()
    } catch (error) {
      throw failure('open', this.#options.directory, error)
    }
    this.#database = database
  }

  async #stop(): Promise<void> {
    const database = this.#database
    if (database === undefined) return
    await this.#lastBatch
    await Promise.allSettled(this.#reads)
    try {
      await database.close()
    } catch (error) {
      throw failure('close', this.#options.directory, error)
    }
    this.#database = undefined
  }

  #batchDone(): void {
    this.#batches -= 1
  }

  #assertOpen(operation: string): Level<string, string> {
    if (!this.#ready || this.#database === undefined) throw notOpen(operation)
    return this.#database
  }
}

interface EngineRows {
  nextv(size: number): Promise<[string, string][]>
  close(): Promise<void>
}

async function* scan(
  rows: EngineRows | undefined,
  directory: string,
): AsyncGenerator<Row, void, undefined> {
  if (rows === undefined) throw notOpen('iterate')
  try {
    while (true) {
      const page = await rows.nextv(SCAN_ROWS)
      if (page.length === 0) return
      yield* page
    }
  } catch (error) {
    throw failure('scan', directory, error)
  } finally {
    await rows.close()
  }
}

// biome-ignore lint/correctness/useYield: a scan that fails at its first row.
async function* rejected(error: StateError): AsyncGenerator<Row, void, undefined> {
  throw error
}

interface EngineRange {
  gt?: string
  gte?: string
  lt?: string
  lte?: string
  reverse: boolean
  limit: number
}

/** The engine takes one bound on each side: of two, the narrower is kept. */
function engineRange(range: RowRange): EngineRange {
  const limit = range.limit ?? Number.POSITIVE_INFINITY
  if (limit !== Number.POSITIVE_INFINITY && !(Number.isInteger(limit) && limit >= 0)) {
    throw new StateError('invalid_option', `storage: limit ${limit} is not a whole number from 0`)
  }
  const bounds: EngineRange = { reverse: range.reverse ?? false, limit }
  const { gt, gte, lt, lte } = range
  if (gt !== undefined && (gte === undefined || gt >= gte)) bounds.gt = gt
  else if (gte !== undefined) bounds.gte = gte
  if (lt !== undefined && (lte === undefined || lt <= lte)) bounds.lt = lt
  else if (lte !== undefined) bounds.lte = lte
  return bounds
}

function notOpen(operation: string): StateError {
  return new StateError('not_open', `storage: not open: cannot ${operation}`)
}

/** The project's error for one of the engine: the engine wraps the true reason in its `cause`. */
function failure(operation: string, directory: string, error: unknown): StateError {
  if (error instanceof StateError) return error
  const reason = error instanceof Error && error.cause !== undefined ? error.cause : error
  const codes = [codeOf(error), codeOf(reason)]
  if (codes.includes('LEVEL_LOCKED')) {
    const text = `storage: folder "${directory}" is in use by another process`
    return new StateError('in_use', text, { cause: error })
  }
  if (operation !== 'open' && codes.some((code) => code?.endsWith('_NOT_OPEN'))) {
    return new StateError('not_open', `storage: closed during a ${operation}`, { cause: error })
  }
  const text = `storage: cannot ${operation} folder "${directory}": ${hint(codes)}${errorText(reason)}`
  return new StateError('storage_failed', text, { cause: error })
}

function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

function hint(codes: readonly (string | undefined)[]): string {
  if (codes.includes('EEXIST') || codes.includes('ENOTDIR')) return 'a file is in its place: '
  if (codes.includes('EACCES') || codes.includes('EPERM')) return 'permission denied: '
  if (codes.includes('LEVEL_CORRUPTION')) return 'the database is damaged: '
  return ''
}
