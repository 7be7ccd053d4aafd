/** Reads, in one order: validate, permit, hooks that run before a read, the store, then the read filter. */
import type { Entry } from '../../core/data/entry.ts'
import { assertRange, cut, definedRange } from '../../store/types/ranges.ts'
import { permitRead } from './permit.ts'
import type { DataParts, ListRequest, ReadRequest } from './request.ts'
import { assertGlob, assertPlainKey } from './validate.ts'

/** One state of a key, as stored and as its read filter shows it; the same object when unchanged. */
export interface EntryView {
  /** Its version is what a later write may name. */
  readonly stored: Entry | undefined
  /** undefined when there is nothing to show. */
  readonly shown: Entry | undefined
}

/** The entry of a plain key. @throws StateError of the key, static mode, a hook, a filter or the storage. */
export async function readEntry(
  parts: DataParts,
  { key, caller }: ReadRequest,
): Promise<EntryView> {
  assertPlainKey(key)
  permitRead(parts, key, caller)
  await parts.beforeRead?.(key)
  const stored = await parts.store.get(key)
  return { stored, shown: parts.filters.applyReadObject(key, stored) }
}

/**
 * The entries of a glob as the read filter shows them; the list is the caller's to change.
 * @throws StateError as `readEntry`, and of the range.
 */
export async function readList(parts: DataParts, request: ListRequest): Promise<Entry[]> {
  const { store, filters } = parts
  const { key: glob, caller, order = 'newest', limit, from, to, pace } = request
  assertGlob(glob)
  assertRange(request)
  permitRead(parts, glob, caller)
  await parts.beforeRead?.(glob)
  if (!filters.isFiltered(glob)) {
    return store.list(glob, definedRange({ order, limit, from, to }), pace)
  }
  // What a filter hides does not count, and a filter sees the list whole.
  const shown = filters.applyReadList(glob, await store.list(glob, { order }, pace))
  return cut(shown, request).slice()
}
