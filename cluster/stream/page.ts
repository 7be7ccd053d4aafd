/** Cutting records into messages of bounded size. */
import type { StoredRecord } from '../../src/core/data/entry.ts'
import { fieldsLength } from '../../src/core/records/fields.ts'

/** Fixed cost of one record in a message beside its texts: stamps, quotes, commas. */
const RECORD_OVERHEAD = 80

/** What a record adds to a message, in bytes (close; escaping is not counted). */
export function recordBytes(record: StoredRecord): number {
  const data = record.kind === 'entry' ? record.data.length : 0
  const { key, origin } = record
  return key.length + origin.length + data + fieldsLength(record) + RECORD_OVERHEAD
}

/** Whether the value has more than so many bytes of UTF-8. */
export function isTooLong(record: StoredRecord, maxBytes: number): boolean {
  if (record.kind !== 'entry' || record.data.length * 3 <= maxBytes) return false
  return record.data.length > maxBytes || Buffer.byteLength(record.data) > maxBytes
}

/** The first rows that together stay near `maxBytes`; always at least one when there is one. */
export function cutRows<Row extends { readonly record: StoredRecord }>(
  rows: readonly Row[],
  maxBytes: number,
): { readonly rows: readonly Row[]; readonly bytes: number } {
  let bytes = 0
  let count = 0
  for (const { record } of rows) {
    if (count > 0 && bytes >= maxBytes) break
    bytes += recordBytes(record)
    count++
  }
  return { rows: count === rows.length ? rows : rows.slice(0, count), bytes }
}
