/** Backups made in memory, for the tests of their format. */

import type { BackupEvent } from '../../backup/format/event.ts'
import type { BackupHeader } from '../../backup/format/header.ts'
import { type BackupReport, inspectBackup } from '../../backup/inspect-backup.ts'
import { readBackup } from '../../backup/read-backup.ts'
import { type WriteBackupOptions, writeBackup } from '../../backup/write-backup.ts'
import type { StoredRecord } from '../../src/core/data/entry.ts'

export const HEADER: BackupHeader = {
  node: 'node1',
  from: 'ooo-cluster 0.0.0',
  epoch: 'epoch1',
  seq: 42,
  clock: 1_700_000_000_999_999_999n,
  createdAt: '2030-01-31T12:00:00.000Z',
  scopes: ['items/*'],
}

/** Entries and tombstones of ascending keys, each with its own stamp and data. */
export function makeRecords(count: number): StoredRecord[] {
  return Array.from({ length: count }, (_, i): StoredRecord => {
    const key = `items/${String(i).padStart(6, '0')}`
    const stamp = 1_700_000_000_000_000_000n + BigInt(i)
    if (i % 7 === 3) return { kind: 'tombstone', key, deleted: stamp, origin: 'b' }
    const data = `{"n":${i},"exact":12345678901234567890.10,"text":"äöü \\u2028 ${'x'.repeat(i % 50)}"}`
    return {
      kind: 'entry',
      key,
      created: stamp,
      updated: i % 3 === 0 ? stamp + 5n : 0n,
      origin: 'a',
      data,
    }
  })
}

export async function backupBytes(
  records: readonly StoredRecord[],
  options: WriteBackupOptions = {},
  header: BackupHeader = HEADER,
): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of writeBackup(header, records, options)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** The bytes in chunks of that size. */
export async function* chunked(
  bytes: Uint8Array,
  size: number = 64 * 1024,
): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size)
}

/** Everything that can be read, with what is damaged. */
export async function readAll(
  bytes: Uint8Array,
  chunkSize?: number,
): Promise<{ readonly records: StoredRecord[]; readonly report: BackupReport }> {
  const records: StoredRecord[] = []
  const collect = async function* (): AsyncGenerator<BackupEvent> {
    for await (const event of readBackup(chunked(bytes, chunkSize))) {
      if (event.type === 'records') records.push(...event.records)
      yield event
    }
  }
  return { records, report: await inspectBackup(collect()) }
}
