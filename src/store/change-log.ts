/**
 * Reading the change log in pages: from the tail in memory when the rows are recent, else from
 * disk. A row whose key changed again later is skipped, since the newer row tells the same.
 */
import type { StorageAdapter } from '../storage-adapter.ts'
import type { ChangeTail, LogRow } from './change-tail.ts'
import type { Slot } from './mirror.ts'
import type { SequencedRow } from './rows.ts'
import { logRowsAfter, seqOfRow } from './rows.ts'

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
  slot(key: string): Slot | undefined
}

export async function readLog(request: ReadLogRequest): Promise<LogPage> {
  const { after, limit, head } = request
  if (after >= head) return { rows: [], through: head }
  const found = request.tail.after(after, limit) ?? (await readDisk(request))
  const last = found.at(-1)
  // Rows above `head` belong to a batch that is written but not yet visible: left for later.
  const through = found.length < limit || last === undefined ? head : Math.min(last.seq, head)
  const rows: SequencedRow[] = []
  for (const { seq, key } of found) {
    const slot = seq <= through ? request.slot(key) : undefined
    if (slot?.seq === seq) rows.push({ seq, record: slot.record })
  }
  return { rows, through }
}

async function readDisk({ adapter, after, limit }: ReadLogRequest): Promise<LogRow[]> {
  const rows: LogRow[] = []
  for await (const [row, key] of adapter.iterate(logRowsAfter(after, limit))) {
    rows.push({ seq: seqOfRow(row), key })
  }
  return rows
}
