/**
 * A sorted sequence kept in blocks, so that one insert or delete in a long list moves a few hundred
 * pointers instead of all of them. Used where a change must be answered with its rank.
 */

/** Most items in one block; a fuller one is split in halves. */
const MAX_BLOCK = 512
/** A block that shrinks below this joins a neighbour when both fill half a block at most. */
const MIN_BLOCK = 128

/** Where an item sits, or would sit. */
interface Position {
  readonly block: number
  readonly offset: number
  readonly found: boolean
}

/**
 * Items in the order of `compare`. Items that compare as 0 are one item to `delete` and `rankOf`;
 * callers keep items distinct. Ranks are zero-based positions in list order.
 */
export class OrderedList<T> {
  readonly #compare: (a: T, b: T) => number
  readonly #blocks: T[][] = []
  #size = 0

  /** `sorted` must already be in the order of `compare`; it is copied. */
  constructor(compare: (a: T, b: T) => number, sorted: readonly T[] = []) {
    this.#compare = compare
    const fill = MAX_BLOCK / 2
    for (let i = 0; i < sorted.length; i += fill) this.#blocks.push(sorted.slice(i, i + fill))
    this.#size = sorted.length
  }

  get size(): number {
    return this.#size
  }

  /** Puts `item` in its place and returns the rank it got. */
  insert(item: T): number {
    const { block, offset } = this.#locate(item)
    this.#size++
    const items = this.#blocks[block]
    if (items === undefined) {
      this.#blocks.push([item])
      return this.#size - 1
    }
    const rank = this.#rankAt(block, offset)
    items.splice(offset, 0, item)
    if (items.length > MAX_BLOCK) {
      this.#blocks.splice(block + 1, 0, items.splice(items.length >> 1))
    }
    return rank
  }

  /** Takes out the item that compares as 0; returns the rank it had, -1 if there was none. */
  delete(item: T): number {
    const { block, offset, found } = this.#locate(item)
    const items = this.#blocks[block]
    if (!found || items === undefined) return -1
    const rank = this.#rankAt(block, offset)
    items.splice(offset, 1)
    this.#size--
    if (items.length < MIN_BLOCK) this.#shrink(block)
    return rank
  }

  /** The rank of the item that compares as 0, -1 if there is none. */
  rankOf(item: T): number {
    const { block, offset, found } = this.#locate(item)
    return found ? this.#rankAt(block, offset) : -1
  }

  /** The item at a rank, or undefined when the rank is out of range. */
  at(rank: number): T | undefined {
    if (rank < 0) return undefined
    let rest = rank
    for (const items of this.#blocks) {
      if (rest < items.length) return items[rest]
      rest -= items.length
    }
    return undefined
  }

  /** The first `n` items, or fewer when the list is shorter. */
  first(n: number): T[] {
    const result: T[] = []
    for (const items of this.#blocks) {
      if (result.length >= n) break
      for (const item of items) {
        if (result.length >= n) break
        result.push(item)
      }
    }
    return result
  }

  /** The last `n` items, in list order, or fewer when the list is shorter. */
  last(n: number): T[] {
    const result: T[] = []
    for (let b = this.#blocks.length - 1; b >= 0 && result.length < n; b--) {
      const items = this.#blocks[b] ?? []
      for (let i = items.length - 1; i >= 0 && result.length < n; i--) {
        result.push(items[i] as T)
      }
    }
    return result.reverse()
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (const items of this.#blocks) yield* items
  }

  /** Items from the first that is not before `item`, in list order. */
  *from(item: T): IterableIterator<T> {
    const { block, offset } = this.#locate(item)
    for (let b = block; b < this.#blocks.length; b++) {
      const items = this.#blocks[b] ?? []
      for (let i = b === block ? offset : 0; i < items.length; i++) yield items[i] as T
    }
  }

  toArray(): T[] {
    return this.#blocks.flat() as T[]
  }

  /** The first block whose last item is not before `item`, then the first such item in it. */
  #locate(item: T): Position {
    let low = 0
    let high = this.#blocks.length
    while (low < high) {
      const middle = (low + high) >> 1
      const items = this.#blocks[middle] as T[]
      if (this.#compare(items[items.length - 1] as T, item) < 0) low = middle + 1
      else high = middle
    }
    const last = this.#blocks.length - 1
    if (low > last) {
      // Beyond every item: the end of the last block, or a first block yet to come.
      return { block: Math.max(last, 0), offset: this.#blocks[last]?.length ?? 0, found: false }
    }
    return this.#locateIn(low, item)
  }

  #locateIn(block: number, item: T): Position {
    const items = this.#blocks[block] as T[]
    let low = 0
    let high = items.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#compare(items[middle] as T, item) < 0) low = middle + 1
      else high = middle
    }
    const found = low < items.length && this.#compare(items[low] as T, item) === 0
    return { block, offset: low, found }
  }

  #rankAt(block: number, offset: number): number {
    let rank = offset
    for (let b = 0; b < block; b++) rank += (this.#blocks[b] as T[]).length
    return rank
  }

  /** Drops an empty block, or joins a small one to a neighbour with room. */
  #shrink(block: number): void {
    const items = this.#blocks[block] as T[]
    if (items.length === 0) {
      this.#blocks.splice(block, 1)
      return
    }
    for (const left of [block - 1, block]) {
      const a = this.#blocks[left]
      const b = this.#blocks[left + 1]
      if (a === undefined || b === undefined || a.length + b.length > MAX_BLOCK / 2) continue
      this.#blocks.splice(left, 2, a.concat(b))
      return
    }
  }
}
