/** The record rows of a snapshot with what is newer in memory in their place. */
import type { Row } from '../../core/ports/storage-adapter.ts'
import { nameOfRow, type SequencedRow } from '../format/rows.ts'
import type { KeyState } from './state.ts'

/**
 * Rows and pinned key states by key, ascending. `decode` gives undefined for a row that is not to be
 * served.
 */
export async function* overlaid(
  rows: AsyncIterable<Row>,
  pinned: ReadonlyMap<string, KeyState>,
  decode: (key: string, value: string) => SequencedRow | undefined,
): AsyncGenerator<SequencedRow> {
  const waiting = [...pinned.values()].sort((a, b) => (a.record.key < b.record.key ? -1 : 1))
  let next = 0
  for await (const [row, value] of rows) {
    const key = nameOfRow(row)
    let keyState = waiting[next]
    while (keyState !== undefined && keyState.record.key < key) {
      yield keyState
      keyState = waiting[++next]
    }
    if (pinned.has(key)) continue
    const decoded = decode(key, value)
    if (decoded !== undefined) yield decoded
  }
  yield* waiting.slice(next)
}
