/** Random choices that a seed repeats (mulberry32). */
export class Random {
  #state

  constructor(seed) {
    this.#state = seed >>> 0
  }

  /** From 0 up to 1. */
  next() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }

  /** An integer from 0 up to `end`. */
  below(end) {
    return Math.floor(this.next() * end)
  }

  one(choices) {
    return choices[this.below(choices.length)]
  }

  chance(probability) {
    return this.next() < probability
  }

  /** Short as a rule, up to `max` at times. */
  length(max) {
    return this.below(Math.ceil(max ** this.next()) + 1)
  }

  text(alphabet, length) {
    let text = ''
    for (let i = 0; i < length; i++) text += this.one(alphabet)
    return text
  }

  bytes(length) {
    const bytes = Buffer.alloc(length)
    for (let i = 0; i < length; i++) bytes[i] = this.below(256)
    return bytes
  }
}
