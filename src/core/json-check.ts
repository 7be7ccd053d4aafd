/**
 * Checks that a text is one JSON value (RFC 8259) within bounds, and takes the white space out of it. It
 * makes nothing of the value, so it needs little memory beside the text, and it can stop on the way.
 */
import { StateError } from './errors.ts'
import { BoundsCount, closingQuote, type JsonBounds } from './json-bounds.ts'
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

const NUMBER_END = /[^0-9+\-.eE]/g
const NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/
/** A control character. */
const CONTROL = /[^ -\uffff]/
const BAD_ESCAPE = /\\(?!["\\/bfnrt]|u[0-9a-fA-F]{4})/

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
    else if (code === 45 || (code >= 48 && code <= 57)) this.#number()
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
    NUMBER_END.lastIndex = this.#at
    const end = NUMBER_END.exec(this.#text)?.index ?? this.#text.length
    if (!NUMBER.test(this.#text.slice(this.#at, end))) throw this.#unexpected()
    this.#at = end
  }

  #string(): void {
    const quote = closingQuote(this.#text, this.#at)
    const content = this.#text.slice(this.#at + 1, quote)
    if (quote === -1 || CONTROL.test(content) || BAD_ESCAPE.test(withoutPairs(content))) {
      throw this.#unexpected()
    }
    this.#at = quote + 1
  }

  #unexpected(): StateError {
    const { length } = this.#text
    const what =
      this.#at >= length ? 'the text ends too soon' : `unexpected at position ${this.#at}`
    return new StateError('invalid_json', `invalid JSON: ${what}`)
  }
}

/** A backslash that is itself escaped begins no escape. */
function withoutPairs(content: string): string {
  return content.includes('\\\\') ? content.replaceAll('\\\\', '__') : content
}
