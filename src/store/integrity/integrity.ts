/**
 * Finding out what is missing. Every record has exactly one row in the change log, so the log names
 * the records that vanished, and the records say which rows of the log did.
 */
import type { BatchOperation, StorageAdapter } from '../../core/ports/storage-adapter.ts'
import {
  decodeRecord,
  LOG_ROWS,
  logRow,
  nameOfRow,
  RECORD_ROWS,
  recordRow,
  sealRow,
  seqOfRow,
  unsealRow,
} from '../format/rows.ts'

export interface Findings {
  /** Keys whose record is missing, unreadable or older than the log says. */
  readonly damaged: ReadonlySet<string>
  /** Rows that put the log in order again. */
  readonly repairs: readonly BatchOperation[]
}

const PAGE = 1000

/** Compares records and change log. Costs a reading of both; memory grows with what is wrong only. */
export async function compareWithLog(adapter: StorageAdapter): Promise<Findings> {
  const damaged = new Set<string>()
  const repairs: BatchOperation[] = []
  for await (const page of paged(adapter.iterate(LOG_ROWS))) {
    const log = page.map(([row, value]) => ({ row, key: unsealRow(row, value) }))
    const records = await adapter.getMany(log.map(({ key }) => recordRow(key ?? '')))
    log.forEach(({ row, key }, i) => {
      if (key === undefined) repairs.push({ type: 'del', key: row })
      else judge(row, key, records[i])
    })
  }
  for await (const page of paged(adapter.iterate(RECORD_ROWS))) {
    const records = page.flatMap(([row, value]) => decodeRecord(nameOfRow(row), value) ?? [])
    const rows = await adapter.getMany(records.map(({ seq }) => logRow(seq)))
    records.forEach(({ seq, record: { key } }, i) => {
      const row = logRow(seq)
      const logged = rows[i] === undefined ? undefined : unsealRow(row, rows[i])
      if (logged === key) return
      repairs.push({ type: 'put', key: row, value: sealRow(row, key) })
    })
  }
  return { damaged, repairs }

  function judge(row: string, key: string, value: string | undefined): void {
    const found = value === undefined ? undefined : decodeRecord(key, value)
    const seq = seqOfRow(row)
    // A row older than its record should have gone with the change: nothing is lost by it.
    if (found !== undefined && found.seq > seq) repairs.push({ type: 'del', key: row })
    else if (found?.seq !== seq) damaged.add(key)
  }
}

async function* paged<Row>(rows: AsyncIterable<Row>): AsyncGenerator<Row[]> {
  let page: Row[] = []
  for await (const row of rows) {
    page.push(row)
    if (page.length < PAGE) continue
    yield page
    page = []
  }
  if (page.length > 0) yield page
}
