/**
 * Lines that say of themselves neither that they are as they were written nor that they were changed. Under the
 * name that such a line gives there may be another value elsewhere, and nodes compare names, not values. So
 * the record is merged as a change of its own.
 */
import { encodeHash, hashText } from '../src/core/data/digest.ts'
import { isSameChange, type StoredRecord } from '../src/core/data/entry.ts'
import type { ReplicationStore } from '../src/store/replication-store.ts'
import { encodeRecordLine } from './format/record-line.ts'

/**
 * The record with its stamps, under an origin that stands for what the line says: the same line makes the
 * same record wherever it is merged. The origin is greater than those of nodes, so that the line wins over
 * the record that it was made from, and loses to whatever was written later.
 */
export function editedRecord(record: StoredRecord): StoredRecord {
  return { ...record, origin: `zz-edited-${encodeHash(hashText(encodeRecordLine(record)))}` }
}

/** The records, edited ones but where the store holds just what they say. */
export function asEdited(
  store: ReplicationStore,
  page: readonly StoredRecord[],
): Promise<StoredRecord[]> {
  return Promise.all(
    page.map(async (record) => {
      const held = (await store.keyState(record.key))?.record
      const isHeld = held !== undefined && isSameChange(held, record)
      return isHeld && dataOf(held) === dataOf(record) ? record : editedRecord(record)
    }),
  )
}

function dataOf(record: StoredRecord): string | undefined {
  return record.kind === 'entry' ? record.data : undefined
}
