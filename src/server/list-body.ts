/**
 * The body of a list's answer. A long one is built in pieces that lie outside the heap, so that a list
 * which fits into memory can be answered too, with little of the heap left.
 */
import { type Entry, metaListJson } from '../core/entry.ts'

/** Entries in one piece. */
const PIECE = 1000

/** The JSON of the entries in their order; UTF-8 when it is long. */
export function listBody(entries: readonly Entry[]): string | Uint8Array {
  if (entries.length <= PIECE) return metaListJson(entries)
  const pieces: Buffer[] = []
  for (let i = 0; i < entries.length; i += PIECE) {
    const json = metaListJson(entries.slice(i, i + PIECE))
    pieces.push(Buffer.from(`${i === 0 ? '[' : ','}${json.slice(1, -1)}`))
  }
  pieces.push(Buffer.from(']'))
  return Buffer.concat(pieces)
}
