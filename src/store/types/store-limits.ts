/** How great a record may be that a store writes: what is set, and what its storage can hold. */
import type { StoredRecord } from '../../core/data/entry.ts'
import { DEFAULT_JSON_BOUNDS } from '../../core/json/bounds.ts'
import {
  assertRecord,
  DEFAULT_MAX_VALUE_BYTES,
  type RecordFlaw,
  type RecordLimits,
  refusedRecord,
} from '../../core/records/check.ts'
import type { StoreOptions } from './store-options.ts'

export interface StoreLimits {
  readonly limits: RecordLimits
  /** Longest key of which the storage can hold a record, bytes; undefined for any. */
  readonly maxKeyBytes: number | undefined
}

/** Longer than the key of a record is the key of its row in the time index. */
const ROW_BYTES = 20

export function storeLimits({ adapter, maxValueBytes, jsonBounds }: StoreOptions): StoreLimits {
  const { maxRowKeyBytes } = adapter.capabilities
  return {
    limits: {
      maxValueBytes: maxValueBytes ?? DEFAULT_MAX_VALUE_BYTES,
      json: jsonBounds ?? DEFAULT_JSON_BOUNDS,
    },
    maxKeyBytes: maxRowKeyBytes === undefined ? undefined : maxRowKeyBytes - ROW_BYTES,
  }
}

/** @throws StateError for a record of this node that may not be written in the place of `before`. */
export function assertStorable(
  record: StoredRecord,
  before: StoredRecord | undefined,
  { limits, maxKeyBytes }: StoreLimits,
): void {
  assertRecord(record, before, limits)
  const excess = rowExcess(record.key, before, maxKeyBytes)
  if (excess !== undefined) throw refusedRecord(record.key, excess)
}

/** Why a key is too long for the storage, unless that holds a record of it already. */
export function rowExcess(
  key: string,
  held: StoredRecord | undefined,
  maxKeyBytes: number | undefined,
): RecordFlaw | undefined {
  if (maxKeyBytes === undefined || held !== undefined || key.length <= maxKeyBytes) return undefined
  const text = `has ${key.length} bytes, the storage of this node takes ${maxKeyBytes}`
  return { code: 'too_large', text }
}
