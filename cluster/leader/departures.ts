/** When followers were found gone; bounded, longest gone forgotten first. */

/** Followers whose leaving is remembered. */
const MAX_DEPARTED = 1000

export class Departures {
  readonly #times = new Map<string, number>()

  /** Milliseconds since the Unix epoch, by follower id. */
  get times(): ReadonlyMap<string, number> {
    return this.#times
  }

  note(id: string, atMs: number): void {
    this.#times.delete(id)
    this.#times.set(id, atMs)
    for (const oldest of this.#times.keys()) {
      if (this.#times.size > MAX_DEPARTED) this.#times.delete(oldest)
      else break
    }
  }
}
