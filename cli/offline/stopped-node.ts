/** The storage of a node that does not run: read for a backup, made from one, changed in place. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { BackupEvent } from '../../backup/format/event.ts'
import type { BackupHeader } from '../../backup/format/header.ts'
import type { RestoreCounts } from '../../backup/restore-records.ts'
import { restoreStorage } from '../../backup/restore-records.ts'
import { backupOfStore, type StoreBackup } from '../../backup/store-backup.ts'
import { HybridClock } from '../../src/core/data/clock.ts'
import type { Digest } from '../../src/core/data/digest.ts'
import { isStateError, StateError } from '../../src/core/errors.ts'
import type { StorageAdapter } from '../../src/core/ports/storage-adapter.ts'
import { newNodeId } from '../../src/server/process/node-id.ts'
import { createSystemTime } from '../../src/server/process/system-time.ts'
import { decodeHead } from '../../src/store/format/head.ts'
import { META_ROWS, metaRow, unsealRow } from '../../src/store/format/rows.ts'
import { ReplicationStore } from '../../src/store/replication-store.ts'
import { LevelStorage } from '../../storage-adapters/leveldb/leveldb.ts'
import { PostgresStorage } from '../../storage-adapters/postgres/postgres.ts'
import type { Place } from '../settings/backup-settings.ts'
import { giveToOwnerOf } from './folder-owner.ts'
import { snapshotFolder } from './folder-snapshot.ts'
import { refuseHalfRestored, restoreFolder } from './restore-folder.ts'

/** Bytes of records a store keeps in memory while it is read or made. */
const CACHE_BYTES = 32 * 1024 * 1024

/** Gives `use` the contents of a stopped node's storage. @throws as `withFolder` and `withStorage`. */
export function withStopped<Result>(
  place: Exclude<Place, { kind: 'node' }>,
  use: (backup: StoreBackup) => Promise<Result>,
): Promise<Result> {
  if (place.kind === 'folder') return withFolder(place.directory, use)
  const { namespace } = place
  return withStorage(new PostgresStorage(place), `the database, namespace ${namespace}`, use)
}

/**
 * Gives `use` the contents of a data folder, which stays as it is.
 * @throws StateError `in_use` while a node holds it; `invalid_option` when it is no data folder of ours;
 *   `storage_failed` when it cannot be read.
 */
async function withFolder<Result>(
  directory: string,
  use: (backup: StoreBackup) => Promise<Result>,
): Promise<Result> {
  refuseHalfRestored(directory)
  const snapshot = await snapshotFolder(directory).catch((error: unknown) => {
    throw isStateError(error, 'in_use') ? usedByNode(directory, error) : error
  })
  try {
    const adapter = new LevelStorage({ directory: snapshot.directory })
    await adapter.open().catch((error: unknown) => {
      throw isStateError(error, 'in_use') ? usedByNode(directory, error) : error
    })
    try {
      await snapshot.sweep()
      return await withStorage(adapter, directory, use)
    } finally {
      await adapter.close()
    }
  } finally {
    await snapshot.release()
  }
}

/**
 * Gives `use` the contents of any storage. It is opened as by a node, so a database that a node holds is
 * `in_use`; the adapter is closed at the end.
 */
async function withStorage<Result>(
  adapter: StorageAdapter,
  name: string,
  use: (backup: StoreBackup) => Promise<Result>,
): Promise<Result> {
  const time = createSystemTime()
  const clock = new HybridClock(time)
  const store = new ReplicationStore({ adapter, clock, newId: newNodeId, cacheBytes: CACHE_BYTES })
  try {
    await adapter.open()
    await assertOurs(adapter, name)
    const expected = await readDigest(adapter)
    await store.open()
    const backup = await backupOfStore(store, {
      clock,
      time,
      scopes: [],
      // Opening began an epoch of its own; the data is of the one before.
      epoch: store.previousEpoch,
      expected,
    })
    return await use(backup)
  } finally {
    await store.close()
    await adapter.close()
  }
}

