/** From a read-list filter as its author writes it to one over entries. */
import type { Entry } from '../../core/data/entry.ts'
import { entryOf, type FilterEntry, invalidResult, viewOf } from './entry.ts'

/** Entries that come back as they went in stay the same objects; a missing result is an empty list. */
export function readListOf(
  run: (key: string, entries: readonly FilterEntry[]) => readonly FilterEntry[] | undefined,
): (key: string, entries: readonly Entry[]) => readonly Entry[] {
  return (key, entries) => {
    const result = run(key, entries.map(viewOf)) ?? []
    if (!Array.isArray(result)) throw invalidResult(key)
    const shown = result.map((view: FilterEntry) => entryOf(view, key))
    // Two entries of one path could not be told apart in a patch.
    if (new Set(shown.map((entry) => entry.key)).size !== shown.length) throw invalidResult(key)
    return shown
  }
}
