/**
 * JSON without loss. User data is kept as text; where its structure matters (diff, merge, decode)
 * it is read into nodes that remember their exact source text, so no number passes through a
 * double and no string is re-spelled. RFC 8259.
 */
import { errorText, StateError } from './errors.ts'

/** Deepest nesting of arrays and objects that is accepted. */
export const MAX_JSON_DEPTH = 1000

/** A parsed value that remembers its source text (`raw`, compact). */
export type JsonNode =
  | { readonly kind: 'object'; readonly raw: string; readonly members: Map<string, JsonNode> }
  | { readonly kind: 'array'; readonly raw: string; readonly items: JsonNode[] }
  | { readonly kind: 'scalar'; readonly raw: string }

const QUOTE = 34
const BACKSLASH = 92
const OPEN_BRACE = 123
const CLOSE_BRACE = 125
const OPEN_BRACKET = 91
const CLOSE_BRACKET = 93
const COMMA = 44

/**
 * Checks that `text` is one JSON value and removes white space between tokens; everything else
 * stays as it was spelled.
 * @throws StateError `invalid_json` naming what is wrong, or that nesting passes MAX_JSON_DEPTH.
 */
export function compactJson(text: string): string {
  try {
    JSON.parse(text)
  } catch (cause) {
    throw new StateError('invalid_json', `invalid JSON: ${errorText(cause)}`, { cause })
  }
  const pieces: string[] = []
  let pieceStart = 0
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === QUOTE) {
      i = stringEnd(text, i) - 1
    } else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      if (++depth > MAX_JSON_DEPTH) {
        throw new StateError('invalid_json', `invalid JSON: nested deeper than ${MAX_JSON_DEPTH}`)
      }
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      depth--
    } else if (code <= 32) {
      if (i > pieceStart) pieces.push(text.slice(pieceStart, i))
      pieceStart = i + 1
    }
  }
  if (pieces.length === 0 && pieceStart === 0) return text
  pieces.push(text.slice(pieceStart))
  return pieces.join('')
}

/** Reads compact, valid JSON (as `compactJson` returns it) into nodes. */
export function parseNodes(compact: string): JsonNode {
  return new NodeReader(compact).value()
}

/**
 * Like `JSON.parse`, but an integer that a double cannot hold exactly becomes a `bigint`.
 * @throws StateError `invalid_json`.
 */
export function parseExact(text: string): unknown {
  // Only a run of 16 digits can be an unsafe integer; without one the native parser is exact.
  if (!/\d{16}/.test(text)) {
    try {
      return JSON.parse(text)
    } catch (cause) {
      throw new StateError('invalid_json', `invalid JSON: ${errorText(cause)}`, { cause })
    }
  }
  return nodeValue(parseNodes(compactJson(text)))
}

/** The JavaScript value of a node; unsafe integers become `bigint`. */
export function nodeValue(node: JsonNode): unknown {
  if (node.kind === 'array') return node.items.map(nodeValue)
  if (node.kind === 'object') {
    const object: Record<string, unknown> = {}
    for (const [name, member] of node.members) {
      // defineProperty, because plain assignment to `__proto__` would set the prototype.
      Object.defineProperty(object, name, {
        value: nodeValue(member),
        writable: true,
        enumerable: true,
        configurable: true,
      })
    }
    return object
  }
  if (/^-?\d{16,}$/.test(node.raw)) {
    const number = Number(node.raw)
    return Number.isSafeInteger(number) ? number : BigInt(node.raw)
  }
  return JSON.parse(node.raw)
}

/** Whether two nodes hold the same JSON value, numbers and strings compared by their spelling. */
export function sameNode(a: JsonNode, b: JsonNode): boolean {
  if (a.raw === b.raw) return true
  if (a.kind === 'array' && b.kind === 'array') {
    return (
      a.items.length === b.items.length &&
      a.items.every((item, i) => {
        const other = b.items[i]
        return other !== undefined && sameNode(item, other)
      })
    )
  }
  if (a.kind !== 'object' || b.kind !== 'object' || a.members.size !== b.members.size) return false
  for (const [name, member] of a.members) {
    const other = b.members.get(name)
    if (other === undefined || !sameNode(member, other)) return false
  }
  return true
}

/** Position just after the string literal that opens at `start`. */
function stringEnd(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); ; quote = text.indexOf('"', quote + 1)) {
    let backslashes = 0
    while (text.charCodeAt(quote - 1 - backslashes) === BACKSLASH) backslashes++
    if (backslashes % 2 === 0) return quote + 1
  }
}

class NodeReader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  value(): JsonNode {
    const code = this.#text.charCodeAt(this.#at)
    if (code === OPEN_BRACE) return this.#object()
    if (code === OPEN_BRACKET) return this.#array()
    return { kind: 'scalar', raw: code === QUOTE ? this.#string() : this.#literal() }
  }

  #object(): JsonNode {
    const start = this.#at++
    const members = new Map<string, JsonNode>()
    while (this.#text.charCodeAt(this.#at) !== CLOSE_BRACE) {
      if (members.size > 0 && this.#text.charCodeAt(this.#at) === COMMA) this.#at++
      const literal = this.#string()
      const name = literal.includes('\\') ? (JSON.parse(literal) as string) : literal.slice(1, -1)
      this.#at++
      members.set(name, this.value())
    }
    this.#at++
    return { kind: 'object', raw: this.#text.slice(start, this.#at), members }
  }

  #array(): JsonNode {
    const start = this.#at++
    const items: JsonNode[] = []
    while (this.#text.charCodeAt(this.#at) !== CLOSE_BRACKET) {
      if (items.length > 0) this.#at++
      items.push(this.value())
    }
    this.#at++
    return { kind: 'array', raw: this.#text.slice(start, this.#at), items }
  }

  #string(): string {
    const start = this.#at
    this.#at = stringEnd(this.#text, start)
    return this.#text.slice(start, this.#at)
  }

  #literal(): string {
    const start = this.#at
    while (this.#at < this.#text.length && !isDelimiter(this.#text.charCodeAt(this.#at))) this.#at++
    return this.#text.slice(start, this.#at)
  }
}

function isDelimiter(code: number): boolean {
  return code === COMMA || code === CLOSE_BRACE || code === CLOSE_BRACKET
}
