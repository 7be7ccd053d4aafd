/** A set of 64-bit hashes, packed: 9 bytes a place, at most half of the places taken. */
import type { Hash } from '../../src/core/data/digest.ts'
import { encodeHash } from '../../src/core/data/digest.ts'
import { HASH_DIGITS } from '../../src/core/wire/comparison.ts'

const FREE = 0
const THERE = 1
const MET = 2

export class HashSet {
  #highs = new Uint32Array(64)
  #lows = new Uint32Array(64)
  #places = new Uint8Array(64)
  #size = 0

  get size(): number {
    return this.#size
  }

  add({ high, low }: Hash): void {
    if (this.#size * 2 >= this.#places.length) this.#grow()
    const at = this.#find(high, low)
    if (this.#places[at] !== FREE) return
    this.#highs[at] = high
    this.#lows[at] = low
    this.#places[at] = THERE
    this.#size++
  }

  /** Adds hashes of 16 hexadecimal digits each. */
  addAll(hashes: string): void {
    for (let at = 0; at < hashes.length; at += HASH_DIGITS) {
      this.add({
        high: Number.parseInt(hashes.slice(at, at + 8), 16),
        low: Number.parseInt(hashes.slice(at + 8, at + HASH_DIGITS), 16),
      })
    }
  }

  /** Whether the hash is in the set; from then on it counts as met. */
  meet({ high, low }: Hash): boolean {
    const at = this.#find(high, low)
    if (this.#places[at] === FREE) return false
    this.#places[at] = MET
    return true
  }

  /** The hashes that were never met, 16 hexadecimal digits each. */
  *unmet(): Generator<string, undefined> {
    for (let at = 0; at < this.#places.length; at++) {
      if (this.#places[at] !== THERE) continue
      yield encodeHash({ high: this.#highs[at] ?? 0, low: this.#lows[at] ?? 0 })
    }
    return undefined
  }

  /** The place of a hash, or the free one where it belongs. */
  #find(high: number, low: number): number {
    const mask = this.#places.length - 1
    let at = low & mask
    while (this.#places[at] !== FREE && (this.#highs[at] !== high || this.#lows[at] !== low)) {
      at = (at + 1) & mask
    }
    return at
  }

  #grow(): void {
    const [highs, lows, places] = [this.#highs, this.#lows, this.#places]
    this.#highs = new Uint32Array(highs.length * 2)
    this.#lows = new Uint32Array(highs.length * 2)
    this.#places = new Uint8Array(highs.length * 2)
    for (let i = 0; i < places.length; i++) {
      if (places[i] === FREE) continue
      const at = this.#find(highs[i] ?? 0, lows[i] ?? 0)
      this.#highs[at] = highs[i] ?? 0
      this.#lows[at] = lows[i] ?? 0
      this.#places[at] = places[i] ?? FREE
    }
  }
}
