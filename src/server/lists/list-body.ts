/** The body of a list's answer: one text, or pieces that are made as the reader takes them. */
import { type Entry, metaListJson } from '../../core/data/entry.ts'
import { LongList, PIECE_CHARACTERS } from '../../fanout/frames/long-list.ts'

/** Entries, and characters of data, of a list that is one text. */
const MAX_SHORT = 1000
const MAX_SHORT_CHARACTERS = 262_144
/** Bytes of the list itself for each of its entries, and of the pieces that are under way with their buffers. */
const BYTES_PER_ENTRY = 8
const PIECES_BYTES = 4 * PIECE_CHARACTERS

/** The JSON of the entries in their order; to be sent in pieces when it is long. The entries are taken over then. */
export function listBody(entries: Entry[]): string | LongList {
  if (entries.length > MAX_SHORT) return new LongList(entries)
  let characters = 0
  for (const { data } of entries) characters += data.length
  return characters > MAX_SHORT_CHARACTERS ? new LongList(entries) : metaListJson(entries)
}

/** What a long list of so many entries holds while it is sent. */
export function bytesWhileSent(entries: number): number {
  return PIECES_BYTES + entries * BYTES_PER_ENTRY
}
