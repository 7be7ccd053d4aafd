/** Assertions without a test framework, so that the suite runs against a foreign server from a shell. */
import { isDeepStrictEqual } from 'node:util'

/** A server that answered otherwise than the wire format says. */
export class WireFailure extends Error {
  override readonly name = 'WireFailure'
}

/** Deep equality; objects by member, whatever their order. */
export function equal(actual: unknown, expected: unknown, what: string): void {
  if (isDeepStrictEqual(actual, expected)) return
  throw new WireFailure(`${what}: expected ${show(expected)}, got ${show(actual)}`)
}

/** The groups of the match. */
export function matches(text: string | undefined, shape: RegExp, what: string): string[] {
  const match = shape.exec(text ?? '')
  if (match === null) throw new WireFailure(`${what}: expected ${shape}, got ${show(text)}`)
  return match.slice(1).map((group) => group ?? '')
}

export function ensure(condition: boolean, what: string): void {
  if (!condition) throw new WireFailure(what)
}

/** Items of a comma-separated header, lower case. */
export function listOf(header: string | string[] | undefined): string[] {
  const text = Array.isArray(header) ? header.join(',') : (header ?? '')
  return text.split(',').flatMap((item) => item.trim().toLowerCase() || [])
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 300 ? `${text.slice(0, 300)}…` : text
}
