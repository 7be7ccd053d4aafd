/**
 * Writing a value with stamps of the caller's choice, over whatever is there. Elsewhere the record is
 * one like any other: a node that holds a greater version keeps it, and gives it back.
 */
import { type Entry, indexOfKey, versionOf } from '../core/entry.ts'
import { StateError } from '../core/errors.ts'
import { assertKey, hasGlob } from '../core/key.ts'
import type { PlanContext, Planner, WriteResult } from './operations.ts'
import { MAX_STAMP } from './ranges.ts'

/** Stamps of an entry, nanoseconds since the Unix epoch, 0 to 2^63 - 1. */
export interface EntryMeta {
  /** When the key came into being. */
  readonly created: bigint
  /** When it was last overwritten; 0n for never. */
  readonly updated: bigint
}

/** @throws StateError `invalid_key`, `invalid_glob`, `invalid_json`, `invalid_option` for a stamp. */
export function planSetWithMeta(
  key: string,
  json: string,
  { created, updated }: EntryMeta,
): Planner<WriteResult> {
  assertKey(key)
  if (hasGlob(key)) {
    throw new StateError('invalid_glob', 'storage: glob pattern not allowed for this operation')
  }
  if (json === '') throw new StateError('invalid_json', 'storage: invalid data (empty)')
  assertMeta('created', created)
  assertMeta('updated', updated)
  return {
    reads: () => ({ keys: [key] }),
    plan(context) {
      const origin = originOf(context, key)
      const record: Entry = { kind: 'entry', key, created, updated, origin, data: json }
      const owedTo = context.leaderOf(key)
      return {
        plan: { slots: [{ record, owedTo }] },
        result: { key, index: indexOfKey(key), version: versionOf(record) },
      }
    },
  }
}

/** How far in the future a chosen version may lie. */
const MAX_DRIFT_NS = 60_000_000_000n

/**
 * The version that the stamps give the entry. @throws StateError `clock_drift` when it is more than a
 * minute ahead of `nowNs`: every later stamp would have to exceed it.
 */
export function assertDrift(key: string, { created, updated }: EntryMeta, nowNs: bigint): bigint {
  const version = updated > created ? updated : created
  if (version <= nowNs + MAX_DRIFT_NS) return version
  throw new StateError(
    'clock_drift',
    `storage: key "${key}": stamp ${version} is ${(version - nowNs) / 1_000_000n} ms in the future, the limit is ${MAX_DRIFT_NS / 1_000_000n} ms`,
  )
}

/**
 * Two different values with one version and one origin would be the same change to other nodes, and
 * each would keep its own. A chosen version can repeat one that the key had, so the origin is
 * made different then, and greater with each such write: the latest wins.
 */
function originOf(context: PlanContext, key: string): string {
  if (context.slot(key) === undefined) return context.origin
  return `${context.origin}-${context.now().toString(36)}`
}

function assertMeta(name: string, stamp: bigint): void {
  if (typeof stamp === 'bigint' && stamp >= 0n && stamp <= MAX_STAMP) return
  throw new StateError(
    'invalid_option',
    `storage: ${name} must be a bigint from 0 to ${MAX_STAMP} (nanoseconds), not ${String(stamp)}`,
  )
}
