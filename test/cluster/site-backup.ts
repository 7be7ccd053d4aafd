/** Backups of the nodes of a virtual site. */
import { readBackup } from '../../backup/read-backup.ts'
import { restoreStorage } from '../../backup/restore-records.ts'
import { backupOfStore } from '../../backup/store-backup.ts'
import { writeBackup } from '../../backup/write-backup.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'
import type { SiteNode, VirtualSite } from './virtual-site.ts'

interface Backup {
  readonly bytes: Uint8Array[]
}

export async function backUp({ time }: VirtualSite, { clock, store }: SiteNode): Promise<Backup> {
  const backup = await backupOfStore(store, { clock, time, scopes: [] })
  const bytes: Uint8Array[] = []
  for await (const chunk of writeBackup(backup.header, backup.records, { flaws: backup.flaws })) {
    bytes.push(chunk)
  }
  return { bytes }
}

let restores = 0

/** Of a node that is stopped, as `ooo restore --force` does it; as new: with `--new-id`. */
export async function restore(
  { time }: VirtualSite,
  node: SiteNode,
  { bytes }: Backup,
  asNew = false,
): Promise<void> {
  const storage = new MemoryStorage()
  const n = ++restores
  let ids = 0
  const newId = (): string => `restored${n}x${ids++}`
  for await (const event of readBackup(streamOf(bytes))) {
    if (event.type !== 'header') continue
    const options = { time, newId, cacheBytes: 1_000_000 }
    const header = asNew ? { ...event.header, node: '' } : event.header
    await restoreStorage(storage, header, readBackup(streamOf(bytes)), options)
    break
  }
  node.storage = storage
}

async function* streamOf(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}
