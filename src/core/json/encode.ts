/** Values to JSON text without loss: `bigint` becomes integer digits. */

import { StateError } from '../errors.ts'
import { MAX_JSON_DEPTH } from './json.ts'
import { JsonNumber } from './number.ts'

/**
 * Compact JSON of a value. Like `JSON.stringify` (including `toJSON`, and leaving out members that
 * are undefined, functions or symbols), except that `bigint` and `JsonNumber` are written digit for
 * digit, and that what JSON cannot say is refused rather than turned into `null`.
 * @throws StateError `invalid_json` for NaN, infinities, a value that is nothing at all, or nesting
 * beyond MAX_JSON_DEPTH (a cycle, as a rule).
 */
export function encodeJson(value: unknown): string {
  const text = encode(value, '', 0)
  if (text === undefined) {
    throw new StateError('invalid_json', `a value of type ${typeof value} has no JSON form`)
  }
  return text
}

function encode(value: unknown, name: string, depth: number): string | undefined {
  if (depth > MAX_JSON_DEPTH) {
    throw new StateError('invalid_json', `the value is nested deeper than ${MAX_JSON_DEPTH}`)
  }
  switch (typeof value) {
    case 'bigint':
      return value.toString()
    case 'number':
      if (Number.isFinite(value)) return JSON.stringify(value)
      throw new StateError('invalid_json', `${value} has no JSON form`)
    case 'string':
    case 'boolean':
      return JSON.stringify(value)
    case 'object':
      return value === null ? 'null' : encodeObject(value, name, depth)
    default:
      return undefined
  }
}

function encodeObject(value: object, name: string, depth: number): string | undefined {
  if (value instanceof JsonNumber) return value.text
  if ('toJSON' in value && typeof value.toJSON === 'function') {
    return encode(value.toJSON(name), name, depth + 1)
  }
  if (value instanceof Number || value instanceof String || value instanceof Boolean) {
    return encode(value.valueOf(), name, depth)
  }
  if (Array.isArray(value)) {
    const items = value.map((item, i) => encode(item, String(i), depth + 1) ?? 'null')
    return `[${items.join(',')}]`
  }
  const members: string[] = []
  for (const [key, member] of Object.entries(value)) {
    const text = encode(member, key, depth + 1)
    if (text !== undefined) members.push(`${JSON.stringify(key)}:${text}`)
  }
  return `{${members.join(',')}}`
}
