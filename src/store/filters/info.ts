/** Registered filters as the management API shows them. */

import type { Schema } from '../../core/json/schema.ts'
import { schemaExample } from '../../core/json/schema-example.ts'
import { isGlob } from '../../core/keys/key.ts'
import { currentLimit, currentMaxAgeMs, type LimitFilter } from './limit-filter.ts'

/** One filter path. Fields in the order of the wire; those without a value are left out. */
export interface FilterInfo {
  readonly path: string
  readonly type: 'limit' | 'open' | 'read-only' | 'write-only' | 'custom'
  readonly canRead: boolean
  readonly canWrite: boolean
  readonly canDelete: boolean
  readonly isGlob: boolean
  readonly limit?: number
  readonly limitDynamic?: true
  /** A Go duration, such as `1h30m0s`. */
  readonly maxAge?: string
  readonly maxAgeDynamic?: true
  readonly order?: 'desc' | 'asc'
  readonly cleanupEnabled?: true
  readonly cleanupInterval?: string
  readonly descWrite?: string
  readonly descRead?: string
  readonly descDelete?: string
  readonly descAfterWrite?: string
  readonly descLimit?: string
  readonly schema?: unknown
}

/** What is registered for one path. */
export interface PathSummary {
  readonly path: string
  readonly canRead: boolean
  readonly canWrite: boolean
  readonly canDelete: boolean
  readonly limit: LimitFilter | undefined
  readonly descriptions: Readonly<
    Partial<Record<'descWrite' | 'descRead' | 'descDelete' | 'descAfterWrite', string>>
  >
  readonly schema: Schema | undefined
}

export function filterInfo(summary: PathSummary): FilterInfo {
  const { path, canRead, canWrite, canDelete, limit, descriptions, schema } = summary
  const example = schema === undefined ? undefined : schemaExample(schema)
  return {
    path,
    type: typeOf(summary),
    canRead,
    canWrite,
    canDelete,
    isGlob: isGlob(path),
    ...(limit === undefined ? {} : limitInfo(limit)),
    ...descriptionsOf(descriptions),
    ...(limit?.config.description ? { descLimit: limit.config.description } : {}),
    ...(example === undefined ? {} : { schema: example }),
  }
}

/** A duration as Go writes it: `24h0m0s`, `10m0s`, `1.5s`, `150ms`; `0s` for nothing. */
export function goDuration(ms: number): string {
  const ns = Math.round(ms * 1_000_000)
  if (ns === 0) return '0s'
  if (ns < 1000) return `${ns}ns`
  if (ns < 1_000_000) return `${ns / 1000}µs`
  if (ns < 1_000_000_000) return `${ns / 1_000_000}ms`
  const total = Math.floor(ns / 1_000_000_000)
  const fraction = (ns % 1_000_000_000) / 1_000_000_000
  const hours = Math.floor(total / 3600)
  const minutes = Math.floor((total % 3600) / 60)
  const rest = (total % 60) + fraction
  const seconds = `${Number(rest.toFixed(9))}s`
  if (hours > 0) return `${hours}h${minutes}m${seconds}`
  return minutes > 0 ? `${minutes}m${seconds}` : seconds
}

function typeOf({ limit, canRead, canWrite, canDelete }: PathSummary): FilterInfo['type'] {
  if (limit !== undefined) return 'limit'
  if (canRead && canWrite && canDelete) return 'open'
  if (canRead && !canWrite) return 'read-only'
  return canWrite && !canRead ? 'write-only' : 'custom'
}

/** A function of the owner's that fails must not take the whole list of filters with it. */
function asked(value: () => number): number {
  try {
    return value()
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

function limitInfo({ config, order, intervalMs }: LimitFilter): Partial<FilterInfo> {
  const limit = asked(() => currentLimit(config))
  const maxAgeMs = asked(() => currentMaxAgeMs(config))
  const isDynamic = config.limitFunc !== undefined || config.maxAgeFunc !== undefined
  const hasAge = config.maxAgeFunc !== undefined || (config.maxAgeMs ?? 0) > 0
  return {
    ...(Number.isFinite(limit) ? { limit } : {}),
    ...(isDynamic ? { limitDynamic: true } : {}),
    ...(Number.isFinite(maxAgeMs) ? { maxAge: goDuration(maxAgeMs) } : {}),
    ...(isDynamic && hasAge ? { maxAgeDynamic: true } : {}),
    order,
    ...(intervalMs === undefined
      ? {}
      : { cleanupEnabled: true, cleanupInterval: goDuration(intervalMs) }),
  }
}

function descriptionsOf(descriptions: PathSummary['descriptions']): Partial<FilterInfo> {
  const { descWrite, descRead, descDelete, descAfterWrite } = descriptions
  return {
    ...(descWrite ? { descWrite } : {}),
    ...(descRead ? { descRead } : {}),
    ...(descDelete ? { descDelete } : {}),
    ...(descAfterWrite ? { descAfterWrite } : {}),
  }
}

/** Whether a path is internal to cluster sync: `pivot`, or anything below it. */
export function isInternalPath(path: string): boolean {
  return path === 'pivot' || path.startsWith('pivot/')
}
