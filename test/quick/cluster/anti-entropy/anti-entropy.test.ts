import { describe, expect, test } from 'vitest'
import type { Walk } from '../../../../cluster/anti-entropy/anti-entropy.ts'
import {
  askNext,
  cutHashes,
  learn,
  portions,
  startWalk,
} from '../../../../cluster/anti-entropy/anti-entropy.ts'
import {
  childrenOf,
  DigestTree,
  leafMask,
  leafOf,
  leavesOf,
} from '../../../../cluster/anti-entropy/digest-tree.ts'
import { HashSet } from '../../../../cluster/anti-entropy/hash-set.ts'
import { EMPTY_DIGEST, encodeHash, hashRecord, hashText } from '../../../../src/core/data/digest.ts'
import type { StoredRecord } from '../../../../src/core/data/entry.ts'
import { entry } from '../../../cluster/fixtures.ts'
import { fc } from '../../../support/property.ts'

function treeOf(records: readonly StoredRecord[]): DigestTree {
  const tree = new DigestTree()
  for (const record of records) tree.add(leafOf(record.key), hashRecord(record))
  return tree
}

/** Walks to the end, asking at most `limit` nodes at a time. */
function walkOf(
  theirs: readonly StoredRecord[],
  ours: readonly StoredRecord[],
  limit: number,
  isFirst = true,
): { walk: Walk; asked: number } {
  const [left, right] = [treeOf(theirs), treeOf(ours)]
  let walk = startWalk(isFirst)
  let asked = 0
  while (walk.unasked.length > 0) {
    walk = askNext(walk, limit)
    asked += walk.asked.length
    const digests = (tree: DigestTree) => walk.asked.map((node) => tree.digest(node))
    walk = learn(walk, digests(left), digests(right))
  }
  return { walk, asked }
}

const set = fc
  .uniqueArray(fc.tuple(fc.nat(500), fc.nat(2)), { selector: ([key]) => key, maxLength: 200 })
  .map((keys) => keys.map(([key, stamp]) => entry(`items/${key}`, stamp + 1)))

describe('the digest tree', () => {
  test('a node is the sum of its children, and leaves are named in order', () => {
    const tree = treeOf(Array.from({ length: 1000 }, (_, i) => entry(`items/${i}`, i)))
    for (const node of ['', '3', 'a7']) {
      const children = childrenOf(node).map((child) => tree.digest(child))
      const count = children.reduce((sum, digest) => sum + digest.count, 0)
      const low = children.reduce((sum, digest) => (sum + digest.low) >>> 0, 0)
      expect(tree.digest(node)).toMatchObject({ count, low })
    }
    expect(leavesOf('a3f')).toEqual([0xa3f, 0xa40])
    expect(leavesOf('')).toEqual([0, 4096])
    expect(leafMask(['a', 'b3f']).reduce((sum, bit) => sum + bit, 0)).toBe(257)
  })

  test('taking away what was added leaves nothing, in whatever order', () => {
    const records = Array.from({ length: 500 }, (_, i) => entry(`items/${i}`, i))
    const tree = treeOf(records)
    for (const record of records.reverse()) tree.remove(leafOf(record.key), hashRecord(record))
    expect(tree.digest('')).toEqual(EMPTY_DIGEST)
  })
})

