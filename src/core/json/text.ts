/**
 * Finding the parts of a JSON text without making values of it. Positions are those of characters in
 * compact, valid text, as `compactJson` returns it.
 */

import { atOnce, type Steps } from '../steps.ts'
import { stringEnd } from './bounds.ts'

const QUOTE = 34
const COMMA = 44
const OPEN_BRACKET = 91
const CLOSE_BRACKET = 93
const OPEN_BRACE = 123
const CLOSE_BRACE = 125

/** A container up to so many characters is read through to find its end. */
const SHORT = 256

export type JsonKind = 'object' | 'array' | 'scalar'

/** Positions in a text, ascending. */
export type Positions = ArrayLike<number>

const NONE: Positions = []
/** So many are kept as an ordinary array, which is made faster and takes twice the room. */
const FEW = 1024

class PositionList {
  readonly #few: number[] = []
  #many: Uint32Array | undefined
  #length = 0

  push(position: number): void {
    if (this.#length < FEW) this.#few.push(position)
    else {
      if (this.#many === undefined) {
        this.#many = new Uint32Array(4 * FEW)
        this.#many.set(this.#few)
      } else if (this.#length === this.#many.length) {
        const grown = new Uint32Array(2 * this.#length)
        grown.set(this.#many)
        this.#many = grown
      }
      this.#many[this.#length] = position
    }
    this.#length++
  }

  get positions(): Positions {
    return this.#many?.subarray(0, this.#length) ?? this.#few
  }
}

export class JsonText {
  readonly text: string
  /** Where the container that opens at a position ends; made at the first long one. */
  #ends: Uint32Array | undefined

  constructor(text: string) {
    this.text = text
  }

  kind(start: number): JsonKind {
    const code = this.text.charCodeAt(start)
    return code === OPEN_BRACE ? 'object' : code === OPEN_BRACKET ? 'array' : 'scalar'
  }

  /** The position after the value that begins at `start`. */
  end(start: number): number {
    const code = this.text.charCodeAt(start)
    if (code === QUOTE) return stringEnd(this.text, start)
    if (code !== OPEN_BRACE && code !== OPEN_BRACKET) return this.#literalEnd(start)
    return this.#ends?.[start] ?? this.#shortEnd(start) ?? (this.#index()[start] as number)
  }

  /**
   * Where the items of an array begin, and at last the position after its closing bracket: the end of
   * one is the start of the next but one. Empty for an empty array.
   */
  items(start: number): Positions {
    const starts = new PositionList()
    let at = start + 1
    if (this.text.charCodeAt(at) === CLOSE_BRACKET) return NONE
    for (;;) {
      starts.push(at)
      at = this.end(at) + 1
      if (this.text.charCodeAt(at - 1) !== COMMA) break
    }
    starts.push(at)
    return starts.positions
  }

  /**
   * Where the members of an object begin: for each the position of its name and that of its value, and at
   * last the position after the closing brace. Empty for an empty object.
   */
  members(start: number): Positions {
    const starts = new PositionList()
    let at = start + 1
    if (this.text.charCodeAt(at) === CLOSE_BRACE) return NONE
    for (;;) {
      const value = stringEnd(this.text, at) + 1
      starts.push(at)
      starts.push(value)
      at = this.end(value) + 1
      if (this.text.charCodeAt(at - 1) !== COMMA) break
    }
    starts.push(at)
    return starts.positions
  }

  /** The name whose literal lies between two positions. */
  name(start: number, end: number): string {
    const name = this.text.slice(start + 1, end - 1)
    return name.includes('\\') ? (JSON.parse(this.text.slice(start, end)) as string) : name
  }

  #literalEnd(start: number): number {
    let at = start + 1
    for (; at < this.text.length; at++) {
      const code = this.text.charCodeAt(at)
      if (code === COMMA || code === CLOSE_BRACE || code === CLOSE_BRACKET) break
    }
    return at
  }

  #shortEnd(start: number): number | undefined {
    let depth = 0
    const last = Math.min(this.text.length, start + SHORT)
    for (let at = start; at < last; at++) {
      const code = this.text.charCodeAt(at)
      if (code === QUOTE) at = stringEnd(this.text, at) - 1
      else if (code === OPEN_BRACE || code === OPEN_BRACKET) depth++
      else if ((code === CLOSE_BRACE || code === CLOSE_BRACKET) && --depth === 0) return at + 1
    }
    return undefined
  }

  /** One pass, so that no nesting makes finding ends cost depth times size. */
  #index(): Uint32Array {
    const ends = new Uint32Array(this.text.length)
    const open: number[] = []
    for (let at = 0; at < this.text.length; at++) {
      const code = this.text.charCodeAt(at)
      if (code === QUOTE) at = stringEnd(this.text, at) - 1
      else if (code === OPEN_BRACE || code === OPEN_BRACKET) open.push(at)
      else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) ends[open.pop() ?? 0] = at + 1
    }
    this.#ends = ends
    return ends
  }
}

/** Members by name, of which the last counts: start and end of each value. @param starts as `members` gives them */
export function membersByName(source: JsonText, starts: Positions): Map<string, [number, number]> {
  return atOnce(namingMembers(source, starts))
}

/** `membersByName` in steps. */
export function* namingMembers(
  source: JsonText,
  starts: Positions,
): Steps<Map<string, [number, number]>> {
  const members = new Map<string, [number, number]>()
  for (let i = 0; i + 2 < starts.length; i += 2) {
    const value = starts[i + 1] as number
    const name = source.name(starts[i] as number, value - 1)
    members.set(name, [value, (starts[i + 2] as number) - 1])
    yield
  }
  return members
}
