/** What stands before data: keys that can be used so, static mode, filters, conditions. */
import type { Entry } from '../../core/data/entry.ts'
import { errorText, StateError } from '../../core/errors.ts'
import type { JsonBounds } from '../../core/json/bounds.ts'
import { assertKey, assertWritableGlob, hasGlob, isGlob } from '../../core/keys/key.ts'
import type { Logger } from '../../core/ports/logger.ts'
import type { Precondition } from '../../core/data/precondition.ts'
import type { Durability } from '../../core/ports/storage-adapter.ts'
import type { FilterOperation } from '../../store/filters/filters.ts'
import type { DataStore } from '../../store/locking-store.ts'
import type { MergeRoom } from '../turns/merge-room.ts'

export interface AccessOptions {
  /** Whether static mode and guards count: for what comes from outside. In-process calls pass false. */
  readonly enforceStatic: boolean
  /** For writes of a plain key: what must hold of it, decided with the write. */
  readonly precondition?: Precondition | undefined
  /** For writes: the token of the lock of the key, where the caller holds it. */
  readonly lock?: string | undefined
  /** For writes: when they count as done. Default: the node's own. */
  readonly durability?: Durability | undefined
}

/** The part of `Filters` that data passes through. */
export interface DataFilters {
  permits(operation: FilterOperation, key: string): boolean
  applyWrite(key: string, json: string): string | Promise<string>
  applyDelete(key: string): void | Promise<void>
  applyReadObject(key: string, entry: Entry | undefined): Entry | undefined
  applyReadList(glob: string, entries: readonly Entry[]): readonly Entry[]
  afterWrite(key: string): void | Promise<void>
  /** Whether a read of this key or glob may differ from what is stored. */
  isFiltered(keyOrGlob: string): boolean
}

export interface AccessParts {
  readonly store: DataStore
  readonly filters: DataFilters
  /** Whether only paths with a filter are served. */
  readonly isStatic: boolean
  readonly logger: Logger
  /** What filters may be given. */
  readonly jsonBounds: JsonBounds
  /** Where merges of large documents take their room from. */
  readonly merges: MergeRoom
  /** Asked before what comes from outside is written or deleted; throws to refuse it. */
  readonly guard?: (keyOrGlob: string, json: string | undefined) => void
  /** Runs before each read and is waited for; undefined when there is nothing to wait for. */
  readonly beforeRead?: (keyOrGlob: string) => Promise<void> | undefined
}

/**
 * Throws the refusal of static mode (`filters` undefined: it is off) when neither a list nor an object at `key` may be read.
 * Single keys may be read when either is opened, lists only when lists are.
 */
export function assertReadable(
  filters: Pick<DataFilters, 'permits'> | undefined,
  key: string,
): void {
  if (filters === undefined || filters.permits('read-list', key)) return
  if (!filters.permits('read-object', key)) {
    throw new StateError('not_routed', 'filters: route not defined')
  }
  if (hasGlob(key)) throw notRouted(key)
}

/** @throws StateError `invalid_key`, `invalid_glob` unless `key` is plain, or a glob to push to. */
export function assertWritePath(key: string): void {
  assertKey(key)
  assertWritableGlob(key)
  if (hasGlob(key) && !isGlob(key)) {
    throw new StateError('invalid_glob', 'key: glob pattern must be a whole path segment')
  }
}

/** @throws StateError `invalid_key`, `invalid_glob` when `key` can not name one entry to merge into. */
export function assertMergePath(key: string): void {
  assertKey(key)
  if (isGlob(key)) {
    throw new StateError('invalid_glob', 'ooo: glob pattern not allowed for this operation')
  }
}

/** Refuses what static mode does not open. @throws StateError `not_routed`. */
export function assertPermitted(
  { isStatic, filters }: AccessParts,
  operation: FilterOperation,
  key: string,
  { enforceStatic }: AccessOptions,
): void {
  if (isStatic && enforceStatic && !filters.permits(operation, key)) throw notRouted(key)
}

/** @throws StateError `invalid_glob` when a condition is put on a glob, which has no version. */
export function assertUnconditional(glob: string, precondition: Precondition | undefined): void {
  if (precondition === undefined) return
  throw new StateError('invalid_glob', `ooo: a condition needs a plain key, and ${glob} is a glob`)
}

function notRouted(key: string): StateError {
  return new StateError('not_routed', `filters: route not defined, key:${key}`)
}

/** Everything before a delete reaches the store. @throws StateError, or what the filter throws. */
export async function prepareDelete(
  parts: AccessParts,
  keyOrGlob: string,
  options: AccessOptions,
): Promise<void> {
  assertKey(keyOrGlob)
  if (hasGlob(keyOrGlob)) assertUnconditional(keyOrGlob, options.precondition)
  assertPermitted(parts, 'delete', keyOrGlob, options)
  if (options.enforceStatic) parts.guard?.(keyOrGlob, undefined)
  await parts.filters.applyDelete(keyOrGlob)
}

/**
 * Refuses a merge into an entry that is not there, where the guard refuses what would be merged: the filter of a
 * merge sees only what is there, and who may not write at a key need not learn whether it has an entry.
 * @returns undefined when the guard has nothing against it: a write that need not wait keeps its place.
 * @throws what the guard throws.
 */
export function guardMerge(
  parts: AccessParts,
  key: string,
  json: string,
  { enforceStatic }: AccessOptions,
): Promise<void> | undefined {
  if (!enforceStatic) return undefined
  try {
    parts.guard?.(key, json)
    return undefined
  } catch (refusal) {
    // What it makes of an entry may be allowed all the same: the filter of the merge asks for that.
    return parts.store.get(key).then((entry) => {
      if (entry === undefined) throw refusal
    })
  }
}

/** The JSON text to store for what was sent; static mode first, then the write filter. */
export function filterWrite(
  parts: AccessParts,
  key: string,
  json: string,
  options: AccessOptions,
): string | Promise<string> {
  assertPermitted(parts, 'write', key, options)
  if (options.enforceStatic) parts.guard?.(key, json)
  return parts.filters.applyWrite(key, json)
}

/** The write is durable, so a failure here is reported and not answered. */
export async function afterWrite(parts: AccessParts, key: string): Promise<void> {
  try {
    await parts.filters.afterWrite(key)
  } catch (error) {
    parts.logger.error('an after-write filter failed', { key, error: errorText(error) })
  }
}

/** Of an operation on one key. */
export function globNotAllowed(): StateError {
  return new StateError('invalid_glob', 'storage: glob pattern not allowed for this operation')
}

/** Of an operation on several keys, or that makes a key. */
export function globRequired(): StateError {
  return new StateError('invalid_glob', 'storage: glob pattern required for this operation')
}
