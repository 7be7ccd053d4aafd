/** Work that takes turns: so many at once, the others wait in order. */
export class Turns {
  readonly #most: number
  readonly #waiting: (() => void)[] = []
  #running = 0

  /** @param most how many may run at once. */
  constructor(most: number) {
    this.#most = most
  }

  /** Runs it when there is room. Settles as it does. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#most) await new Promise<void>((go) => this.#waiting.push(go))
    else this.#running++
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      // The next one takes over this one's room.
      if (next === undefined) this.#running--
      else next()
    }
  }
}
