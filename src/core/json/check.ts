/**
 * Checks that a text is one JSON value (RFC 8259) within bounds, and takes the white space out of it. It
 * makes nothing of the value, so it needs little memory beside the text, and it can stop on the way.
 */
import { StateError } from '../errors.ts'
import { BoundsCount, type JsonBounds } from './bounds.ts'
import { TextBuilder } from './text-builder.ts'

const SPACE = 32
const QUOTE = 34
const COMMA = 44
const COLON = 58
const OPEN_BRACKET = 91
const CLOSE_BRACKET = 93
const OPEN_BRACE = 123
const CLOSE_BRACE = 125

/** What may come next. */
const VALUE = 0
const VALUE_OR_END = 1
const NAME = 2
const NAME_OR_END = 3
const NAME_END = 4
const COMMA_OR_END = 5
const NOTHING = 6

const PLUS = 43
const MINUS = 45
const POINT = 46
const ZERO = 48
const NINE = 57
const BACKSLASH = 92
const E = 101
/** What a small letter has and a capital has not. */
const LOWER = 32

export class JsonCheck {
  readonly #text: string
  readonly #count: BoundsCount
  /** True for an object, from the outermost container to the innermost. */
  readonly #isObject: boolean[] = []
  #next = VALUE
  #at = 0
  #pieceStart = 0
  readonly #out = new TextBuilder()

  constructor(text: string, bounds: JsonBounds) {
    this.#text = text
    this.#count = new BoundsCount(bounds)
  }

  /**
   * Goes on for that many characters, or a token more.
   * @returns true when the text is checked to its end
   * @throws StateError `invalid_json`, or `too_large` for too many members
   */
  advance(characters: number = Number.POSITIVE_INFINITY): boolean {
    const end = Math.min(this.#text.length, this.#at + characters)
    while (this.#at < end) {
      const code = this.#text.charCodeAt(this.#at)
      if (code <= SPACE) this.#space(code)
      else {
        this.#count.take(code)
        this.#token(code)
      }
    }
    if (this.#at < this.#text.length) return false
    if (this.#next !== NOTHING) throw this.#unexpected()
    return true
  }

  /** The text without white space between tokens, once it is checked. */
  get compact(): string {
    if (this.#pieceStart === 0) return this.#text
    this.#take(this.#text.length)
    return this.#out.text
  }

  #space(code: number): void {
    if (code !== SPACE && code !== 10 && code !== 13 && code !== 9) throw this.#unexpected()
    this.#take(this.#at)
    this.#pieceStart = ++this.#at
  }

  /** Keeps what lies before `end` and is not kept yet. */
  #take(end: number): void {
    if (end > this.#pieceStart) this.#out.push(this.#text.slice(this.#pieceStart, end))
    this.#pieceStart = end
  }

  #token(code: number): void {
    const next = this.#next
    if (code === COMMA && next === COMMA_OR_END) {
      this.#next = this.#isObject.at(-1) === true ? NAME : VALUE
      this.#at++
    } else if (code === COLON && next === NAME_END) {
      this.#next = VALUE
      this.#at++
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) this.#close(code === CLOSE_BRACE)
    else if (code === QUOTE && (next === NAME || next === NAME_OR_END)) {
      this.#string()
      this.#next = NAME_END
    } else if (next === VALUE || next === VALUE_OR_END) this.#value(code)
    else throw this.#unexpected()
  }

  #value(code: number): void {
    if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      this.#isObject.push(code === OPEN_BRACE)
      this.#next = code === OPEN_BRACE ? NAME_OR_END : VALUE_OR_END
      this.#at++
      return
    }
    if (code === QUOTE) this.#string()
    else if (code === MINUS || (code >= ZERO && code <= NINE)) this.#number()
    else this.#word(code === 116 ? 'true' : code === 102 ? 'false' : 'null')
    this.#ended()
  }

  #close(isObject: boolean): void {
    const isPossible =
      this.#next === COMMA_OR_END || this.#next === (isObject ? NAME_OR_END : VALUE_OR_END)
    if (!isPossible || this.#isObject.at(-1) !== isObject) throw this.#unexpected()
    this.#isObject.pop()
    this.#at++
    this.#ended()
  }

  #ended(): void {
    this.#next = this.#isObject.length === 0 ? NOTHING : COMMA_OR_END
  }

  #word(word: string): void {
    if (!this.#text.startsWith(word, this.#at)) throw this.#unexpected()
    this.#at += word.length
  }

  #number(): void {
    const text = this.#text
    let at = this.#at
    if (text.charCodeAt(at) === MINUS) at++
    const first = at
    at = digitsEnd(text, at)
    let isNumber = at > first && (text.charCodeAt(first) !== ZERO || at === first + 1)
    if (text.charCodeAt(at) === POINT) {
      const fraction = ++at
      at = digitsEnd(text, at)
      isNumber &&= at > fraction
    }
    if ((text.charCodeAt(at) | LOWER) === E) {
      const sign = text.charCodeAt(++at)
      if (sign === MINUS || sign === PLUS) at++
      const exponent = at
      at = digitsEnd(text, at)
      isNumber &&= at > exponent
    }
    if (!isNumber) throw this.#unexpected()
    this.#at = at
  }

  #string(): void {
    const text = this.#text
    let at = this.#at + 1
    for (;;) {
      const code = text.charCodeAt(at)
      if (code === QUOTE) break
      // Past the end there is no code, which is not above either.
      if (!(code >= SPACE)) throw this.#unexpected()
      at += code === BACKSLASH ? this.#escape(at) : 1
    }
    this.#at = at + 1
  }

  /** Characters of the escape that begins at `at`. */
  #escape(at: number): number {
    const kind = this.#text[at + 1] ?? ''
    if (kind === 'u' && /^[0-9a-fA-F]{4}$/.test(this.#text.slice(at + 2, at + 6))) return 6
    if (kind !== '' && '"\\/bfnrt'.includes(kind)) return 2
    throw this.#unexpected()
  }

  #unexpected(): StateError {
    const { length } = this.#text
    const what =
      this.#at >= length ? 'the text ends too soon' : `unexpected at position ${this.#at}`
    return new StateError('invalid_json', `invalid JSON: ${what}`)
  }
}

function digitsEnd(text: string, start: number): number {
  let at = start
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code < ZERO || code > NINE) break
  }
  return at
}
