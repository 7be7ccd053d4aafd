/** Reading a node's state back from its storage, and making a new one in an empty storage. */
import { StateError } from '../core/errors.ts'
import type { StorageAdapter } from '../storage-adapter.ts'
import { beginEpoch } from './epochs.ts'
import { Mirror } from './mirror.ts'
import {
  decodeRecord,
  FORMAT,
  META_ROWS,
  metaRow,
  OUTBOX_ROWS,
  RECORD_ROWS,
  seqOfRow,
} from './rows.ts'

export interface LoadedState {
  readonly mirror: Mirror
  readonly meta: Map<string, string>
  /** Seq of the last committed change. */
  readonly head: number
  /** Greatest stamp ever given out or seen. */
  readonly clock: bigint
}

/**
 * @throws StateError `format_unsupported` when a newer release wrote the storage,
 * `corrupt_record` naming a damaged key.
 */
export async function loadMirror(
  adapter: StorageAdapter,
  leaderOf: (key: string) => string | undefined,
  newId: () => string,
): Promise<LoadedState> {
  const meta = new Map<string, string>()
  for await (const [row, value] of adapter.iterate(META_ROWS)) meta.set(row.slice(2), value)
  await initialise(adapter, meta, newId)
  const mirror = new Mirror()
  for await (const [row, value] of adapter.iterate(RECORD_ROWS)) {
    mirror.put({ ...decodeRecord(row.slice(2), value), owedTo: undefined })
  }
  for await (const [row, key] of adapter.iterate(OUTBOX_ROWS)) {
    const slot = mirror.slot(key)
    // The leader is looked up anew, so a changed configuration redirects what is owed.
    if (slot?.seq === seqOfRow(row)) mirror.put({ ...slot, owedTo: leaderOf(key) })
  }
  const [head, clock] = (meta.get('head') ?? '0 0').split(' ')
  return { mirror, meta, head: Number(head), clock: BigInt(clock ?? 0) }
}

async function initialise(
  adapter: StorageAdapter,
  meta: Map<string, string>,
  newId: () => string,
): Promise<void> {
  const format = meta.get('format')
  if (format !== undefined && format !== FORMAT) {
    throw new StateError(
      'format_unsupported',
      `storage: the data has format ${format}, this release reads format ${FORMAT}`,
    )
  }
  const head = Number(meta.get('head')?.split(' ')[0] ?? 0)
  const rows: [name: string, value: string][] = [
    ['epochs', beginEpoch(meta.get('epochs'), newId(), head)],
  ]
  if (format === undefined) rows.push(['format', FORMAT], ['id', newId()])
  for (const [name, value] of rows) meta.set(name, value)
  await adapter.batch(rows.map(([name, value]) => ({ type: 'put', key: metaRow(name), value })))
}
