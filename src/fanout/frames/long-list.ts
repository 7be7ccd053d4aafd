/** The JSON of a long list, made piece by piece, so that it never lies in memory beside the values it is made of. */
import { type Entry, indexOfKey } from '../../core/data/entry.ts'
import type { Steps } from '../../core/steps.ts'

/** Characters of one piece, about. */
export const PIECE_CHARACTERS = 65_536

/** A list that was read, of which what has been sent is let go. */
export class LongList {
  readonly #entries: (Entry | undefined)[]
  #next = 0
  /** Characters of the entry under way that are in earlier pieces; undefined before its first. */
  #sent: number | undefined

  /** @param entries are taken over: what was sent is put out of it */
  constructor(entries: Entry[]) {
    this.#entries = entries
  }

  get size(): number {
    return this.#entries.length
  }

  /** The entry that is sent next, or in part already; undefined at the end. */
  get current(): Entry | undefined {
    return this.#entries[this.#next]
  }

  /** Bytes of the whole body. To be asked before the first piece. */
  *measuring(): Steps<number> {
    let bytes = '[]'.length + Math.max(0, this.#entries.length - 1)
    for (const entry of this.#entries) {
      yield
      if (entry === undefined) continue
      bytes += headOf(entry).length + Buffer.byteLength(entry.data) + 1
    }
    return bytes
  }

  /** The next piece, UTF-8; undefined when there is none. */
  piece(): Buffer | undefined {
    const entries = this.#entries
    if (this.#next > entries.length) return undefined
    let text = this.#next === 0 && this.#sent === undefined ? '[' : ''
    while (text.length < PIECE_CHARACTERS) {
      const entry = entries[this.#next]
      if (entry === undefined) {
        this.#next = entries.length + 1
        return Buffer.from(`${text}]`)
      }
      if (this.#sent === undefined) text += `${this.#next === 0 ? '' : ','}${headOf(entry)}`
      const from = this.#sent ?? 0
      const to = endOfPart(entry.data, from, PIECE_CHARACTERS - text.length)
      text += entry.data.slice(from, to)
      this.#sent = to
      if (to < entry.data.length) break
      text += '}'
      entries[this.#next++] = undefined
      this.#sent = undefined
    }
    return Buffer.from(text)
  }
}

/** `metaJson` of an entry up to its data. */
function headOf({ key, created, updated }: Entry): string {
  return `{"created":${created},"updated":${updated},"index":"${indexOfKey(key)}","path":"${key}","data":`
}

/** Where a part of the text ends that begins at `from`: never between the halves of a character. */
function endOfPart(text: string, from: number, length: number): number {
  const end = from + Math.max(length, 2)
  if (end >= text.length) return text.length
  const code = text.charCodeAt(end - 1)
  return code >= 0xd800 && code <= 0xdbff ? end - 1 : end
}
