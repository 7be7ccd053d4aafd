/**
 * Reading the change log in pages: from the tail in memory when the rows are recent, else from
 * disk. A row whose key changed again later is skipped, since the newer row tells the same.
 */
import { StateError } from '../../core/errors.ts'
import type { StorageAdapter } from '../../core/ports/storage-adapter.ts'
import type { SequencedRow } from '../format/rows.ts'
import { logRowsBetween, seqOfRow, unsealRow } from '../format/rows.ts'
import type { Eventually, KeyState } from '../state/state.ts'
import type { ChangeTail, LogRow } from './change-tail.ts'

/** A page of the change log. */
export interface LogPage {
  /** Current records, oldest change first. */
  readonly rows: readonly SequencedRow[]
  /** The log has been read up to here. */
  readonly through: number
}

export interface ReadLogRequest {
  readonly after: number
  readonly limit: number
  readonly head: number
  readonly tail: ChangeTail
  readonly adapter: StorageAdapter
  keyStates(keys: readonly string[]): Eventually<readonly (KeyState | undefined)[]>
}

export async function readLog(request: ReadLogRequest): Promise<LogPage> {
  const { after, limit, head } = request
  if (after >= head) return { rows: [], through: head }
  const found = request.tail.after(after, limit) ?? (await readWithDisk(request))
  const last = found.at(-1)
  // Rows above `head` belong to a batch that is written but not yet visible: left for later.
  const through = found.length < limit || last === undefined ? head : Math.min(last.seq, head)
  const visible = found.filter(({ seq }) => seq <= through)
  const keyStates = await request.keyStates(visible.map(({ key }) => key))
  const rows: SequencedRow[] = []
  visible.forEach(({ seq }, i) => {
    const keyState = keyStates[i]
    if (keyState?.seq === seq) rows.push({ seq, record: keyState.record })
  })
  return { rows, through }
}

/** What is in memory may not be on disk yet, so each part is read where it is for sure. */
async function readWithDisk({ adapter, tail, after, limit }: ReadLogRequest): Promise<LogRow[]> {
  const { floor } = tail
  const newer = tail.after(floor, limit) ?? []
  const rows: LogRow[] = []
  for await (const [row, value] of adapter.iterate(logRowsBetween(after, floor, limit))) {
    const key = unsealRow(row, value)
    if (key === undefined)
      throw new StateError('corrupt_record', `storage: row "${row}" is damaged`)
    rows.push({ seq: seqOfRow(row), key })
  }
  return rows.concat(newer).slice(0, limit)
}
