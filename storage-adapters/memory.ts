/**
 * Storage in this process's memory: an ordered map kept as sorted blocks, so that an insert moves
 * one block of rows and not all of them. A scan shares the blocks it started with; a write copies
 * the block it changes when a scan may still be reading it.
 */

import { StateError } from '../src/core/errors.ts'
import type {
  BatchOperation,
  BatchOptions,
  Row,
  RowRange,
  StorageAdapter,
  StorageCapabilities,
} from '../src/storage-adapter.ts'

/** A full block is split in two halves. */
const MAX_BLOCK_ROWS = 256

interface Block {
  readonly keys: string[]
  readonly values: string[]
  /** The generation of writes that made this block; older ones may be shared with a scan. */
  readonly generation: number
}

/** Where a key is, or belongs: block number, row number in it, and whether it is there. */
interface Place {
  readonly block: number
  readonly row: number
  readonly found: boolean
}

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
    const place = find(this.#blocks, key)
    return place.found ? this.#blocks[place.block]?.values[place.row] : undefined
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

/** Number of leading items for which `before` holds; it must hold for a prefix of the items only. */
function partition<T>(items: readonly T[], before: (item: T) => boolean): number {
  let low = 0
  let high = items.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (before(items[middle] as T)) low = middle + 1
    else high = middle
  }
  return low
}

function find(blocks: readonly Block[], key: string): Place {
  const after = partition(blocks, (block) => (block.keys[0] ?? '') <= key)
  const number = after === 0 ? 0 : after - 1
  const block = blocks[number]
  if (block === undefined) return { block: 0, row: 0, found: false }
  const row = partition(block.keys, (item) => item < key)
  return { block: number, row, found: block.keys[row] === key }
}

async function* scan(
  blocks: readonly Block[],
  range: RowRange,
  check: () => void,
): AsyncGenerator<Row, void, undefined> {
  check()
  const step = range.reverse === true ? -1 : 1
  const limit = rowLimit(range)
  let place = step > 0 ? first(blocks, range) : last(blocks, range)
  for (let count = 0; count < limit; count += 1) {
    const block = blocks[place.block]
    const key = block?.keys[place.row]
    const value = block?.values[place.row]
    if (key === undefined || value === undefined || !inside(key, range)) return
    yield [key, value]
    check()
    place = move(blocks, place, step)
  }
}

function rowLimit(range: RowRange): number {
  const limit = range.limit ?? Number.POSITIVE_INFINITY
  if (limit === Number.POSITIVE_INFINITY || (Number.isInteger(limit) && limit >= 0)) return limit
  throw new StateError('invalid_option', `storage: limit ${limit} is not a whole number from 0`)
}

function inside(key: string, range: RowRange): boolean {
  if (range.gt !== undefined && key <= range.gt) return false
  if (range.gte !== undefined && key < range.gte) return false
  if (range.lt !== undefined && key >= range.lt) return false
  return !(range.lte !== undefined && key > range.lte)
}

/** The least place that the lower bounds allow; it may lie past the last row. */
function first(blocks: readonly Block[], range: RowRange): Place {
  const key = greater(range.gt, range.gte)
  if (key === undefined) return { block: 0, row: 0, found: true }
  const place = find(blocks, key)
  const skip = place.found && range.gt === key ? 1 : 0
  return settle(blocks, { ...place, row: place.row + skip })
}

/** The greatest place that the upper bounds allow; it may lie before the first row. */
function last(blocks: readonly Block[], range: RowRange): Place {
  const key = lesser(range.lt, range.lte)
  if (key === undefined) {
    const block = blocks.length - 1
    return { block, row: (blocks[block]?.keys.length ?? 0) - 1, found: true }
  }
  const place = find(blocks, key)
  if (place.found && range.lt !== key) return place
  return move(blocks, place, -1)
}

function greater(a: string | undefined, b: string | undefined): string | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return a > b ? a : b
}

function lesser(a: string | undefined, b: string | undefined): string | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return a < b ? a : b
}

function move(blocks: readonly Block[], place: Place, step: 1 | -1): Place {
  return settle(blocks, { ...place, row: place.row + step })
}

/** Carries a row number that left its block over to the neighbouring block. */
function settle(blocks: readonly Block[], place: Place): Place {
  if (place.row < 0) {
    const block = place.block - 1
    return { ...place, block, row: (blocks[block]?.keys.length ?? 0) - 1 }
  }
  if (place.row >= (blocks[place.block]?.keys.length ?? 0)) {
    return { ...place, block: place.block + 1, row: 0 }
  }
  return place
}
