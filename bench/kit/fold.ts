/**
 * Folding what a subscriber was sent into the state it must hold, by an RFC 6902 implementation that
 * the server does not use, and comparing it with what the server answers.
 */
import { isDeepStrictEqual } from 'node:util'
import jsonPatch from 'fast-json-patch'

interface Envelope {
  readonly snapshot: boolean
  readonly data: unknown
}

/** The state after one frame of the `ooo` wire. The state before it is changed. */
export function foldEnvelope(state: unknown, text: string): unknown {
  const { snapshot, data } = parseExactly(text) as Envelope
  if (snapshot) return data
  return jsonPatch.applyPatch(state, data as jsonPatch.Operation[]).newDocument
}

/** JSON with integers of more than 15 digits, which stamps are, as text: a double would round them. */
export function parseExactly(text: string): unknown {
  return JSON.parse(text.replace(/([:[,])(\d{16,})(?=[,\]}])/g, '$1"$2"'))
}

/** Whether two states are the same; entries of lists in any order, which is for display only. */
export function sameState(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(sorted(a), sorted(b))
}

function sorted(state: unknown): unknown {
  if (!Array.isArray(state)) return state
  const pathOf = (entry: unknown): string => (entry as { path?: string }).path ?? ''
  return [...state].sort((a, b) => (pathOf(a) < pathOf(b) ? -1 : 1))
}

/** The greatest number that a write in this frame carries; -1 when there is none. */
export function greatestNumber(text: string): number {
  let greatest = -1
  for (const match of text.matchAll(/"(?:n":|[^"]*\/data\/n","value":)(\d+)/g)) {
    greatest = Math.max(greatest, Number(match[1]))
  }
  return greatest
}
