/** Cuts a JSON array that arrives in pieces into the texts of its elements, one at a time in memory. */
import { StateError } from '../../../src/core/errors.ts'

const QUOTE = 34
const BACKSLASH = 92
const COMMA = 44
const OPENING: ReadonlySet<number> = new Set([91, 123])
const CLOSING: ReadonlySet<number> = new Set([93, 125])

/**
 * The elements, in order. Elements are cut out, not checked. An empty body or `null` has none.
 * @throws StateError `invalid_json` when it is no array or ends early, `too_large` for an element of
 * more than `maxElementBytes` (counted in characters).
 */
export async function* splitArray(
  chunks: AsyncIterable<Uint8Array>,
  maxElementBytes: number,
): AsyncGenerator<string, undefined> {
  const splitter = new ArraySplitter(maxElementBytes)
  const decoder = new TextDecoder('utf-8', { fatal: true })
  for await (const chunk of chunks) yield* splitter.push(decoder.decode(chunk, { stream: true }))
  splitter.end()
  return undefined
}

class ArraySplitter {
  readonly #maxElementBytes: number
  #depth = 0
  #isString = false
  #isEscaped = false
  /** Pieces of the element that is not whole yet, or of what comes before the array. */
  #pieces: string[] = []
  #size = 0
  #isDone = false

  constructor(maxElementBytes: number) {
    this.#maxElementBytes = maxElementBytes
  }

  push(text: string): string[] {
    const found: string[] = []
    let start = 0
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (this.#isString) this.#inString(code)
      else if (code === QUOTE) this.#isString = true
      else if (OPENING.has(code)) {
        if (this.#depth++ === 0) start = this.#open(text, start, i)
      } else if (CLOSING.has(code)) {
        if (--this.#depth === 0) {
          this.#take(text.slice(start, i), found)
          this.#isDone = true
          start = i + 1
        }
      } else if (code === COMMA && this.#depth === 1) {
        this.#take(text.slice(start, i), found)
        start = i + 1
      }
    }
    this.#keep(text.slice(start))
    return found
  }

  end(): void {
    const rest = this.#pieces.join('').trim()
    if (this.#depth === 0 && (this.#isDone ? rest === '' : rest === '' || rest === 'null')) return
    throw new StateError('invalid_json', 'pivot: the list is not one whole JSON array')
  }

  #inString(code: number): void {
    if (this.#isEscaped) this.#isEscaped = false
    else if (code === BACKSLASH) this.#isEscaped = true
    else if (code === QUOTE) this.#isString = false
  }

  #open(text: string, start: number, at: number): number {
    const before = `${this.#pieces.join('')}${text.slice(start, at)}`
    this.#pieces = []
    this.#size = 0
    if (this.#isDone || before.trim() !== '' || text[at] !== '[') {
      throw new StateError('invalid_json', 'pivot: the list is not one JSON array')
    }
    return at + 1
  }

  #take(tail: string, found: string[]): void {
    this.#keep(tail)
    const element = this.#pieces.join('').trim()
    this.#pieces = []
    this.#size = 0
    if (element !== '') found.push(element)
  }

  #keep(piece: string): void {
    this.#size += piece.length
    if (this.#size > this.#maxElementBytes) {
      const limit = this.#maxElementBytes
      throw new StateError('too_large', `pivot: an element of more than ${limit} bytes`)
    }
    if (piece !== '') this.#pieces.push(piece)
  }
}
