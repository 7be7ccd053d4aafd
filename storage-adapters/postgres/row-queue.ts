/**
 * The order of batches and snapshots: one batch at a time goes to the database, and those that wait
 * meanwhile go together, in one transaction, as far as they ask for the same durability.
 */

import type { PostgresTime } from '../../postgres/connection/options.ts'
import { isConnectionLost } from '../../postgres/connection/postgres-error.ts'
import { isStateError, StateError } from '../../src/core/errors.ts'
import type { BatchOperation, Durability } from '../../src/core/ports/storage-adapter.ts'
import type { CancelTimer } from '../../src/core/ports/time.ts'
import type { RowChanges } from './row-tables.ts'

/** Bounds of what goes together; a single greater batch goes alone. */
const GROUP_BATCHES = 1_000
const GROUP_BYTES = 1024 * 1024
/** Milliseconds after which answered batches that are not synced are, when no other batch did it. */
const SYNC_AFTER_MS = 1_000

export interface RowQueueOptions {
  readonly maxBatches: number
  readonly maxBytes: number
  readonly time: PostgresTime
  /** Applies changes, all or nothing. */
  write(changes: RowChanges, level: Durability): Promise<void>
  /** Whether something written is not synced yet. */
  hasUnsynced(): boolean
}

interface Batch {
  readonly kind: 'batch'
  readonly operations: readonly BatchOperation[]
  readonly bytes: number
  readonly level: Durability
  resolve(): void
  reject(error: unknown): void
}

interface Between {
  readonly kind: 'between'
  readonly run: () => Promise<void>
}

/** Refuses with `overloaded` what passes its bounds. */
export class RowQueue {
  readonly #options: RowQueueOptions
  #waiting: (Batch | Between)[] = []
  #batches = 0
  #bytes = 0
  #refused = 0
  #running: Promise<void> | undefined
  #syncTimer: CancelTimer | undefined
  #closed = false

  constructor(options: RowQueueOptions) {
    this.#options = options
  }

  /** Batches that wait or are being written, and how many were refused. */
  get stats(): { readonly batches: number; readonly bytes: number; readonly refused: number } {
    return { batches: this.#batches, bytes: this.#bytes, refused: this.#refused }
  }

  /** Resolves when the batch is applied at its level. Batches are applied in the order of the calls. */
  add(operations: readonly BatchOperation[], level: Durability): Promise<void> {
    const bytes = operations.reduce((sum, item) => sum + bytesOf(item), 0)
    this.#admit(bytes)
    return new Promise((resolve, reject) => {
      const own = operations.slice()
      this.#push({ kind: 'batch', operations: own, bytes, level, resolve, reject })
    })
  }

  /** Runs `work` after all batches added before, and before all added later. */
  between<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const run = (): Promise<void> => work().then(resolve, reject)
      this.#push({ kind: 'between', run })
    })
  }

  /** Resolves when everything added is done, whatever came of it. Nothing may be added after. */
  async close(): Promise<void> {
    this.#closed = true
    this.#syncTimer?.()
    await this.#running
  }

  #admit(bytes: number): void {
    const { maxBatches, maxBytes } = this.#options
    if (this.#batches <= maxBatches && (this.#bytes === 0 || this.#bytes + bytes <= maxBytes)) {
      this.#batches += 1
      this.#bytes += bytes
      return
    }
    this.#refused += 1
    throw new StateError(
      'overloaded',
      `storage: ${this.#batches} batches of ${this.#bytes} bytes are waiting, at most ${maxBatches} of ${maxBytes} may`,
    )
  }

  #push(item: Batch | Between): void {
    this.#waiting.push(item)
    this.#running ??= this.#run()
  }

  async #run(): Promise<void> {
    // Whoever adds several batches in one go finds them in one group.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const items = this.#waiting
      this.#waiting = []
      for (let place = 0; place < items.length; ) {
        const item = items[place]
        if (item?.kind === 'batch') {
          const group = groupAt(items, place)
          place += group.length
          await this.#writeGroup(group)
        } else {
          place += 1
          await item?.run()
        }
      }
    }
    // In the same breath as the last look at what waits: whatever comes later starts a new run.
    this.#running = undefined
    this.#syncLater()
  }

  async #writeGroup(group: readonly Batch[]): Promise<void> {
    const [first] = group
    if (first === undefined) return
    try {
      await this.#options.write(merge(group), first.level)
      for (const batch of group) this.#done(batch)
    } catch (error) {
      if (group.length > 1 && isOfStatement(error)) {
        // One batch must not fail for what another one holds.
        for (const batch of group) await this.#writeGroup([batch])
      } else {
        for (const batch of group) this.#done(batch, error)
      }
    }
  }

  #done(batch: Batch, error?: unknown): void {
    this.#batches -= 1
    this.#bytes -= batch.bytes
    if (error === undefined) batch.resolve()
    else batch.reject(error)
  }

  #syncLater(): void {
    if (this.#closed || this.#syncTimer !== undefined || !this.#options.hasUnsynced()) return
    this.#syncTimer = this.#options.time.after(SYNC_AFTER_MS, () => {
      this.#syncTimer = undefined
      // When it fails, the batches stay kept and are sent again when the server is back.
      const sync = (): Promise<void> => this.#options.write(EMPTY, 'disk').catch(() => undefined)
      if (this.#options.hasUnsynced()) void this.between(sync)
    })
  }
}

const EMPTY: RowChanges = { rows: new Map(), bytes: 0 }

function bytesOf(item: BatchOperation): number {
  return item.key.length + (item.type === 'put' ? item.value.length : 0)
}

/** The batches from that place on that may go together. */
function groupAt(items: readonly (Batch | Between)[], place: number): Batch[] {
  const group: Batch[] = []
  let bytes = 0
  for (const item of items.slice(place, place + GROUP_BATCHES)) {
    if (item.kind !== 'batch' || item.level !== (group[0]?.level ?? item.level)) break
    bytes += item.bytes
    if (group.length > 0 && bytes > GROUP_BYTES) break
    group.push(item)
  }
  return group
}

/** What the batches come to, one after another: the last operation of each key. */
function merge(group: readonly Batch[]): RowChanges {
  const rows = new Map<string, string | undefined>()
  let bytes = 0
  for (const batch of group) {
    bytes += batch.bytes
    for (const item of batch.operations) {
      rows.set(item.key, item.type === 'put' ? item.value : undefined)
    }
  }
  return { rows, bytes }
}

function isOfStatement(error: unknown): boolean {
  const ended = isStateError(error, 'in_use') || isStateError(error, 'not_open')
  return !ended && !isConnectionLost(error)
}
