/** Reading every record of an open store, in the order of keys, as of one commit. */
import type { StorageAdapter } from '../../core/ports/storage-adapter.ts'
import { decodeRecord, recordRows, type SequencedRow } from '../format/rows.ts'
import { BoundedState } from './bounded-state.ts'
import { overlaid } from './overlay.ts'
import type { Eventually, KeyState, State } from './state.ts'

export interface ScanParts {
  readonly adapter: StorageAdapter
  readonly records: State
  readonly head: () => number
  /** Whether answered writes are not in the adapter yet. */
  readonly isBehind: () => boolean
  /** Runs `take` when no batch is under way. */
  readonly betweenBatches: (take: () => Eventually<RecordScan>) => Promise<RecordScan>
  readonly isDamaged: (key: string) => boolean
  /** The row of this key does not match its checksum. */
  readonly rewrite: (key: string) => void
}

export interface ScanOptions {
  /** What the keys start with. Default: all. */
  readonly prefix?: string
}

export interface RecordScan {
  readonly seq: number
  readonly rows: AsyncIterable<SequencedRow>
}

const NOTHING_PINNED: ReadonlyMap<string, KeyState> = new Map()

/** Every record whose key starts with `prefix`, key ascending, exactly as of commit `seq`. */
export async function scanRecords(parts: ScanParts, prefix: string): Promise<RecordScan> {
  const { adapter, records, head, isBehind, betweenBatches } = parts
  if (records instanceof BoundedState) return records.scan(prefix)
  // Streamed from the adapter, which has them in order: sorting a large state would take long.
  return betweenBatches(() => {
    if (isBehind()) return records.scan(prefix)
    const rows = adapter.iterate(recordRows(prefix))
    const decode = (key: string, value: string) => decodeOrRemember(parts, key, value)
    return { seq: head(), rows: overlaid(rows, NOTHING_PINNED, decode) }
  })
}

/** What memory has whole is not lost with its row. */
function decodeOrRemember(
  { records, isDamaged, rewrite }: ScanParts,
  key: string,
  value: string,
): SequencedRow | undefined {
  if (isDamaged(key)) return undefined
  const decoded = decodeRecord(key, value)
  if (decoded !== undefined) return decoded
  rewrite(key)
  const keyState = records.keyState(key)
  return keyState instanceof Promise ? undefined : keyState
}
