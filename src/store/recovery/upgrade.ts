/**
 * Brings a storage of an earlier format up to date, in place. Every step may be cut off by a crash
 * and begun again: rows that are sealed already are left as they are, the format row comes last.
 */
import { StateError } from '../../core/errors.ts'
import type { BatchOperation, RowRange, StorageAdapter } from '../../core/ports/storage-adapter.ts'
import {
  FORMAT,
  FORMAT_ROW,
  FORMAT_WITHOUT_CHECKSUMS,
  FORMAT_WITHOUT_FIELDS,
  LOG_ROWS,
  META_ROWS,
  OUTBOX_ROWS,
  sealRow,
  unsealRow,
} from '../format/rows.ts'

const PAGE = 1000

/**
 * The format the storage has afterwards; undefined for an empty storage.
 * @throws StateError `format_unsupported` when a release this one does not know wrote the storage.
 */
export async function upgradeStorage(adapter: StorageAdapter): Promise<string | undefined> {
  const format = await adapter.get(FORMAT_ROW)
  if (format === undefined || format === FORMAT) return format
  if (format !== FORMAT_WITHOUT_CHECKSUMS && format !== FORMAT_WITHOUT_FIELDS) {
    throw new StateError(
      'format_unsupported',
      `storage: the data has format ${format}; this release reads formats ${FORMAT_WITHOUT_CHECKSUMS} to ${FORMAT}`,
    )
  }
  if (format === FORMAT_WITHOUT_CHECKSUMS) {
    for (const range of [LOG_ROWS, OUTBOX_ROWS, META_ROWS]) await sealAll(adapter, range)
  }
  await adapter.batch([{ type: 'put', key: FORMAT_ROW, value: FORMAT }])
  return FORMAT
}

async function sealAll(adapter: StorageAdapter, range: RowRange): Promise<void> {
  let page: BatchOperation[] = []
  for await (const [key, value] of adapter.iterate(range)) {
    if (key === FORMAT_ROW || unsealRow(key, value) !== undefined) continue
    page.push({ type: 'put', key, value: sealRow(key, value) })
    if (page.length < PAGE) continue
    await adapter.batch(page)
    page = []
  }
  if (page.length > 0) await adapter.batch(page)
}
