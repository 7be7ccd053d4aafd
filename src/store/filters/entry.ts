/** Entries as read filters see them, and back. What a filter hands on untouched keeps its text. */

import type { Entry } from '../../core/data/entry.ts'
import { indexOfKey } from '../../core/data/entry.ts'
import { errorText, StateError } from '../../core/errors.ts'
import { encodeJson } from '../../core/json/encode.ts'
import { parseExact } from '../../core/json/json.ts'
import { hasGlob, isValidKey } from '../../core/keys/key.ts'

/** An entry in the hands of a read filter. To change one, return a copy: `{ ...entry, data }`. */
export interface FilterEntry {
  /** Nanoseconds since the Unix epoch; 0n for a key that is absent. */
  readonly created: bigint
  /** Nanoseconds; 0n while the entry was only ever created. */
  readonly updated: bigint
  /** Last segment of the key; empty for a key that is absent. Derived from `path` in what is shown. */
  readonly index: string
  /** The key. A list tells entries apart by it. */
  readonly path: string
  /** Parsed at the first look; integers a double cannot hold are `bigint`. Frozen, with all in it. */
  readonly data: unknown
}

/** The entry each view was made of. */
const sources = new WeakMap<object, Entry>()
/** The text each parsed object or array was read from. */
const texts = new WeakMap<object, string>()

export function viewOf(entry: Entry): FilterEntry {
  let parsed: { readonly value: unknown } | undefined
  const view: FilterEntry = {
    created: entry.created,
    updated: entry.updated,
    index: indexOfKey(entry.key),
    path: entry.key,
    // An own getter, so that `{ ...entry }` copies its value.
    get data() {
      parsed ??= { value: parseFrozen(entry.data) }
      return parsed.value
    },
  }
  sources.set(view, entry)
  return view
}

/** What the filter of a key that is absent is given. */
export function emptyView(): FilterEntry {
  return { created: 0n, updated: 0n, index: '', path: '', data: Object.freeze({}) }
}

/**
 * The entry a filter meant. `key` names it when it is known; in lists its `path` does.
 * @throws StateError `filter_refused` for stamps that are not integers, data without a JSON form, or
 *   a path that is not a key. `asked` is the key or glob that was read.
 */
export function entryOf(view: FilterEntry, asked: string, key?: string): Entry {
  const source = sources.get(view)
  if (source !== undefined && (key === undefined || source.key === key)) return source
  try {
    const path = key ?? view.path
    if (!isValidKey(path) || hasGlob(path)) throw new Error(`path "${String(path)}" is not a key`)
    return {
      kind: 'entry',
      key: path,
      created: BigInt(view.created),
      updated: BigInt(view.updated),
      origin: source?.origin ?? '',
      data: textOf(view.data),
    }
  } catch (cause) {
    throw invalidResult(asked, cause)
  }
}

export function invalidResult(key: string, cause?: unknown): StateError {
  const text = `filters: invalid filter result error, key:${key}`
  return new StateError('filter_refused', text, cause === undefined ? {} : { cause })
}

/** What a filter threw, as a refusal; a StateError keeps its code. */
export function refusalOf(error: unknown): StateError {
  if (error instanceof StateError) return error
  return new StateError('filter_refused', errorText(error), { cause: error })
}

function textOf(data: unknown): string {
  const text = typeof data === 'object' && data !== null ? texts.get(data) : undefined
  return text ?? encodeJson(data)
}

/** Frozen, so that a change made in place fails at once and not by being ignored. */
function parseFrozen(text: string): unknown {
  const value = parseExact(text)
  freeze(value)
  if (typeof value === 'object' && value !== null) texts.set(value, text)
  return value
}

function freeze(value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  for (const member of Object.values(value)) freeze(member)
  Object.freeze(value)
}
