/**
 * JSON without loss. User data is kept as text; where its structure matters (diff, merge, decode)
 * it is read into nodes that remember their exact source text, so no number passes through a
 * double and no string is re-spelled. RFC 8259.
 */
import { errorText, isStateError, StateError } from '../errors.ts'
import { type JsonBounds, READABLE_JSON } from './bounds.ts'
import { JsonCheck } from './check.ts'
import { JsonText, membersByName } from './text.ts'

export { MAX_JSON_DEPTH } from './bounds.ts'

/** A value that remembers its source text (`raw`, compact). What is below it is read when asked for. */
export type JsonNode =
  | { readonly kind: 'object'; readonly raw: string; readonly members: Map<string, JsonNode> }
  | { readonly kind: 'array'; readonly raw: string; readonly items: JsonNode[] }
  | { readonly kind: 'scalar'; readonly raw: string }

/** Up to so many characters a refusal is in the words of the engine's own parser. */
const MAX_EXPLAINED = 65_536

/**
 * Checks that `text` is one JSON value and removes white space between tokens; everything else
 * stays as it was spelled. Nothing is made of the value: it costs little memory.
 * @throws StateError `invalid_json` naming what is wrong, or that nesting passes the bound; `too_large`
 *   when it has too many members.
 */
export function compactJson(text: string, bounds: JsonBounds = READABLE_JSON): string {
  const check = new JsonCheck(text, bounds)
  try {
    check.advance()
  } catch (error) {
    throw explained(text, error)
  }
  return check.compact
}

/** The same in steps of about `sliceCharacters`, with `pause` awaited between them. */
export async function compactJsonInSlices(
  text: string,
  bounds: JsonBounds,
  sliceCharacters: number,
  pause: () => Promise<void>,
): Promise<string> {
  const check = new JsonCheck(text, bounds)
  try {
    while (!check.advance(sliceCharacters)) await pause()
  } catch (error) {
    throw explained(text, error)
  }
  return check.compact
}

function explained(text: string, error: unknown): unknown {
  if (!isStateError(error, 'invalid_json') || text.length > MAX_EXPLAINED) return error
  try {
    JSON.parse(text)
  } catch (cause) {
    return new StateError('invalid_json', `invalid JSON: ${errorText(cause)}`, { cause })
  }
  return error
}

/** Reads compact, valid JSON (as `compactJson` returns it) into nodes. */
export function parseNodes(compact: string): JsonNode {
  return nodeAt(new JsonText(compact), 0, compact.length)
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

function nodeAt(source: JsonText, start: number, end: number): JsonNode {
  const kind = source.kind(start)
  if (kind === 'object') return new ObjectNode(source, start, end)
  if (kind === 'array') return new ArrayNode(source, start, end)
  return { kind, raw: source.text.slice(start, end) }
}

class SourceNode {
  protected readonly source: JsonText
  protected readonly start: number
  readonly #end: number

  constructor(source: JsonText, start: number, end: number) {
    this.source = source
    this.start = start
    this.#end = end
  }

  get raw(): string {
    return this.source.text.slice(this.start, this.#end)
  }
}

class ObjectNode extends SourceNode {
  readonly kind = 'object'
  #members: Map<string, JsonNode> | undefined

  get members(): Map<string, JsonNode> {
    this.#members ??= this.#read()
    return this.#members
  }

  #read(): Map<string, JsonNode> {
    const { source } = this
    const members = new Map<string, JsonNode>()
    for (const [name, [start, end]] of membersByName(source, source.members(this.start))) {
      members.set(name, nodeAt(source, start, end))
    }
    return members
  }
}

class ArrayNode extends SourceNode {
  readonly kind = 'array'
  #items: JsonNode[] | undefined

  get items(): JsonNode[] {
    if (this.#items === undefined) {
      const { source } = this
      const starts = source.items(this.start)
      const items: JsonNode[] = []
      for (let i = 0; i + 1 < starts.length; i++) {
        items.push(nodeAt(source, starts[i] as number, (starts[i + 1] as number) - 1))
      }
      this.#items = items
    }
    return this.#items
  }
}
