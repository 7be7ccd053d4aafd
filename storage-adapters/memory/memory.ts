/**
 * Storage in this process's memory: an ordered map kept as sorted blocks, so that an insert moves
 * one block of rows and not all of them. A scan shares the blocks it started with; a write copies
 * the block it changes when a scan may still be reading it.
 */

import { StateError } from '../../src/core/errors.ts'
import type {
  BatchOperation,
  BatchOptions,
  Row,
  RowRange,
  StorageAdapter,
  StorageCapabilities,
} from '../../src/core/ports/storage-adapter.ts'
import { type Block, find, scan, valueAt } from './blocks.ts'

/** A full block is split in two halves. */
const MAX_BLOCK_ROWS = 256

/**
 * Rows live as long as the object: they stay over `close` and a later `open` of the same object
 * and are gone with it. `get` and `batch` cost O(log n), taking a snapshot costs O(1).
 */
export class MemoryStorage implements StorageAdapter {
  readonly capabilities: StorageCapabilities = { durability: ['memory'], persistent: false }
  #blocks: Block[] = []
  #generation = 0
  /** The generation of writes that made the array `#blocks`. */
  #blocksGeneration = 0
  #target: 'open' | 'closed' = 'closed'
  #change: Promise<void> = Promise.resolve()
  #ready = false
  /** Counts lives, so that a scan begun in one does not go on in the next. */
  #session = 0

  open(): Promise<void> {
    return this.#turn('open')
  }

  close(): Promise<void> {
    return this.#turn('closed')
  }

  async get(key: string): Promise<string | undefined> {
    this.#assertOpen('get')
    return valueAt(this.#blocks, key)
  }

  async getMany(keys: readonly string[]): Promise<(string | undefined)[]> {
    this.#assertOpen('getMany')
    return keys.map((key) => valueAt(this.#blocks, key))
  }

  async batch(operations: readonly BatchOperation[], options?: BatchOptions): Promise<void> {
    this.#assertOpen('batch')
    const level = options?.durability ?? 'memory'
    if (!this.capabilities.durability.includes(level)) {
      throw new StateError(
        'invalid_option',
        `storage: durability "${level}" is not one of: ${this.capabilities.durability.join(', ')}`,
      )
    }
    for (const operation of operations) {
      if (operation.type === 'put') this.#put(operation.key, operation.value)
      else this.#delete(operation.key)
    }
  }

  iterate(range: RowRange = {}): AsyncIterable<Row> {
    const blocks = this.#blocks
    const session = this.#session
    const ready = this.#ready
    this.#generation += 1
    const check = (): void => {
      if (!ready || session !== this.#session) throw notOpen('iterate')
    }
    return scan(blocks, range, check)
  }

  #turn(target: 'open' | 'closed'): Promise<void> {
    if (this.#target === target) return this.#change
    this.#target = target
    this.#ready = false
    this.#session += 1
    // Even here a change of state takes a turn: callers meet the same states as on a disk.
    this.#change = this.#change.then(() => {
      this.#ready = this.#target === 'open'
    })
    return this.#change
  }

  #assertOpen(operation: string): void {
    if (!this.#ready) throw notOpen(operation)
  }

  #put(key: string, value: string): void {
    const place = find(this.#blocks, key)
    const block = this.#writable(place.block)
    if (place.found) {
      block.values[place.row] = value
      return
    }
    block.keys.splice(place.row, 0, key)
    block.values.splice(place.row, 0, value)
    if (block.keys.length <= MAX_BLOCK_ROWS) return
    const half = block.keys.length >>> 1
    const upper: Block = {
      keys: block.keys.splice(half),
      values: block.values.splice(half),
      generation: this.#generation,
    }
    this.#blocks.splice(place.block + 1, 0, upper)
  }

  #delete(key: string): void {
    const place = find(this.#blocks, key)
    if (!place.found) return
    const block = this.#writable(place.block)
    block.keys.splice(place.row, 1)
    block.values.splice(place.row, 1)
    if (block.keys.length === 0) this.#blocks.splice(place.block, 1)
  }

  /** The block of that number, and the array of blocks, made safe to change. */
  #writable(number: number): Block {
    if (this.#blocksGeneration !== this.#generation) {
      this.#blocks = this.#blocks.slice()
      this.#blocksGeneration = this.#generation
    }
    const generation = this.#generation
    const block = this.#blocks[number]
    if (block?.generation === generation) return block
    const own: Block = {
      keys: block?.keys.slice() ?? [],
      values: block?.values.slice() ?? [],
      generation,
    }
    this.#blocks[number] = own
    return own
  }
}

function notOpen(operation: string): StateError {
  return new StateError('not_open', `storage: not open: cannot ${operation}`)
}
