/**
 * What pools keep for subscribers to come: encoded full states and latest patches. Both can be made again or
 * done without, so those of the pool that changed longest ago go first when all together pass a limit.
 */

/** A pool as it is asked to let go. */
export interface Keeper {
  /** Drops what it keeps. What subscribers are owed is not part of it. */
  forgetKept(): void
}

export class PoolMemory {
  readonly #maxBytes: number
  /** Longest unchanged first. */
  readonly #kept = new Map<Keeper, number>()
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Tells how much a pool keeps from now on; others, or itself, may have to let go for it. */
  keep(keeper: Keeper, bytes: number): void {
    this.forget(keeper)
    if (bytes === 0) return
    this.#kept.set(keeper, bytes)
    this.#bytes += bytes
    for (const [oldest] of this.#kept) {
      if (this.#bytes <= this.#maxBytes) return
      this.forget(oldest)
      oldest.forgetKept()
    }
  }

  /** The pool keeps nothing any more. */
  forget(keeper: Keeper): void {
    this.#bytes -= this.#kept.get(keeper) ?? 0
    this.#kept.delete(keeper)
  }
}
