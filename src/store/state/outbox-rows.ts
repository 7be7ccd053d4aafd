/** Counting what is pending, from the rows of the outbox that still stand for something. */
import type { Row, StorageAdapter } from '../../core/ports/storage-adapter.ts'
import {
  decodePending,
  decodeRecord,
  outboxRowsAfter,
  recordRow,
  seqOfRow,
  unsealRow,
} from '../format/rows.ts'
import type { LeaderOf } from '../types/store-options.ts'

export interface OutboxFindings {
  /** How many records are pending for each leader. */
  readonly pending: Map<string, number>
  /** Rows that stand for nothing: unreadable, or of a record that changed or is damaged. */
  readonly stale: string[]
  /** How many of those are unreadable. */
  readonly unreadable: number
}

export interface OutboxReading {
  readonly rows: AsyncIterable<Row>
  readonly adapter: StorageAdapter
  readonly leaderOf: LeaderOf
  readonly isDamaged: (key: string) => boolean
  /** Keys that are not looked at: what is known of them is newer than the rows. Default: none. */
  readonly isNewer?: (key: string) => boolean
  /** The seq of a record that memory has whole, whatever its row on disk says. Default: of none. */
  readonly seqInMemory?: (key: string) => number | undefined
  /** Hears of every row that stands, in order. */
  readonly found?: (
    key: string,
    seq: number,
    leader: string,
    causalContext: string | undefined,
  ) => void
}

const PAGE = 1000

interface OutboxRow {
  readonly row: string
  readonly key: string
  readonly causalContext: string | undefined
}

/** The leader is looked up again, so a changed configuration retargets what is pending. */
export async function readOutbox(reading: OutboxReading): Promise<OutboxFindings> {
  const findings = { pending: new Map<string, number>(), stale: [] as string[], unreadable: 0 }
  let page: OutboxRow[] = []
  for await (const [row, value] of reading.rows) {
    const pending = unsealRow(row, value)
    if (pending === undefined) {
      findings.stale.push(row)
      findings.unreadable++
    } else {
      const { key, causalContext } = decodePending(pending)
      if (reading.isNewer?.(key) !== true) page.push({ row, key, causalContext })
    }
    if (page.length < PAGE) continue
    await count(reading, page, findings)
    page = []
  }
  await count(reading, page, findings)
  return findings
}

async function count(
  { adapter, leaderOf, isDamaged, seqInMemory, found }: OutboxReading,
  page: readonly OutboxRow[],
  { pending, stale }: OutboxFindings,
): Promise<void> {
  const values = await adapter.getMany(page.map(({ key }) => recordRow(key)))
  page.forEach(({ row, key, causalContext }, i) => {
    const value = values[i]
    const seq = seqOfRow(row)
    const isReadable = value !== undefined && !isDamaged(key)
    const current = seqInMemory?.(key) ?? (isReadable ? decodeRecord(key, value)?.seq : undefined)
    if (current !== seq) {
      stale.push(row)
      return
    }
    const leader = leaderOf(key)
    if (leader === undefined) return
    pending.set(leader, (pending.get(leader) ?? 0) + 1)
    found?.(key, seq, leader, causalContext)
  })
}

/** The first rows with a key that can be read, oldest change first. @throws StateError of the adapter. */
export async function readOutboxRows(
  adapter: StorageAdapter,
  limit: number,
): Promise<{ seq: number; key: string }[]> {
  const found: { seq: number; key: string }[] = []
  for await (const [row, value] of adapter.iterate({ ...outboxRowsAfter(0), limit })) {
    const pending = unsealRow(row, value)
    if (pending !== undefined) found.push({ seq: seqOfRow(row), key: decodePending(pending).key })
  }
  return found
}
