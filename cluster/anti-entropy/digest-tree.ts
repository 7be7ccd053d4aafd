/**
 * Digests of one set of records by the hash of their keys: 4096 leaves, of which sixteen at a time
 * make a node of the level above, up to the root. A node is named by the hexadecimal digits its
 * leaves begin with; the root is the empty text.
 */
import type { Digest, Hash } from '../../src/core/data/digest.ts'
import { hashText } from '../../src/core/data/digest.ts'

export const LEAVES = 4096
/** Digits of a leaf's name. */
export const LEAF_DIGITS = 3
const BLOCK = 256
/** Fields of a leaf: count, high, low. */
const FIELDS = 3

/** The leaf of a key, from 0. */
export function leafOf(key: string): number {
  return hashText(key).high >>> 20
}

/** The sixteen nodes below one that is not a leaf. */
export function childrenOf(node: string): string[] {
  return Array.from({ length: 16 }, (_, digit) => `${node}${digit.toString(16)}`)
}

/** First and last leaf of a node, the latter excluded. */
export function leavesOf(node: string): readonly [first: number, end: number] {
  const each = 16 ** (LEAF_DIGITS - node.length)
  const first = node === '' ? 0 : Number.parseInt(node, 16) * each
  return [first, first + each]
}

/** Which leaves are below any of these nodes: 1 or 0 each. */
export function leafMask(nodes: readonly string[]): Uint8Array {
  const mask = new Uint8Array(LEAVES)
  for (const node of nodes) mask.fill(1, ...leavesOf(node))
  return mask
}

/** Takes 3 KiB for every sixteenth of the key space that was ever used. */
export class DigestTree {
  readonly #blocks: (Uint32Array | undefined)[] = Array.from({ length: LEAVES / BLOCK })

  add(leaf: number, hash: Hash): void {
    this.#change(leaf, 1, hash.high, hash.low)
  }

  remove(leaf: number, hash: Hash): void {
    this.#change(leaf, -1, -hash.high, -hash.low)
  }

  clear(): void {
    this.#blocks.fill(undefined)
  }

  digest(node: string): Digest {
    const [first, end] = leavesOf(node)
    let count = 0
    let high = 0
    let low = 0
    for (let leaf = first; leaf < end; leaf++) {
      const block = this.#blocks[leaf >>> 8]
      if (block === undefined) {
        leaf |= BLOCK - 1
        continue
      }
      const at = (leaf & (BLOCK - 1)) * FIELDS
      count += block[at] ?? 0
      high = (high + (block[at + 1] ?? 0)) >>> 0
      low = (low + (block[at + 2] ?? 0)) >>> 0
    }
    return { count, high, low }
  }

  #change(leaf: number, count: number, high: number, low: number): void {
    let block = this.#blocks[leaf >>> 8]
    if (block === undefined) {
      block = new Uint32Array(BLOCK * FIELDS)
      this.#blocks[leaf >>> 8] = block
    }
    const at = (leaf & (BLOCK - 1)) * FIELDS
    // Sums wrap at 2^32, as the lanes of a digest do.
    block[at] = (block[at] ?? 0) + count
    block[at + 1] = (block[at + 1] ?? 0) + high
    block[at + 2] = (block[at + 2] ?? 0) + low
  }
}
