/**
 * How deep and how many-membered JSON may be. A parsed value takes up to a hundred times the bytes of its
 * text, so a text is looked at before anything is made of it. RFC 8259 (section 9) allows such limits.
 */
import { StateError } from '../errors.ts'

export interface JsonBounds {
  /** Deepest nesting of arrays and objects. */
  readonly maxDepth: number
  /** Most items of arrays and members of objects, in all; a member counts `MEMBER_WEIGHT` times, for its name. */
  readonly maxMembers: number
}

/** How much more a member of an object costs than an item of an array. */
export const MEMBER_WEIGHT = 4

/** As many members take up to 250 MB when parsed; a node with a small heap takes fewer. */
export const DEFAULT_JSON_BOUNDS: JsonBounds = Object.freeze({
  maxDepth: 512,
  maxMembers: 4_000_000,
})

/** The deepest that can be allowed: some readers call themselves once per level. */
export const MAX_JSON_DEPTH = 1000

/** What can be read, for texts that were let in before, perhaps under other limits. */
export const READABLE_JSON: JsonBounds = Object.freeze({
  maxDepth: MAX_JSON_DEPTH,
  maxMembers: Number.POSITIVE_INFINITY,
})

const READ_ALL: JsonBounds = {
  maxDepth: Number.POSITIVE_INFINITY,
  maxMembers: Number.POSITIVE_INFINITY,
}

const SPACE = 32
const QUOTE = 34
const COMMA = 44
const COLON = 58
const OPEN_BRACKET = 91
const BACKSLASH = 92
const CLOSE_BRACKET = 93
const OPEN_BRACE = 123
const CLOSE_BRACE = 125

/**
 * Says which bound a text passes; undefined when it passes none. It may be no JSON at all: that is for the parser
 * to find. One pass, and no memory.
 * @param held what stands in the place of the text now: no more than it has of both is never too much
 * @returns StateError `invalid_json` for the depth, `too_large` for the members; both name the limit.
 */
export function jsonExcess(
  text: string,
  bounds: JsonBounds,
  held?: string,
): StateError | undefined {
  // Every level and every item takes a character at least, a member as many as its weight.
  if (text.length <= bounds.maxDepth && text.length <= bounds.maxMembers) return undefined
  const size = new BoundsCount(READ_ALL)
  countAll(text, size)
  const excess = excessOfSize(size, bounds)
  if (excess === undefined || held === undefined) return excess
  const before = new BoundsCount(READ_ALL)
  countAll(held, before)
  return size.maxDepth <= before.maxDepth && size.members <= before.members ? undefined : excess
}

function countAll(text: string, count: BoundsCount): void {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    count.take(code)
    if (code === QUOTE) i = stringEnd(text, i) - 1
  }
}

/** Counts from the characters outside of strings, and their opening quotes. */
export class BoundsCount {
  readonly #bounds: JsonBounds
  #depth = 0
  #maxDepth = 0
  #members = 0
  /** Whether a container was opened last, which may be empty. */
  #isOpened = false

  constructor(bounds: JsonBounds) {
    this.#bounds = bounds
  }

  /** The deepest nesting so far. */
  get maxDepth(): number {
    return this.#maxDepth
  }

  /** Items and members so far, each with its weight. */
  get members(): number {
    return this.#members
  }

  /** @throws StateError as `jsonExcess` returns it. */
  take(code: number): void {
    if (code <= SPACE) return
    const isClose = code === CLOSE_BRACE || code === CLOSE_BRACKET
    if (this.#isOpened) {
      this.#isOpened = false
      if (!isClose) this.#add(1)
    }
    if (code === COMMA) this.#add(1)
    else if (code === COLON) this.#add(MEMBER_WEIGHT - 1)
    else if (isClose) this.#depth--
    else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      this.#isOpened = true
      if (++this.#depth > this.#maxDepth) this.#maxDepth = this.#depth
      if (this.#depth > this.#bounds.maxDepth) throw tooDeep(this.#bounds)
    }
  }

  #add(count: number): void {
    this.#members += count
    if (this.#members > this.#bounds.maxMembers) throw tooMany(this.#bounds)
  }
}

function excessOfSize(
  { maxDepth, members }: BoundsCount,
  bounds: JsonBounds,
): StateError | undefined {
  if (maxDepth > bounds.maxDepth) return tooDeep(bounds)
  return members > bounds.maxMembers ? tooMany(bounds) : undefined
}

function tooDeep({ maxDepth }: JsonBounds): StateError {
  return new StateError('invalid_json', `invalid JSON: nested deeper than ${maxDepth}`)
}

function tooMany({ maxMembers }: JsonBounds): StateError {
  return new StateError('too_large', `JSON of more than ${maxMembers} members, which is the limit`)
}

/** Position just after the string literal that opens at `start`; the end of a text in which it never ends. */
export function stringEnd(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); ; quote = text.indexOf('"', quote + 1)) {
    if (quote === -1) return text.length
    let backslashes = 0
    while (text.charCodeAt(quote - 1 - backslashes) === BACKSLASH) backslashes++
    if (backslashes % 2 === 0) return quote + 1
  }
}
