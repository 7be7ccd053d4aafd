/** Reading the sorted blocks of rows that the storage in memory is made of. */

import { StateError } from '../../src/core/errors.ts'
import type { Row, RowRange } from '../../src/core/ports/storage-adapter.ts'

/** Rows next to each other in key order: `values[i]` belongs to `keys[i]`. */
export interface Block {
  readonly keys: string[]
  readonly values: string[]
  /** The generation of writes that made this block; older ones may be shared with a scan. */
  readonly generation: number
}

/** Where a key is, or belongs: block number, row number in it, and whether it is there. */
export interface Place {
  readonly block: number
  readonly row: number
  readonly found: boolean
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

/** Where `key` is or belongs, by binary search. */
export function find(blocks: readonly Block[], key: string): Place {
  const after = partition(blocks, (block) => (block.keys[0] ?? '') <= key)
  const number = after === 0 ? 0 : after - 1
  const block = blocks[number]
  if (block === undefined) return { block: 0, row: 0, found: false }
  const row = partition(block.keys, (item) => item < key)
  return { block: number, row, found: block.keys[row] === key }
}

/** The value under `key`, or undefined. */
export function valueAt(blocks: readonly Block[], key: string): string | undefined {
  const place = find(blocks, key)
  return place.found ? blocks[place.block]?.values[place.row] : undefined
}

/** The rows of a range; `check` is called before each and throws to end the scan. */
export async function* scan(
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
