/**
 * Finding out, by digests, where two sets of records differ, and in which portions to put that
 * right. Pure. The walk goes down the digest tree below the nodes that differ only; a side that has
 * nothing below a node, or little, ends it there.
 */
import { type Digest, sameDigest } from '../../src/core/data/digest.ts'
import { MAX_HASHES } from '../../src/core/wire/comparison.ts'
import { childrenOf, LEAF_DIGITS } from './digest-tree.ts'

/** A part of the tree in which both sides hold records, and not the same. */
interface Differing {
  readonly node: string
  /** How many records we hold there. */
  readonly count: number
}

export interface Walk {
  /**
   * Whether this is the first comparison with a log. Later ones queue nothing without having told its
   * hash, since what is on its way up is left out of the hashes.
   */
  readonly isFirst: boolean
  readonly unasked: readonly string[]
  readonly asked: readonly string[]
  /** Nodes below which only the other side holds records. */
  readonly absent: readonly string[]
  /** Nodes below which only we do. */
  readonly extra: readonly string[]
  readonly differing: readonly Differing[]
}

/** Below a node with so few records of ours their hashes cost no more than further digests. */
const FEW_RECORDS = 32

export function startWalk(isFirst: boolean): Walk {
  return { isFirst, unasked: [''], asked: [], absent: [], extra: [], differing: [] }
}

/** Names at most `limit` nodes to ask about next; none when the walk has ended. */
export function askNext(walk: Walk, limit: number): Walk {
  const asked = walk.unasked.slice(0, limit)
  return { ...walk, asked, unasked: walk.unasked.slice(limit) }
}

/** Takes the digests of the nodes asked about, in order. */
export function learn(walk: Walk, theirs: readonly Digest[], ours: readonly Digest[]): Walk {
  const unasked = [...walk.unasked]
  const absent = [...walk.absent]
  const extra = [...walk.extra]
  const differing = [...walk.differing]
  walk.asked.forEach((node, i) => {
    const [their, our] = [theirs[i], ours[i]]
    if (their === undefined || our === undefined || sameDigest(their, our)) return
    if (our.count === 0) absent.push(node)
    else if (their.count === 0 && walk.isFirst) extra.push(node)
    else if (node.length === LEAF_DIGITS || our.count <= FEW_RECORDS) {
      differing.push({ node, count: our.count })
    } else unasked.push(...childrenOf(node))
  })
  return { isFirst: walk.isFirst, unasked, asked: [], absent, extra, differing }
}

/** What one exchange is about. */
export interface Portion {
  readonly nodes: readonly string[]
  /** `hashes`: ours are told, and theirs we lack come back. `all`: theirs is nothing, or hardly anything. */
  readonly sends: 'hashes' | 'all'
}

/**
 * The exchanges that put the differences right. Where we hold nothing there are no hashes to tell, so
 * that goes with the first; the others are filled up to the greatest number of hashes.
 */
export function portions(
  { absent, extra, differing }: Walk,
  maxHashes: number = MAX_HASHES,
): Portion[] {
  const portions: Portion[] = extra.length === 0 ? [] : [{ nodes: extra, sends: 'all' }]
  let nodes = [...absent]
  let hashes = 0
  for (const { node, count } of differing) {
    if (hashes > 0 && hashes + count > maxHashes) {
      portions.push({ nodes, sends: 'hashes' })
      nodes = []
      hashes = 0
    }
    nodes.push(node)
    hashes += count
  }
  if (nodes.length > 0) portions.push({ nodes, sends: 'hashes' })
  return portions
}

/** Cuts texts of hashes into parts of at most `maxBytes`, at least one hash each. */
export function cutHashes(hashes: string, hashDigits: number, maxBytes: number): string[] {
  const size = Math.max(1, Math.floor(maxBytes / hashDigits)) * hashDigits
  const parts: string[] = []
  for (let at = 0; at < hashes.length; at += size) parts.push(hashes.slice(at, at + size))
  return parts
}
