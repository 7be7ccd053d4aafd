/**
 * The states of one pattern in the order the source had them, and where in it a subscriber may be.
 * Equal states may recur, so a subscriber is at a set of places, not at one.
 */

/** Indexes into a history; never empty. */
export type Places = ReadonlySet<number>

export class StateHistory {
  readonly #pattern: string
  readonly #states: string[]

  constructor(pattern: string, first: string) {
    this.#pattern = pattern
    this.#states = [first]
  }

  /** The place of the latest state. */
  get end(): number {
    return this.#states.length - 1
  }

  /** The state after a commit; one that changed nothing here is no step. */
  add(state: string): void {
    if (state !== this.#states.at(-1)) this.#states.push(state)
  }

  /** After a frame that must lead from one state to the very next. @throws when it does not. */
  next(from: Places, state: string): Places {
    const places = [...from].map((place) => place + 1)
    return this.#found(
      places.filter((place) => this.#states[place] === state),
      from,
      state,
      'next',
    )
  }

  /** After a snapshot that may have replaced any number of frames. @throws when it goes back. */
  later(from: Places, state: string): Places {
    const first = Math.min(...from)
    const places = [...this.#states.keys()].slice(first)
    return this.#found(
      places.filter((place) => this.#states[place] === state),
      from,
      state,
      'later',
    )
  }

  #found(places: number[], from: Places, state: string, what: string): Places {
    if (places.length > 0) return new Set(places)
    const history = this.#states.map((known, place) => `\n${place}: ${known}`).join('')
    throw new Error(
      `${this.#pattern}: not a ${what} state after ${[...from].join(' or ')}: ${state}; there were${history}`,
    )
  }
}
