/**
 * A list that keeps only its newest entries, or those of a certain age. What is beyond the limit is
 * hidden at once and deleted later, so a reader never sees more than the limit allows.
 */
import type { Entry } from '../../core/data/entry.ts'
import { newestFirst } from '../../core/data/entry.ts'
import { StateError } from '../../core/errors.ts'
import type { Schema } from '../../core/json/schema.ts'
import { isGlob } from '../../core/keys/key.ts'
import { NS_PER_MS } from '../../core/ports/time.ts'

export interface LimitFilterConfig {
  /** Most entries shown and kept. Default, and 0: no limit by count. */
  readonly limit?: number
  /** Asked at each use; wins over `limit`. An answer of 0 or less is no limit. */
  readonly limitFunc?: () => number
  /** Milliseconds since `created` after which an entry is gone. Default, and 0: no limit by age. */
  readonly maxAgeMs?: number
  /** Asked at each use; wins over `maxAgeMs`. Milliseconds; 0 or less is no limit. */
  readonly maxAgeFunc?: () => number
  /** Order of display: `desc` (default) is newest first. */
  readonly order?: 'desc' | 'asc'
  /** Deletes what is beyond the limits also without writes. */
  readonly cleanup?: {
    /** Default false. */
    readonly enabled?: boolean
    /** Milliseconds between two sweeps, at least 60 000. Default, and 0: 600 000. */
    readonly intervalMs?: number
  }
  readonly description?: string
  readonly schema?: Schema
}

const MINUTE_MS = 60_000
const DEFAULT_INTERVAL_MS = 10 * MINUTE_MS

/** A registered limit. */
export interface LimitFilter {
  readonly path: string
  readonly config: LimitFilterConfig
  readonly order: 'desc' | 'asc'
  /** Milliseconds between sweeps; undefined without periodic cleanup. */
  readonly intervalMs: number | undefined
  /** Entries of any order to those shown, in display order. `entries` is not modified. */
  view(entries: readonly Entry[]): readonly Entry[]
  /** The entries to delete, oldest first. */
  overLimit(entries: readonly Entry[]): readonly Entry[]
}

/**
 * @param wallNs the wall clock, nanoseconds since the Unix epoch
 * @throws StateError `invalid_option`.
 */
export function createLimitFilter(
  path: string,
  config: LimitFilterConfig,
  wallNs: () => bigint,
): LimitFilter {
  const intervalMs = checkConfig(path, config)
  const order = config.order ?? 'desc'
  const split = (entries: readonly Entry[]): { kept: Entry[]; dropped: Entry[] } =>
    splitEntries(entries, currentLimit(config), oldestAllowed(config, wallNs))
  return {
    path,
    config,
    order,
    intervalMs,
    view(entries) {
      const { kept } = split(entries)
      return order === 'desc' ? kept : kept.reverse()
    },
    overLimit: (entries) => split(entries).dropped.reverse(),
  }
}

/** The limit of this moment; Infinity for none. */
export function currentLimit({ limit, limitFunc }: LimitFilterConfig): number {
  const value = limitFunc === undefined ? (limit ?? 0) : limitFunc()
  return value > 0 ? Math.floor(value) : Number.POSITIVE_INFINITY
}

/** The greatest age of this moment in milliseconds; Infinity for none. */
export function currentMaxAgeMs({ maxAgeMs, maxAgeFunc }: LimitFilterConfig): number {
  const value = maxAgeFunc === undefined ? (maxAgeMs ?? 0) : maxAgeFunc()
  return value > 0 ? value : Number.POSITIVE_INFINITY
}

function oldestAllowed(config: LimitFilterConfig, wallNs: () => bigint): bigint | undefined {
  const maxAgeMs = currentMaxAgeMs(config)
  if (!Number.isFinite(maxAgeMs)) return undefined
  return wallNs() - BigInt(Math.round(maxAgeMs * Number(NS_PER_MS)))
}

/** Both parts newest first. */
function splitEntries(
  entries: readonly Entry[],
  limit: number,
  oldest: bigint | undefined,
): { kept: Entry[]; dropped: Entry[] } {
  const sorted = [...entries].sort(newestFirst)
  const young = oldest === undefined ? sorted.length : firstBelow(sorted, oldest)
  const cut = Math.min(young, limit)
  return { kept: sorted.slice(0, cut), dropped: sorted.slice(cut) }
}

/** The rank of the first entry created before `stamp`, by bisection. */
function firstBelow(sorted: readonly Entry[], stamp: bigint): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sorted[middle]?.created ?? 0n) >= stamp) low = middle + 1
    else high = middle
  }
  return low
}

/** Checks in the order of the older server; returns the interval of the sweep. */
function checkConfig(path: string, config: LimitFilterConfig): number | undefined {
  const { limit = 0, maxAgeMs = 0, limitFunc, maxAgeFunc, cleanup } = config
  if (limitFunc === undefined && !(Number.isInteger(limit) && limit >= 0)) {
    throw refusal('filters: limit must be positive')
  }
  if (maxAgeFunc === undefined && !(Number.isFinite(maxAgeMs) && maxAgeMs >= 0)) {
    throw refusal('filters: max age must be positive')
  }
  const hasLimit = limitFunc !== undefined || limit > 0
  const hasAge = maxAgeFunc !== undefined || maxAgeMs > 0
  if (!hasLimit && !hasAge) throw refusal('filters: limit must be positive')
  const intervalMs = cleanup?.intervalMs ?? 0
  const enabled = cleanup?.enabled ?? false
  if (enabled && intervalMs !== 0 && !(intervalMs >= MINUTE_MS)) {
    throw refusal('filters: cleanup interval must be at least 1 minute')
  }
  if (!isGlob(path)) throw refusal('filters: path must be a glob pattern')
  return enabled ? intervalMs || DEFAULT_INTERVAL_MS : undefined
}

function refusal(text: string): StateError {
  return new StateError('invalid_option', text)
}
