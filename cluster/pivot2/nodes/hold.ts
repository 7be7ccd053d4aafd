/**
 * Which paths of a 2.0 node its leader has yet to look at. After an outage a node may hold what it could
 * not send, and its next pull would delete that. So until its lists are read it is not told the
 * activity, without which it does not pull.
 */
import { NS_PER_SECOND } from '../../../src/core/ports/time.ts'

/** How long a node that can not be read keeps itself, and others at its address, from pulling. */
const LIMIT_NS = 30n * NS_PER_SECOND

export class NodeHold {
  readonly #paths: readonly string[]
  /** By path: the outage since which it was not looked at. */
  readonly #unseen: Map<string, number>
  #outages = 0
  #sinceNs: bigint
  #reachableNs = 0n
  #askedNs: bigint | undefined

  /** @param nowNs monotonic, as in all that follows */
  constructor(paths: readonly string[], nowNs: bigint) {
    this.#paths = paths
    this.#unseen = new Map(paths.map((path) => [path, 0]))
    this.#sinceNs = nowNs
  }

  /** The node was out of reach, or may have been. */
  outage(nowNs: bigint): void {
    this.#outages++
    if (this.#unseen.size === 0) {
      this.#sinceNs = nowNs
      this.#askedNs = undefined
    }
    for (const path of this.#paths) this.#unseen.set(path, this.#outages)
  }

  /** One path is in doubt. */
  suspect(path: string, nowNs: bigint): void {
    if (this.#unseen.size === 0) {
      this.#sinceNs = nowNs
      this.#askedNs = undefined
    }
    this.#unseen.set(path, ++this.#outages)
  }

  reachable(nowNs: bigint): void {
    this.#reachableNs = nowNs
  }

  /** A look begins. @returns what ends it: told that it went well, the path has been seen. */
  look(path: string): () => void {
    const outage = this.#unseen.get(path)
    return () => {
      if (this.#unseen.get(path) === outage) this.#unseen.delete(path)
    }
  }

  /** Anything is yet to be looked at: a node that pulls one list meanwhile hides that it lost the others. */
  get isActive(): boolean {
    return this.#unseen.size > 0
  }

  /** Paths to be looked at. */
  get paths(): readonly string[] {
    return [...this.#unseen.keys()]
  }

  /**
   * Whether it has lasted too long to keep others waiting. A node alone at its address has as long from its
   * first question on: one that asks, and still can not be read, is reachable in one direction only.
   */
  isSpent(nowNs: bigint, isShared: boolean): boolean {
    if (!isShared) this.#askedNs ??= nowNs
    const since = (isShared ? undefined : this.#askedNs) ?? this.#sinceNs
    const from = since > this.#reachableNs ? since : this.#reachableNs
    return nowNs - from > LIMIT_NS
  }
}
