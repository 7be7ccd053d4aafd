/**
 * Writing a value with stamps of the caller's choice, over whatever is there. Elsewhere the record is
 * one like any other: a node that holds a greater version keeps it, and gives it back.
 */
import { type HybridClock, LATEST_STAMP } from '../../core/data/clock.ts'
import { type Entry, versionOf } from '../../core/data/entry.ts'
import { standInOrigin } from '../../core/data/stand-in-origin.ts'
import { StateError } from '../../core/errors.ts'
import { assertKey, hasGlob } from '../../core/keys/key.ts'
import type { PlanContext, Planner } from '../planning/planner.ts'
import { heldBytes } from '../types/held-bytes.ts'
import type { Written } from '../types/write.ts'

/** Stamps of an entry, nanoseconds since the Unix epoch, 0 to the year 2200. */
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
): Planner<Written> {
  assertKey(key)
  if (hasGlob(key)) {
    throw new StateError('invalid_glob', 'storage: glob pattern not allowed for this operation')
  }
  if (json === '') throw new StateError('invalid_json', 'storage: invalid data (empty)')
  assertMeta('created', created)
  assertMeta('updated', updated)
  return {
    bytes: heldBytes(key, json),
    reads: () => ({ keys: [key] }),
    plan(context) {
      const origin = originOf(context, key)
      const record: Entry = { kind: 'entry', key, created, updated, origin, data: json }
      const pendingFor = context.leaderOf(key)
      const end = { key, version: versionOf(record), origin }
      return {
        plan: { keyStates: [{ record, pendingFor }] },
        result: { ...end, deleted: 0, ends: [end] },
      }
    },
  }
}

/**
 * The version that the stamps give the entry. @throws StateError `clock_drift` when it is beyond what
 * the clock takes (`furthest`): every later stamp would have to exceed it.
 */
export function assertDrift(
  key: string,
  { created, updated }: EntryMeta,
  { furthest, maxDriftNs }: Pick<HybridClock, 'furthest' | 'maxDriftNs'>,
): bigint {
  const version = updated > created ? updated : created
  if (version <= furthest) return version
  const aheadMs = (version - furthest + maxDriftNs) / 1_000_000n
  throw new StateError(
    'clock_drift',
    `storage: key "${key}": stamp ${version} is ${aheadMs} ms in the future, the limit is ${maxDriftNs / 1_000_000n} ms`,
  )
}

/**
 * Two different values with one version and one origin would be the same change to other nodes, and
 * each would keep its own. A chosen version can repeat one that the key had, so the origin is
 * made different then, and greater with each such write: the latest wins.
 */
function originOf(context: PlanContext, key: string): string {
  const { origin } = context.identity
  if (context.keyState(key) === undefined) return origin
  return standInOrigin(`${origin}-${context.now().toString(36)}`)
}

function assertMeta(name: string, stamp: bigint): void {
  if (typeof stamp === 'bigint' && stamp >= 0n && stamp <= LATEST_STAMP) return
  throw new StateError(
    'invalid_option',
    `storage: ${name} must be a bigint from 0 to ${LATEST_STAMP} (nanoseconds), not ${String(stamp)}`,
  )
}
