/**
 * What may be the outcome of changes that were made apart, told without the stamps and rules of the
 * cluster: a key that one side alone changed is as that side left it; one that several changed is as
 * one of them left it.
 */

/** A value, or undefined for none. */
export type Outcome = string | undefined

export class OutageOracle {
  /** As all agreed before the outage. */
  #agreed: ReadonlyMap<string, string>
  readonly #changes = new Map<string, Map<string, Outcome>>()

  constructor(agreed: Readonly<Record<string, string>>) {
    this.#agreed = new Map(Object.entries(agreed))
  }

  /** A side has changed a key: its latest change of it counts. */
  changed(side: string, key: string, outcome: Outcome): void {
    const sides = this.#changes.get(key) ?? new Map<string, Outcome>()
    sides.set(side, outcome)
    this.#changes.set(key, sides)
  }

  /** Sentences on what is wrong with what all hold in the end. */
  faults(held: Readonly<Record<string, string>>): string[] {
    const keys = new Set([...this.#agreed.keys(), ...this.#changes.keys(), ...Object.keys(held)])
    return [...keys].flatMap((key) => {
      const sides = this.#changes.get(key)
      const allowed = sides === undefined ? [this.#agreed.get(key)] : [...new Set(sides.values())]
      if (allowed.includes(held[key])) return []
      const by = sides === undefined ? 'nobody' : [...sides.keys()].join(' and ')
      return [`${key} is ${held[key]}, not ${allowed.join(' or ')}; changed by ${by}`]
    })
  }
}
