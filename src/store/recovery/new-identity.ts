/**
 * Another identity for the node of a storage that nobody has open: for one that was copied together with its
 * data. It keeps its records, what is pending for leaders and how far it is with each of them. It has another
 * id, writes under that as its origin, and no incarnation before.
 *
 * What it wrote as the other node keeps that origin, as what it passes on for followers of its own does.
 */
import { StateError } from '../../core/errors.ts'
import type { BatchOperation, StorageAdapter } from '../../core/ports/storage-adapter.ts'
import { beginningRow, ORIGIN_ROW } from '../format/identity.ts'
import {
  FORMAT,
  FORMAT_ROW,
  FORMAT_WITHOUT_FIELDS,
  metaRow,
  sealRow,
  unsealRow,
} from '../format/rows.ts'
import { INCARNATIONS_ROW } from './incarnations.ts'

export interface NewIdentityOptions {
  /** Makes the id. Unique, without white space. */
  readonly newId: () => string
  /** Other meta rows that speak of the node itself, by name, and what becomes of each. */
  readonly change: Readonly<Record<string, (value: string) => string>>
}

/**
 * All of it in one batch, synced where the adapter can.
 * @param adapter open; it holds the data of a node.
 * @returns the id before, and now.
 * @throws StateError `corrupt_record` when the row of the id is damaged, `format_unsupported` for another
 *   format, and what the adapter throws: nothing is changed then.
 */
export async function giveNewIdentity(
  adapter: StorageAdapter,
  { newId, change }: NewIdentityOptions,
): Promise<{ readonly before: string; readonly id: string }> {
  const format = await adapter.get(FORMAT_ROW)
  if (format !== FORMAT && format !== FORMAT_WITHOUT_FIELDS) {
    throw new StateError(
      'format_unsupported',
      `storage: format ${format ?? 'unknown'}; start the node once with this release, which brings it up to date`,
    )
  }
  const before = await readRow(adapter, 'id')
  if (before === undefined) {
    throw new StateError('corrupt_record', 'storage: the row of the node id is missing or damaged')
  }
  const id = newId()
  const rows: BatchOperation[] = [
    put('id', id),
    put(ORIGIN_ROW, beginningRow(id)),
    { type: 'del', key: metaRow(INCARNATIONS_ROW) },
  ]
  for (const [name, changed] of Object.entries(change)) {
    const value = await readRow(adapter, name)
    if (value !== undefined) rows.push(put(name, changed(value)))
  }
  const canSync = adapter.capabilities.durability.includes('disk')
  await adapter.batch(rows, canSync ? { durability: 'disk' } : {})
  return { before, id }
}

/** undefined when it is absent or damaged. */
async function readRow(adapter: StorageAdapter, name: string): Promise<string | undefined> {
  const row = metaRow(name)
  const sealed = await adapter.get(row)
  return sealed === undefined ? undefined : unsealRow(row, sealed)
}

function put(name: string, value: string): BatchOperation {
  return { type: 'put', key: metaRow(name), value: sealRow(metaRow(name), value) }
}
