/** Batches that the server has answered but may still lose when it crashes. */
import type { RowChanges } from './row-tables.ts'

/** Bounds of what is kept; past one of them the next batch must be synced. */
const MAX_BYTES = 8 * 1024 * 1024
const MAX_BATCHES = 10_000

export interface NumberedBatch {
  readonly number: bigint
  readonly changes: RowChanges
}

/** In the order of their numbers, without gaps. */
export class UnsyncedBatches {
  #batches: NumberedBatch[] = []
  #bytes = 0

  get isEmpty(): boolean {
    return this.#batches.length === 0
  }

  get isFull(): boolean {
    return this.#bytes > MAX_BYTES || this.#batches.length >= MAX_BATCHES
  }

  keep(batch: NumberedBatch): void {
    this.#batches.push(batch)
    this.#bytes += batch.changes.bytes
  }

  /** Those with greater numbers. */
  after(number: bigint): NumberedBatch[] {
    return this.#batches.filter((batch) => batch.number > number)
  }

  /** A synced batch has taken all earlier ones to the disk with it. */
  clear(): void {
    this.#batches = []
    this.#bytes = 0
  }
}
