/** How many bytes an operation holds while it waits for its turn: what the queue of writes is bounded by. */
import type { StoredRecord } from '../../core/data/entry.ts'

/** Of what every operation has beside its texts: a plan, its promise and who waits for it. */
const PER_OPERATION = 256

/** Bytes of an operation with these texts, as UTF-8. */
export function heldBytes(...texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text), PER_OPERATION)
}

/** Bytes of an operation that takes these records. */
export function heldByRecords(records: readonly StoredRecord[]): number {
  return records.reduce((sum, record) => {
    return sum + heldBytes(record.key, record.kind === 'entry' ? record.data : '')
  }, 0)
}
