/**
 * Writes planned batches to the adapter. A batch of durability `memory` is answered before it is
 * written; when its write then fails, its rows wait here and go with the next batch. While rows
 * wait, nothing more is answered early, so at most one batch of rows ever waits.
 */
import { clientTextOf, errorText, isStateError, StateError } from '../../core/errors.ts'
import type { Logger } from '../../core/ports/logger.ts'
import type {
  BatchOperation,
  Durability,
  StorageAdapter,
} from '../../core/ports/storage-adapter.ts'
import type { CancelTimer, TimeSource } from '../../core/ports/time.ts'
import type { Planner } from '../planning/planner.ts'
import type { QueueMetrics } from './queue.ts'
import type { StorageBacklog } from './storage-backlog.ts'

export interface BatchWriterOptions {
  readonly adapter: StorageAdapter
  readonly logger: Logger
  /** Without it, rows that wait are only written with the next write. */
  readonly time: TimeSource | undefined
  /** Asks for an empty batch, which writes what waits. */
  readonly retry: () => void
}

/** Milliseconds between two tries to write what waits. */
const RETRY_MS = 1000

const STRENGTH: readonly Durability[] = ['memory', 'process', 'disk']

export class BatchWriter {
  readonly #options: BatchWriterOptions
  #waiting: readonly BatchOperation[] = []
  #cancelRetry: CancelTimer | undefined
  /** Rows that were answered for and are being written. */
  #answered = 0
  /** What was written since the last sync may be lost with the power. */
  #isUnsynced = false
  #refusal: string | undefined

  constructor(options: BatchWriterOptions) {
    this.#options = options
  }

  /** True while rows that were answered for are not written. */
  get isBehind(): boolean {
    return this.#waiting.length > 0
  }

  /**
   * How writes stand that are not written yet.
   * @param silentMs the storage has not answered for so long: rows that are being written wait too; 0: it answers.
   */
  backlog(queue: QueueMetrics, silentMs: number): StorageBacklog {
    const rows = this.#waiting.length + (silentMs > 0 ? this.#answered : 0)
    return { ...queue, refusal: this.#refusal, silentMs, rows }
  }

  /**
   * Whether a batch of this level that changes nothing is to be written all the same: its answers tell
   * of what earlier batches did, and promise that for the level.
   */
  needsBarrier(level: Durability | undefined): boolean {
    return level === 'disk' && this.#isUnsynced
  }

  /** Whether a write of this level may be answered before it is written. */
  answersEarly(level: Durability | undefined): boolean {
    const { capabilities } = this.#options.adapter
    return level === 'memory' && !capabilities.durability.includes('memory') && !this.isBehind
  }

  /** @throws StateError `invalid_option` when neither the adapter nor this can give the level. */
  assertOffered(level: Durability | undefined): void {
    const { durability } = this.#options.adapter.capabilities
    if (level === undefined || level === 'memory' || durability.includes(level)) return
    throw new StateError(
      'invalid_option',
      `storage: durability "${level}" is not one of: ${[...new Set(['memory', ...durability])].join(', ')}`,
    )
  }

  /** Writes `rows` and what waits, in one batch. @throws StateError; `rows` are then not written. */
  async write(rows: readonly BatchOperation[], level: Durability | undefined): Promise<void> {
    const all = this.isBehind ? [...this.#waiting, ...rows] : rows
    if (all.length === 0) return
    try {
      await this.#options.adapter.batch(all, this.#levelOf(level))
    } catch (cause) {
      if (this.isBehind) this.#retryLater()
      this.#refusal = clientTextOf(cause)
      throw isStateError(cause)
        ? cause
        : new StateError('storage_failed', `storage: ${errorText(cause)}`, {
            cause,
            clientText: `storage: ${clientTextOf(cause)}`,
          })
    }
    this.#refusal = undefined
    this.#isUnsynced = level !== 'disk'
    this.#waiting = []
    this.#cancelRetry?.()
    this.#cancelRetry = undefined
  }

  /** Writes rows that were answered for; when that fails they wait. Never rejects. */
  async writeAnswered(rows: readonly BatchOperation[]): Promise<void> {
    this.#answered = rows.length
    try {
      await this.write(rows, undefined)
    } catch (error) {
      this.#waiting = [...this.#waiting, ...rows]
      this.#options.logger.error('writes that were answered are not on disk yet', {
        rows: this.#waiting.length,
        error: errorText(error),
      })
      this.#retryLater()
    } finally {
      this.#answered = 0
    }
  }

  stop(): void {
    this.#cancelRetry?.()
    this.#cancelRetry = undefined
  }

  #levelOf(level: Durability | undefined): { durability?: Durability } {
    const { durability } = this.#options.adapter.capabilities
    return level === undefined || !durability.includes(level) ? {} : { durability: level }
  }

  #retryLater(): void {
    const { time, retry } = this.#options
    this.#cancelRetry ??= time?.after(RETRY_MS, () => {
      this.#cancelRetry = undefined
      retry()
    })
  }
}

/** The stronger of two levels; undefined is the weakest that is written before it is answered. */
export function strongest(
  a: Durability | undefined,
  b: Durability | undefined,
): Durability | undefined {
  if (a === undefined || b === undefined) {
    const known = a ?? b
    return known === 'memory' ? undefined : known
  }
  return STRENGTH.indexOf(a) >= STRENGTH.indexOf(b) ? a : b
}

/** An empty operation: its batch carries what waits to be written. */
export const NOTHING: Planner<void> = {
  reads: () => ({}),
  plan: () => ({ plan: undefined, result: undefined }),
}
