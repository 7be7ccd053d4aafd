/** Opening and closing of a thing, one after the other in the order they were asked for. */
export class OpenClose {
  #target: 'open' | 'closed' = 'closed'
  #change: Promise<void> = Promise.resolve()
  #isOpen = false

  /** True from the end of an opening until the next closing is asked for. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** What was asked for last. */
  get target(): 'open' | 'closed' {
    return this.#target
  }

  /**
   * Queues a change behind the running one; asking twice for the same answers the same promise. A change
   * that fails leaves the state before it, so that it can be asked for again.
   */
  turn(target: 'open' | 'closed', work: () => Promise<void>): Promise<void> {
    if (this.#target === target) return this.#change
    const before = this.#target
    this.#target = target
    this.#isOpen = false
    const change = this.#change.then(work, work)
    this.#change = change
    change.then(
      () => {
        if (this.#change === change) this.#isOpen = target === 'open'
      },
      () => {
        if (this.#change !== change) return
        this.#change = Promise.resolve()
        this.#target = before
        this.#isOpen = before === 'open'
      },
    )
    return change
  }
}
