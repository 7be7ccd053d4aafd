/** Making the time index of a storage that has none, or an old one. */
import type { BatchOperation, StorageAdapter } from '../../core/ports/storage-adapter.ts'
import {
  decodeRecord,
  nameOfRow,
  RECORD_ROWS,
  sealRow,
  TIME_ROWS,
  timeRow,
} from '../format/rows.ts'

const PAGE = 1000

/** Replaces all time rows by those of the records that are there. `progress` is called once per record. */
export async function buildTimeIndex(
  adapter: StorageAdapter,
  progress: () => void = () => undefined,
): Promise<void> {
  await eachPage(adapter.iterate(TIME_ROWS), adapter, ([row]) => ({ type: 'del', key: row }))
  await eachPage(adapter.iterate(RECORD_ROWS), adapter, ([row, value]) => {
    progress()
    const record = decodeRecord(nameOfRow(row), value)?.record
    if (record?.kind !== 'entry') return undefined
    const key = timeRow(record)
    return { type: 'put', key, value: sealRow(key, '') }
  })
}

async function eachPage(
  rows: AsyncIterable<readonly [string, string]>,
  adapter: StorageAdapter,
  operationOf: (row: readonly [string, string]) => BatchOperation | undefined,
): Promise<void> {
  let page: BatchOperation[] = []
  for await (const row of rows) {
    const operation = operationOf(row)
    if (operation !== undefined) page.push(operation)
    if (page.length < PAGE) continue
    await adapter.batch(page)
    page = []
  }
  if (page.length > 0) await adapter.batch(page)
}
