/**
 * From a concrete key to the subscribed patterns that cover it, without asking every pattern. A trie
 * over segments: because `*` never crosses a `/`, a pattern covers a key exactly when it has as
 * many segments and each one covers its counterpart.
 */
import { hasGlob, matchKey } from '../core/keys/key.ts'

interface TrieNode {
  /** Children by literal segment. */
  readonly literals: Map<string, TrieNode>
  /** Children by segment that holds a `*`. */
  readonly globs: Map<string, TrieNode>
  /** The pattern that ends here. */
  pattern: string | undefined
}

/** A set of patterns: plain keys and globs of any form. */
export class PatternIndex {
  readonly #root: TrieNode = createNode()
  #size = 0

  /** Number of patterns. */
  get size(): number {
    return this.#size
  }

  /** Adds a pattern; one that is already there stays once. */
  add(pattern: string): void {
    let node = this.#root
    for (const segment of pattern.split('/')) {
      const children = childrenFor(node, segment)
      let child = children.get(segment)
      if (child === undefined) {
        child = createNode()
        children.set(segment, child)
      }
      node = child
    }
    if (node.pattern === undefined) this.#size++
    node.pattern = pattern
  }

  /** Removes a pattern and the branches that only led to it; one that is absent is ignored. */
  remove(pattern: string): void {
    const segments = pattern.split('/')
    const path: TrieNode[] = [this.#root]
    for (const segment of segments) {
      const parent = path[path.length - 1] as TrieNode
      const child = childrenFor(parent, segment).get(segment)
      if (child === undefined) return
      path.push(child)
    }
    const leaf = path[segments.length] as TrieNode
    if (leaf.pattern === undefined) return
    leaf.pattern = undefined
    this.#size--
    for (let depth = segments.length; depth > 0 && isEmpty(path[depth] as TrieNode); depth--) {
      const segment = segments[depth - 1] as string
      childrenFor(path[depth - 1] as TrieNode, segment).delete(segment)
    }
  }

  /** The patterns that cover `key`, in no particular order; the same ones as `matchKey` says. */
  match(key: string): string[] {
    const found: string[] = []
    collect(this.#root, key.split('/'), 0, found)
    return found
  }
}

function createNode(): TrieNode {
  return { literals: new Map(), globs: new Map(), pattern: undefined }
}

function childrenFor(node: TrieNode, segment: string): Map<string, TrieNode> {
  return hasGlob(segment) ? node.globs : node.literals
}

function isEmpty(node: TrieNode): boolean {
  return node.pattern === undefined && node.literals.size === 0 && node.globs.size === 0
}

function collect(node: TrieNode, segments: readonly string[], depth: number, out: string[]): void {
  const segment = segments[depth]
  if (segment === undefined) {
    if (node.pattern !== undefined) out.push(node.pattern)
    return
  }
  const literal = node.literals.get(segment)
  if (literal !== undefined) collect(literal, segments, depth + 1, out)
  for (const [glob, child] of node.globs) {
    if (glob === '*' || matchKey(glob, segment)) collect(child, segments, depth + 1, out)
  }
}
