/** The records of rows, in their order. */
import type { StoredRecord } from '../../core/data/entry.ts'
import type { SequencedRow } from '../format/rows.ts'

/** Records as of one commit, key ascending. */
export interface RecordStream {
  readonly seq: number
  readonly records: AsyncIterable<StoredRecord>
}

export async function* recordsOf(rows: AsyncIterable<SequencedRow>): AsyncGenerator<StoredRecord> {
  for await (const { record } of rows) yield record
}