describe('a walk', () => {
  test('of equal sets asks for the root only', () => {
    const records = Array.from({ length: 5000 }, (_, i) => entry(`items/${i}`, i))
    expect(walkOf(records, [...records].reverse(), 1024)).toMatchObject({ asked: 1 })
  })

  test('of an empty side ends at the root', () => {
    const records = Array.from({ length: 5000 }, (_, i) => entry(`items/${i}`, i))
    expect(walkOf(records, [], 1024).walk).toMatchObject({ absent: [''], extra: [] })
    expect(walkOf([], records, 1024).walk).toMatchObject({ absent: [], extra: [''] })
  })

  test('later on, owes nothing whose hash was not told', () => {
    const records = Array.from({ length: 20 }, (_, i) => entry(`items/${i}`, i))
    const { walk } = walkOf([], records, 1024, false)
    expect(walk).toMatchObject({ extra: [], differing: [{ node: '', count: 20 }] })
  })

  test('finds every leaf that differs and asks for few that do not', () => {
    fc.assert(
      fc.property(set, set, fc.integer({ min: 1, max: 40 }), (theirs, ours, limit) => {
        const { walk, asked } = walkOf(theirs, ours, limit)
        const found = leafMask([
          ...walk.absent,
          ...walk.extra,
          ...walk.differing.map(({ node }) => node),
        ])
        const differing = [...differingLeaves(theirs, ours)]
        for (const leaf of differing) expect(found[leaf]).toBe(1)
        expect(asked).toBeLessThanOrEqual(1 + 48 * differing.length)
      }),
    )
  })
})

describe('portions', () => {
  test('hold each node once and stay within the greatest number of hashes', () => {
    fc.assert(
      fc.property(set, set, (theirs, ours) => {
        const { walk } = walkOf(theirs, ours, 1024)
        const parts = portions(walk, 40)
        const nodes = parts.flatMap((portion) => portion.nodes)
        const wanted = [...walk.absent, ...walk.extra, ...walk.differing.map(({ node }) => node)]
        expect([...nodes].sort()).toEqual([...wanted].sort())
        const counts = new Map(walk.differing.map(({ node, count }) => [node, count]))
        for (const { nodes, sends } of parts) {
          const hashes = nodes.reduce((sum, node) => sum + (counts.get(node) ?? 0), 0)
          if (sends === 'all') expect(nodes).toEqual(walk.extra)
          const isOne = nodes.filter((node) => counts.has(node)).length === 1
          if (!isOne) expect(hashes).toBeLessThanOrEqual(40)
        }
      }),
    )
  })

  test('hashes are cut between two of them, at least one in each part', () => {
    const hashes = '0123456789abcdef'.repeat(5)
    expect(cutHashes(hashes, 16, 40).map(({ length }) => length)).toEqual([32, 32, 16])
    expect(cutHashes(hashes, 16, 1)).toHaveLength(5)
    expect(cutHashes('', 16, 40)).toEqual([])
  })
})

describe('the packed set of hashes', () => {
  test('knows what was added, and what of it was never met', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string()), fc.array(fc.string()), (added, asked) => {
        const hashes = new HashSet()
        hashes.addAll(added.map((text) => encodeHash(hashText(text))).join(''))
        expect(hashes.size).toBe(added.length)
        for (const text of asked) expect(hashes.meet(hashText(text))).toBe(added.includes(text))
        const unmet = added.filter((text) => !asked.includes(text))
        expect([...hashes.unmet()].sort()).toEqual(
          unmet.map((text) => encodeHash(hashText(text))).sort(),
        )
      }),
    )
  })

  test('takes the hash of nothing but zeros, and the same one twice', () => {
    const hashes = new HashSet()
    expect(hashes.meet({ high: 0, low: 0 })).toBe(false)
    hashes.addAll('0'.repeat(32))
    expect(hashes.size).toBe(1)
    expect(hashes.meet({ high: 0, low: 0 })).toBe(true)
  })
})

function differingLeaves(a: readonly StoredRecord[], b: readonly StoredRecord[]): Set<number> {
  const texts = (records: readonly StoredRecord[]) =>
    new Map(records.map((record) => [encodeHash(hashRecord(record)), record.key]))
  const [left, right] = [texts(a), texts(b)]
  const leaves = new Set<number>()
  for (const [hash, key] of left) if (!right.has(hash)) leaves.add(leafOf(key))
  for (const [hash, key] of right) if (!left.has(hash)) leaves.add(leafOf(key))
  return leaves
}
