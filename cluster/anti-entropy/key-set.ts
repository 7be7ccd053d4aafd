/**
 * The sets of keys that two nodes compare. A key belongs to the first scope that matches it, so a
 * path is compared without what an earlier scope gives to another leader.
 */
import { matchKey } from '../../src/core/keys/key.ts'
import { mayOverlap } from '../../src/core/keys/pattern-overlap.ts'
import type { KeySet } from '../../src/core/wire/comparison.ts'
import type { Placement } from '../members/placement.ts'

export function coversKey({ path, except }: KeySet, key: string): boolean {
  return matchKey(path, key) && !except.some((other) => matchKey(other, key))
}

/** The same text for the same set. */
export function setName({ path, except }: KeySet): string {
  return except.length === 0 ? path : `${path} -${except.join(' -')}`
}

/** What a node follows `leader` for. */
export function followedSets({ scopes }: Placement, leader: string): KeySet[] {
  return scopes.flatMap((scope, i) => {
    if (scope.leader !== leader) return []
    const except = scopes
      .slice(0, i)
      .filter((other) => other.leader !== leader && mayOverlap(other.path, scope.path))
      .map((other) => other.path)
    return [{ path: scope.path, except }]
  })
}

/** What a node is likely to be asked about, or to ask about itself: each set once. */
export function usualSets(placement: Placement): KeySet[] {
  const all = placement.scopes.map(({ path }): KeySet => ({ path, except: [] }))
  for (const leader of placement.upstreams.keys()) all.push(...followedSets(placement, leader))
  return [...new Map(all.map((set) => [setName(set), set])).values()]
}
