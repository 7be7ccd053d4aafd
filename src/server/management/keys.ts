/** The stored keys as the management API lists them. */
import { StateError } from '../../core/errors.ts'
import { MAX_KEY_BYTES } from '../../core/keys/key.ts'
import type { Filters } from '../../store/filters/filters.ts'
import { isInternalPath } from '../../store/filters/info.ts'
import type { KeyValueStore } from '../../store/key-value-store.ts'

/** One page of keys. */
export interface KeyPage {
  readonly keys: readonly string[]
  /** Keys on all pages. */
  readonly total: number
  readonly page: number
  readonly limit: number
  readonly filter: string
}

const DEFAULT_LIMIT = 50
const MAX_LIMIT = 500

/**
 * The page that the query asks for, keys bytewise ascending: `page` from 1, `limit` 1–500, and `filter`,
 * the text that keys start with, up to its first `*`.
 * @throws StateError `invalid_option` for a filter that is longer than any key.
 */
export async function listKeys(store: KeyValueStore, query: URLSearchParams): Promise<KeyPage> {
  const page = integer(query.get('page'), Number.MAX_SAFE_INTEGER) ?? 1
  const limit = integer(query.get('limit'), MAX_LIMIT) ?? DEFAULT_LIMIT
  const filter = query.get('filter') ?? ''
  if (filter.length > MAX_KEY_BYTES) {
    throw new StateError(
      'invalid_option',
      `ooo: filter has ${filter.length} characters, the limit is ${MAX_KEY_BYTES}`,
    )
  }
  const matching = await store.keys(filter.split('*', 1)[0])
  const keys = matching.slice((page - 1) * limit, page * limit)
  return { keys, total: matching.length, page, limit, filter }
}

/** Keys that no read filter shows, those of cluster sync left out, bytewise ascending. */
export async function listOrphans(store: KeyValueStore, filters: Filters): Promise<string[]> {
  const keys = await store.keys()
  return keys.filter(
    (key) =>
      !isInternalPath(key) &&
      !filters.permits('read-object', key) &&
      !filters.permits('read-list', key),
  )
}

/** A positive integer of at most `max`, else undefined. */
function integer(text: string | null, max: number): number | undefined {
  if (text === null || !/^\+?\d{1,16}$/.test(text)) return undefined
  const value = Number(text)
  return value >= 1 && value <= max ? value : undefined
}