/**
 * Gives `use` the rows of a stopped node, to be changed in place.
 * @throws StateError `in_use` while a node holds them; `invalid_option` when they are no data of ours; what `use`
 *   throws, and the adapter.
 */
export async function changeStopped<Result>(
  place: Exclude<Place, { kind: 'node' }>,
  use: (adapter: StorageAdapter) => Promise<Result>,
): Promise<Result> {
  if (place.kind === 'database') {
    const name = `the database, namespace ${place.namespace}`
    return withRows(new PostgresStorage(place), name, use)
  }
  const { directory } = place
  refuseHalfRestored(directory)
  if (!existsSync(join(directory, 'CURRENT'))) throw noData(directory)
  try {
    return await withRows(new LevelStorage({ directory }), directory, use)
  } catch (error) {
    if (!isStateError(error, 'in_use')) throw error
    const text = `the data folder ${directory} is used by another process; stop the node first`
    throw new StateError('in_use', text, { cause: error })
  } finally {
    await giveToOwnerOf(directory, directory)
  }
}

async function withRows<Result>(
  adapter: StorageAdapter,
  name: string,
  use: (adapter: StorageAdapter) => Promise<Result>,
): Promise<Result> {
  try {
    await adapter.open()
    await assertOurs(adapter, name)
    return await use(adapter)
  } finally {
    await adapter.close()
  }
}

/** A store would take any empty or foreign database for a new node's. */
async function assertOurs(adapter: StorageAdapter, name: string): Promise<void> {
  for await (const [row] of adapter.iterate({ ...META_ROWS, limit: 1000 })) {
    if (row === metaRow('format') || row === metaRow('id')) return
  }
  for await (const [row] of adapter.iterate({ limit: 1 })) {
    const shown = JSON.stringify(row.slice(0, 60))
    throw new StateError(
      'invalid_option',
      `${name}: is not the data of a node: it has a row ${shown}; that of a Go server is read by ooo import --from-ko`,
    )
  }
  throw noData(name)
}

function noData(name: string): StateError {
  return new StateError('invalid_option', `${name}: holds no data of a node`)
}

/** Of all records, as the last batch left it; undefined when none is told, or it is damaged itself. */
async function readDigest(adapter: StorageAdapter): Promise<Digest | undefined> {
  const row = metaRow('head')
  const head = unsealRow(row, (await adapter.get(row)) ?? '')
  return head === undefined ? undefined : decodeHead(head)?.digest
}

function usedByNode(directory: string, cause: StateError): StateError {
  const text = `the data folder ${directory} is used by another process; back up a running node with --url http://…`
  return new StateError('in_use', text, { cause })
}

export interface MakeNodeOptions {
  /** Moves aside what is in the folder. A database takes data only into an empty namespace. */
  readonly force: boolean
  readonly salvage: boolean
  readonly onProgress: (records: number) => void
}

/**
 * Makes the storage of a node of what a backup holds.
 * @returns what became of the records, and where the old data is now.
 * @throws StateError as `restoreFolder` and `restoreStorage`.
 */
export async function makeNode(
  place: Exclude<Place, { kind: 'node' }>,
  header: BackupHeader | undefined,
  events: AsyncIterable<BackupEvent>,
  { force, salvage, onProgress }: MakeNodeOptions,
): Promise<{ readonly result: RestoreCounts; readonly aside: string | undefined }> {
  const time = createSystemTime()
  const options = { time, newId: newNodeId, salvage, onProgress, cacheBytes: CACHE_BYTES }
  const fill = (adapter: StorageAdapter): Promise<RestoreCounts> =>
    restoreStorage(adapter, header, events, options)
  if (place.kind === 'database') {
    return { result: await fill(new PostgresStorage(place)), aside: undefined }
  }
  return restoreFolder({
    directory: place.directory,
    force,
    now: new Date(Number(time.wallNs() / 1_000_000n)),
    build: (folder) => fill(new LevelStorage({ directory: folder })),
  })
}
