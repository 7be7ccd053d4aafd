/**
 * Everything that requests, endpoints and in-process calls do with data, in one order: the key is
 * checked, static mode is asked, filters run, the store decides, and after a write its after-write
 * filter runs before the answer is given. Deletes run no after-write filter.
 */
import type { Entry } from '../../core/data/entry.ts'
import { StateError } from '../../core/errors.ts'
import { assertKey, hasGlob, isGlob } from '../../core/keys/key.ts'
import type { ListPace } from '../../store/types/list-pace.ts'
import type { BatchResult, DeleteResult, WriteResult } from '../../store/planning/operations.ts'
import { assertRange, cut, definedRange } from '../../store/types/ranges.ts'
import { type AccessOperation, applyBatch } from './access-batch.ts'
import {
  type AccessOptions,
  type AccessParts,
  afterWrite,
  assertMergePath,
  assertReadable,
  assertUnconditional,
  assertWritePath,
  filterWrite,
  globNotAllowed,
  globRequired,
  guardMerge,
  prepareDelete,
} from './access-checks.ts'
import { filteredMerge, untilAnswered } from './filtered-merge.ts'

export type { Precondition } from '../../core/data/precondition.ts'
export type { AccessOperation } from './access-batch.ts'
export type { AccessOptions, AccessParts } from './access-checks.ts'

export interface ListAccessOptions extends AccessOptions {
  /** `newest` (default): greatest `created` first; `oldest`: the reverse. A filter may re-order. */
  readonly order?: 'newest' | 'oldest' | undefined
  /** At most this many entries. Default: all. Without a filter the cost follows the limit. */
  readonly limit?: number | undefined
  /** Only entries with `created` from here on, nanoseconds. Default: from the first. */
  readonly from?: bigint | undefined
  /** Only entries with `created` up to and including this, nanoseconds. Default: to the last. */
  readonly to?: bigint | undefined
  /** How many entries are read. Default: at once. */
  readonly pace?: ListPace | undefined
}

/** One state of a key, as stored and as its read filter shows it; the same object when unchanged. */
export interface EntryView {
  readonly stored: Entry | undefined
  readonly shown: Entry | undefined
}

/** @throws StateError everywhere: of the key, static mode, a filter, the condition or the storage. */
export interface DataAccess {
  /** The entry as the read filter shows it; undefined when there is nothing to show. */
  get(key: string, options: AccessOptions): Promise<Entry | undefined>
  /** As `get`, with the stored entry that was shown, whose version a later write may name. */
  view(key: string, options: AccessOptions): Promise<EntryView>
  /** The entries as the read filter shows them; the list is the caller's to change. */
  list(glob: string, options: ListAccessOptions): Promise<Entry[]>
  /** Writes compact JSON text under a plain key. */
  set(key: string, json: string, options: AccessOptions): Promise<WriteResult>
  /** Writes under a new key made from a glob; takes no precondition. */
  push(glob: string, json: string, options: AccessOptions): Promise<WriteResult>
  /** Merges deeply into what is there; the write filter sees the merged value. */
  patch(key: string, json: string, options: AccessOptions): Promise<WriteResult>
  /** Deletes a key, or all that match a glob (which takes no precondition). */
  delete(keyOrGlob: string, options: AccessOptions): Promise<DeleteResult>
  /** All of the operations in order, or none; errors name the operation by its position from 0. */
  batch(operations: readonly AccessOperation[], options: AccessOptions): Promise<BatchResult[]>
}

export function createDataAccess(parts: AccessParts): DataAccess {
  return {
    get: async (key, options) => (await view(parts, key, options)).shown,
    view: (key, options) => view(parts, key, options),
    list: (glob, options) => list(parts, glob, options),
    set: (key, json, options) => set(parts, key, json, options),
    push: (glob, json, options) => push(parts, glob, json, options),
    patch: (key, json, options) => patch(parts, key, json, options),
    delete: (keyOrGlob, options) => remove(parts, keyOrGlob, options),
    batch: (operations, options) => applyBatch(parts, operations, options),
  }
}

async function view(parts: AccessParts, key: string, options: AccessOptions): Promise<EntryView> {
  assertKey(key)
  if (hasGlob(key)) throw globNotAllowed()
  if (parts.isStatic && options.enforceStatic) assertReadable(parts.filters, key)
  await parts.beforeRead?.(key)
  const stored = await parts.store.get(key)
  return { stored, shown: parts.filters.applyReadObject(key, stored) }
}

async function list(
  parts: AccessParts,
  glob: string,
  options: ListAccessOptions,
): Promise<Entry[]> {
  const { store, filters } = parts
  assertKey(glob)
  if (!hasGlob(glob)) throw globRequired()
  assertRange(options)
  if (parts.isStatic && options.enforceStatic) assertReadable(filters, glob)
  await parts.beforeRead?.(glob)
  const { order = 'newest', pace } = options
  if (!filters.isFiltered(glob)) return store.list(glob, definedRange({ ...options, order }), pace)
  // What a filter hides does not count, and a filter sees the list whole.
  const shown = filters.applyReadList(glob, await store.list(glob, { order }, pace))
  return cut(shown, options).slice()
}

async function set(
  parts: AccessParts,
  key: string,
  json: string,
  options: AccessOptions,
): Promise<WriteResult> {
  assertWritePath(key)
  if (hasGlob(key)) throw globNotAllowed()
  const filtered = await filterWrite(parts, key, json, options)
  const written = await parts.store.set(key, filtered, options)
  await afterWrite(parts, key)
  return written
}

async function push(
  parts: AccessParts,
  glob: string,
  json: string,
  options: AccessOptions,
): Promise<WriteResult> {
  assertWritePath(glob)
  if (!isGlob(glob)) throw globRequired()
  assertUnconditional(glob, options.precondition)
  const filtered = await filterWrite(parts, glob, json, options)
  const written = await parts.store.push(glob, filtered, options)
  await afterWrite(parts, glob)
  return written
}

async function patch(
  parts: AccessParts,
  key: string,
  json: string,
  options: AccessOptions,
): Promise<WriteResult> {
  assertMergePath(key)
  if (hasGlob(key)) throw new StateError('not_found', 'ooo: not found')
  const guarded = guardMerge(parts, key, json, options)
  if (guarded !== undefined) await guarded
  const filter = (merged: string): string | Promise<string> => {
    return filterWrite(parts, key, merged, options)
  }
  const claim = parts.merges.claim()
  const change = filteredMerge(json, parts.jsonBounds, filter, claim)
  const held = { ...options, changeBytes: Buffer.byteLength(json) }
  const written = await untilAnswered(claim, () => parts.store.update(key, change, held))
  await afterWrite(parts, key)
  return written
}

async function remove(
  parts: AccessParts,
  keyOrGlob: string,
  options: AccessOptions,
): Promise<DeleteResult> {
  await prepareDelete(parts, keyOrGlob, options)
  return parts.store.delete(keyOrGlob, options)
}
