/** JSON numbers that no JavaScript number reproduces, kept as they were spelled. */

import { StateError } from '../errors.ts'
import { compactJson, type JsonNode, parseNodes } from './json.ts'

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/

/** A number by its spelling, e.g. `1.10` or `1e400`. Encoded digit for digit. */
export class JsonNumber {
  readonly text: string

  /** @throws StateError `invalid_json` when `text` is not a JSON number. */
  constructor(text: string) {
    if (!NUMBER.test(text)) {
      throw new StateError('invalid_json', `${JSON.stringify(text)} is not a JSON number`)
    }
    this.text = text
  }

  toString(): string {
    return this.text
  }

  /** The nearest double. */
  valueOf(): number {
    return Number(this.text)
  }
}

/**
 * Like `parseExact`, and every number whose spelling JavaScript would change becomes a
 * `JsonNumber`, so that encoding the value again gives the same digits.
 * @throws StateError `invalid_json`.
 */
export function parseWithJsonNumbers(text: string): unknown {
  return valueOfNode(parseNodes(compactJson(text)))
}

function valueOfNode(node: JsonNode): unknown {
  if (node.kind === 'array') return node.items.map(valueOfNode)
  if (node.kind === 'object') {
    const object: Record<string, unknown> = {}
    for (const [name, member] of node.members) {
      // Plain assignment to `__proto__` would set the prototype.
      Object.defineProperty(object, name, {
        value: valueOfNode(member),
        writable: true,
        enumerable: true,
        configurable: true,
      })
    }
    return object
  }
  const first = node.raw.charCodeAt(0)
  const isNumber = first === 45 || (first >= 48 && first <= 57)
  if (!isNumber) return JSON.parse(node.raw)
  const number = Number(node.raw)
  const isInteger = /^-?[1-9]\d*$/.test(node.raw)
  if (isInteger && !Number.isSafeInteger(number)) return BigInt(node.raw)
  return String(number) === node.raw ? number : new JsonNumber(node.raw)
}
