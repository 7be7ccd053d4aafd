/** The records of rows, in their order. */
import type { StoredRecord } from '../core/entry.ts'
import type { SequencedRow } from './rows.ts'

export async function* recordsOf(rows: AsyncIterable<SequencedRow>): AsyncGenerator<StoredRecord> {
  for await (const { record } of rows) yield record
}
