/**
 * Storage on this machine's disk over LevelDB (package `level`). LevelDB writes a batch as one
 * record of its log, which makes it atomic, and hands the record to the operating system before
 * the write answers, so that it survives a killed process; a synced write also survives a power cut.
 *
 * A batch that was refused leaves nothing: not for later reads, and not when the folder is opened
 * again, although LevelDB may have its record in a log.
 */

import { resolve } from 'node:path'
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
import type { LevelEngine, LevelEngineOptions } from './engine.ts'
import type { Database } from './files/database.ts'
import { levelFailure, notOpen } from './files/errors.ts'
import { FolderWatch } from './folder-watch.ts'
import { openEngine } from './open.ts'
import { engineRange } from './scans.ts'

const MIB = 1024 * 1024

/** Options of `LevelStorage`. */
export interface LevelStorageOptions {
  /** Folder of the database; it and its parents are created. One process at a time may hold it. */
  readonly directory: string
  /** Bytes of blocks kept uncompressed in memory. Default 8 MiB. 0 keeps none. */
  readonly cacheBytes?: number
  /** Bytes of fresh rows kept in memory before they go to a sorted file; up to two such buffers exist. Default 4 MiB. */
  readonly writeBufferBytes?: number
  /**
   * Bytes of sorted files that `open` reads in full to find damage before the engine does, the newest ones.
   * Default 32 MiB, some 0.1 s. 0: none.
   */
  readonly checkedBytes?: number
  /** Batches that may wait for their turn; one more is refused with `overloaded`. Default 10,000. 0 admits none but the running one. */
  readonly maxQueuedBatches?: number
  /** Characters of the batches that wait or are being written; more is refused with `overloaded`, unless it would be the only batch. Default 64 Mi. */
  readonly maxQueuedBytes?: number
  /**
   * How long a scan of an older state may hold up the recovery from a failed write before it is
   * cut short, milliseconds. Default 5,000. 0 cuts at once.
   */
  readonly scanPatienceMs?: number
  /**
   * Bytes of a file beside the database that is given up when it is opened on a full disk. Default twice
   * `writeBufferBytes` and 1 MiB; made where four times as much is free. 0: none.
   */
  readonly reserveBytes?: number
  /** Milliseconds between two looks whether the folder was deleted. Default 2,000. 0: none. */
  readonly folderCheckMs?: number
  /** Monotonic milliseconds; decides when a failed write is tried again. Default `performance.now`. */
  readonly nowMs?: () => number
}

/**
 * An ordered map in a LevelDB folder. Every scan holds an engine snapshot until it ends. Row keys
 * that start with U+0000 are the adapter's own.
 *
 * `open` checks the lists of files, the logs, the lists and filters of the sorted files, and of the newest
 * `checkedBytes` every block. It reads every file only when something of that is damaged, when the engine
 * refuses to open, or when the process died within ten minutes of the last `open`, as the engine ends it
 * at some damage. Reads do not check other blocks: readers judge rows by their own checksums, and ask for
 * `repair`. What is damaged is repaired as far as that is possible, and told by `damage`.
 *
 * A folder on a full disk is opened on a reserve of its own (`reserveBytes`), which is made again before anything
 * is written after the start.
 *
 * While writes fail, as on a full disk, reads are served; each write tries again after a pause that
 * grows from 0.1 to 5 seconds, and is refused with the reason (`storage_full` for lack of space)
 * until one succeeds.
 */
export class LevelStorage implements StorageAdapter {
  readonly capabilities: StorageCapabilities = {
    durability: ['process', 'disk'],
    persistent: true,
  }
  readonly #options: LevelEngineOptions
  readonly #maxQueuedBatches: number
  readonly #maxQueuedBytes: number
  readonly #folderCheckMs: number
  #watch: FolderWatch | undefined
  #isStarting = false
  #engine: LevelEngine | undefined
  readonly #state = new OpenClose()
  #lastBatch: Promise<void> = Promise.resolve()
  #batches = 0
  #bytes = 0

