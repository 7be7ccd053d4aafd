/** JSON with the members of every object in order of their names, by code point, and each name once. */

import type { Steps } from '../steps.ts'
import type { JsonText, Positions } from './text.ts'
import { TextBuilder } from './text-builder.ts'

/** The value between two positions, sorted. Numbers and strings keep their spelling. */
export function sortedJson(source: JsonText, start: number, end: number): string {
  return sortedUnlessSame(source, start, end) ?? source.text.slice(start, end)
}

/** What `sortedJson` gives; undefined when that is the text as it is. */
export function sortedUnlessSame(source: JsonText, start: number, end: number): string | undefined {
  if (end - start <= 2) return undefined
  const kind = source.kind(start)
  if (kind === 'scalar') return undefined
  return kind === 'array' ? sortedItems(source, start, end) : sortedMembers(source, start)
}

/**
 * An array with some items replaced, from `[` to `]`, in steps.
 * @param replaced gives the text of an item that is not to stay as it is; positions are those of the source
 * @returns undefined when all stay
 */
export function* replacingItems(
  source: JsonText,
  start: number,
  end: number,
  replaced: (index: number, start: number, end: number) => string | undefined | Steps<string>,
): Steps<string | undefined> {
  const starts = source.items(start)
  const spliced = new Spliced(source.text, start, end)
  for (let i = 0; i + 1 < starts.length; i++) {
    const from = starts[i] as number
    const to = (starts[i + 1] as number) - 1
    yield
    const text = replaced(i, from, to)
    spliced.replace(from, to, typeof text === 'object' ? yield* text : text)
  }
  return spliced.text
}

/** A part of a text in which some pieces are replaced, from the first to the last. */
class Spliced {
  readonly #source: string
  readonly #start: number
  readonly #end: number
  readonly #out = new TextBuilder()
  #kept: number

  constructor(source: string, start: number, end: number) {
    this.#source = source
    this.#start = start
    this.#end = end
    this.#kept = start
  }

  /** @param text undefined: the piece stays */
  replace(from: number, to: number, text: string | undefined): void {
    if (text === undefined) return
    this.#out.push(this.#source.slice(this.#kept, from))
    this.#out.push(text)
    this.#kept = to
  }

  /** The part from its start to its end; undefined when all pieces stayed. To be asked for once. */
  get text(): string | undefined {
    if (this.#kept === this.#start) return undefined
    this.#out.push(this.#source.slice(this.#kept, this.#end))
    return this.#out.text
  }
}

/** An object of members that are JSON text already, in steps. */
export function* joiningMembers(members: ReadonlyMap<string, string>): Steps<string> {
  const out = new TextBuilder()
  let before = '{'
  for (const name of [...members.keys()].sort(byCodePoint)) {
    out.push(`${before}${JSON.stringify(name)}:`)
    out.push(members.get(name) ?? '')
    before = ','
    yield
  }
  out.push(members.size === 0 ? '{}' : '}')
  return out.text
}

function sortedItems(source: JsonText, start: number, end: number): string | undefined {
  const starts = source.items(start)
  const spliced = new Spliced(source.text, start, end)
  for (let i = 0; i + 1 < starts.length; i++) {
    const from = starts[i] as number
    const to = (starts[i + 1] as number) - 1
    spliced.replace(from, to, sortedUnlessSame(source, from, to))
  }
  return spliced.text
}

function sortedMembers(source: JsonText, start: number): string | undefined {
  const starts = source.members(start)
  const names: string[] = []
  let changed: Map<number, string> | undefined
  let isSorted = true
  for (let i = 0; i + 2 < starts.length; i += 2) {
    const value = starts[i + 1] as number
    const text = sortedUnlessSame(source, value, (starts[i + 2] as number) - 1)
    if (text !== undefined) {
      changed ??= new Map()
      changed.set(i, text)
    }
    const name = source.name(starts[i] as number, value - 1)
    // A name that is not spelled as it would be written has backslashes, and so more characters.
    isSorted &&= name.length === value - (starts[i] as number) - 3
    isSorted &&= names.length === 0 || byCodePoint(names[names.length - 1] as string, name) < 0
    names.push(name)
  }
  if (isSorted && changed === undefined) return undefined
  return inOrder(source, starts, names, changed)
}

/** @param changed texts in place of those of the source, by position in `starts` */
function inOrder(
  source: JsonText,
  starts: Positions,
  names: readonly string[],
  changed: ReadonlyMap<number, string> | undefined,
): string {
  const order = names.map((_name, i) => i)
  order.sort((a, b) => byCodePoint(names[a] as string, names[b] as string))
  const out = new TextBuilder()
  let before = '{'
  for (let rank = 0; rank < order.length; rank++) {
    const i = order[rank] as number
    // Of members of one name the last counts.
    if (names[order[rank + 1] ?? -1] === names[i]) continue
    const value = starts[2 * i + 1] as number
    const text = changed?.get(2 * i) ?? source.text.slice(value, (starts[2 * i + 2] as number) - 1)
    out.push(`${before}${JSON.stringify(names[i])}:${text}`)
    before = ','
  }
  out.push('}')
  return out.text
}

/** UTF-8 byte order, which UTF-16 order is not where surrogate pairs meet U+E000–U+FFFF. */
function byCodePoint(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x === y) continue
    const bothHigh = x >= 0xd800 && y >= 0xd800
    return bothHigh && isSurrogate(x) !== isSurrogate(y) ? (isSurrogate(x) ? 1 : -1) : x - y
  }
  return a.length - b.length
}

function isSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdfff
}
