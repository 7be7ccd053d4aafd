/** What the writes of the table API send: batches as arrays, one per column. */
import type { StoredRecord } from '../../src/core/data/entry.ts'
import { versionOf } from '../../src/core/data/entry.ts'
import { StateError } from '../../src/core/errors.ts'
import { assertOrigin, assertStamp, assertTableKey, tableValue, writtenValue } from './arguments.ts'
import type { TableEntry } from './row.ts'

/** Keys and values to set, checked; of a key that is named twice only the last value is kept. */
export interface SetColumns {
  readonly keys: string[]
  readonly values: string[]
  /** For each key as given, its place in `keys`. */
  readonly places: number[]
}

/** @throws StateError `invalid_option` for unequal lengths; `invalid_key`, `invalid_glob`, `invalid_json`. */
export function setColumns(
  keys: readonly string[],
  values: readonly string[],
  maxValueBytes: number,
): SetColumns {
  if (keys.length !== values.length) {
    throw new StateError(
      'invalid_option',
      `postgres: ${keys.length} keys but ${values.length} values`,
    )
  }
  const compact = new Map<string, string>()
  keys.forEach((key, i) => {
    assertTableKey(key)
    compact.set(key, writtenValue(values[i] ?? '', maxValueBytes))
  })
  const unique = [...compact.keys()]
  const place = new Map(unique.map((key, i) => [key, i]))
  return { keys: unique, values: [...compact.values()], places: keys.map((k) => place.get(k) ?? 0) }
}

/**
 * The columns of entries whose stamps the caller gives; of a key that is named twice the first
 * (`keep: 'first'`) or the last is kept. Errors as `setColumns`; `invalid_option` for stamps out of range.
 */
export function entryColumns(
  entries: readonly TableEntry[],
  keep: 'first' | 'last',
  maxValueBytes: number,
): string[][] {
  const chosen = new Map<string, TableEntry>()
  for (const entry of entries) {
    assertTableKey(entry.key)
    assertStamp('created', entry.created)
    assertStamp('updated', entry.updated)
    const value = writtenValue(entry.value, maxValueBytes)
    if (keep === 'last' || !chosen.has(entry.key)) chosen.set(entry.key, { ...entry, value })
  }
  const unique = [...chosen.values()]
  return [
    unique.map(({ key }) => key),
    unique.map(({ created }) => String(created)),
    unique.map(({ updated }) => String(updated)),
    unique.map(({ value }) => value),
  ]
}

/** The columns of records of a node, tombstones among them. Each key once. Errors as `entryColumns`. */
export function recordColumns(records: readonly StoredRecord[]): (string | null)[][] {
  for (const record of records) {
    assertTableKey(record.key)
    assertStamp('version', versionOf(record))
    if (record.kind === 'entry') assertStamp('created', record.created)
    assertOrigin(record.origin)
    if (record.kind === 'entry') tableValue(record.data)
  }
  const stamp = (record: StoredRecord, name: 'created' | 'updated'): string =>
    record.kind === 'entry' ? String(record[name]) : '0'
  return [
    records.map(({ key }) => key),
    records.map((record) => stamp(record, 'created')),
    records.map((record) => stamp(record, 'updated')),
    records.map((record) => String(versionOf(record))),
    records.map(({ origin }) => origin),
    records.map((record) => (record.kind === 'entry' ? record.data : null)),
  ]
}