  constructor(options: LevelStorageOptions) {
    this.#maxQueuedBatches = options.maxQueuedBatches ?? 10_000
    this.#maxQueuedBytes = options.maxQueuedBytes ?? 64 * 1024 * 1024
    this.#folderCheckMs = options.folderCheckMs ?? 2_000
    const writeBufferBytes = options.writeBufferBytes ?? 4 * MIB
    this.#options = Object.freeze({
      directory: resolve(options.directory),
      cacheBytes: options.cacheBytes ?? 8 * MIB,
      writeBufferBytes,
      reserveBytes: options.reserveBytes ?? 2 * writeBufferBytes + MIB,
      checkedBytes: options.checkedBytes ?? 32 * 1024 * 1024,
      scanPatienceMs: options.scanPatienceMs ?? 5_000,
      nowMs: options.nowMs ?? (() => performance.now()),
    })
  }

  /** What was found damaged since `open`, with what was done about it; undefined when all was well. */
  get damage(): string | undefined {
    return this.#engine?.damage
  }

  /** Resolves with `storage_failed` when the folder of this opening was deleted. */
  get lost(): Promise<StateError> | undefined {
    return this.#watch?.lost
  }

  /** The failure that writes are refused for at present; undefined when all is well. */
  get fault(): StateError | undefined {
    return this.#engine?.fault
  }

  starting(isUnderWay: boolean): void {
    this.#isStarting = isUnderWay
    this.#engine?.starting(isUnderWay)
  }

  /** How often writing went on after a failure, since `open`. */
  get recoveries(): number {
    return this.#engine?.recoveries ?? 0
  }

  /**
   * Rejects with `in_use` when another process or object holds the folder, `storage_full` when
   * there is no room to open it, `corrupt_record` when it is damaged beyond repair, else `storage_failed`.
   */
  open(): Promise<void> {
    return this.#state.turn('open', () => this.#start())
  }

  /** Running batches and reads finish first; scans that have not ended reject at their next row. */
  close(): Promise<void> {
    return this.#state.turn('closed', () => this.#stop())
  }

  async get(key: string): Promise<string | undefined> {
    return this.#read('get', (database) => database.get(key))
  }

  async getMany(keys: readonly string[]): Promise<(string | undefined)[]> {
    const asked = [...keys]
    // The engine takes one snapshot for all keys of a call.
    return this.#read('getMany', (database) => database.getMany(asked))
  }

  async batch(operations: readonly BatchOperation[], options?: BatchOptions): Promise<void> {
    const engine = this.#assertOpen('batch')
    const level = options?.durability ?? 'process'
    if (!this.capabilities.durability.includes(level)) {
      throw new StateError(
        'invalid_option',
        `storage: durability "${level}" is not one of: ${this.capabilities.durability.join(', ')}`,
      )
    }
    const bytes = operations.reduce((sum, item) => sum + lengthOf(item), 0)
    this.#assertRoom(bytes)
    // The engine runs on several threads: only one batch at a time keeps the order of the calls.
    const rows = operations.slice()
    this.#batches += 1
    this.#bytes += bytes
    try {
      await this.#afterBatches(() => engine.write(rows, level === 'disk'))
    } finally {
      this.#batches -= 1
      this.#bytes -= bytes
    }
  }

  /** Reads every file, some 0.3 s for each 100 MiB; scans of an older state are cut short. */
  async repair(): Promise<string | undefined> {
    const engine = this.#assertOpen('repair')
    return this.#afterBatches(() => engine.repair())
  }

  iterate(range: RowRange = {}): AsyncIterable<Row> {
    try {
      return this.#assertOpen('iterate').scan(engineRange(range))
    } catch (error) {
      return rejected(levelFailure('scan', this.#options.directory, error))
    }
  }

  async #read<T>(operation: string, work: (database: Database) => Promise<T>): Promise<T> {
    return this.#assertOpen(operation).read(operation, work)
  }

  async #start(): Promise<void> {
    if (this.#engine !== undefined) return
    try {
      const engine = await openEngine(this.#options)
      engine.starting(this.#isStarting)
      const isGone = (): Promise<boolean> => engine.isFolderGone()
      this.#watch = new FolderWatch(this.#options.directory, isGone, this.#folderCheckMs)
      this.#engine = engine
    } catch (error) {
      throw levelFailure('open', this.#options.directory, error)
    }
  }

  async #stop(): Promise<void> {
    const engine = this.#engine
    if (engine === undefined) return
    await this.#lastBatch
    this.#engine = undefined
    this.#watch?.stop()
    this.#watch = undefined
    try {
      await engine.close()
    } catch (error) {
      throw levelFailure('close', this.#options.directory, error)
    }
  }

  #assertRoom(bytes: number): void {
    const isFull = this.#batches > this.#maxQueuedBatches
    if (!isFull && (this.#bytes === 0 || this.#bytes + bytes <= this.#maxQueuedBytes)) return
    throw new StateError(
      'overloaded',
      isFull
        ? `storage: ${this.#batches} batches are waiting, at most ${this.#maxQueuedBatches} may`
        : `storage: batches of ${this.#bytes} characters are waiting, at most ${this.#maxQueuedBytes} may`,
    )
  }

  /** Does what changes the database, one after the other. */
  #afterBatches<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#lastBatch.then(work)
    this.#lastBatch = done.then(
      () => undefined,
      () => undefined,
    )
    return done
  }

  #assertOpen(operation: string): LevelEngine {
    if (!this.#state.isOpen || this.#engine === undefined) throw notOpen(operation)
    this.#watch?.assertThere()
    return this.#engine
  }
}

function lengthOf(item: BatchOperation): number {
  return item.key.length + (item.type === 'put' ? item.value.length : 0)
}

// biome-ignore lint/correctness/useYield: a scan that fails at its first row.
async function* rejected(error: StateError): AsyncGenerator<Row, void, undefined> {
  throw error
}
