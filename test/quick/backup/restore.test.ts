import { describe, expect, test } from 'vitest'
import type { BackupFlaws } from '../../../backup/format/header.ts'
import { readBackup } from '../../../backup/read-backup.ts'
import { mergeBackup, restoreStorage } from '../../../backup/restore-records.ts'
import { backupOfStore } from '../../../backup/store-backup.ts'
import { type WriteBackupOptions, writeBackup } from '../../../backup/write-backup.ts'
import { HybridClock } from '../../../src/core/data/clock.ts'
import { type StoredRecord, versionOf } from '../../../src/core/data/entry.ts'
import { isOriginOf } from '../../../src/core/data/origin.ts'
import {
  type FormerLog,
  isOnFormer,
  readFormerLogs,
} from '../../../src/store/lineage/former-logs.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { backupBytes, chunked, HEADER, makeRecords } from '../../backup/fixtures.ts'
import { ManualTime, openStore } from '../../support/store.ts'

async function recordsOf(store: ReplicationStore): Promise<StoredRecord[]> {
  const records: StoredRecord[] = []
  for await (const record of (await store.scan()).records) records.push(record)
  return records
}

async function toArray<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

const newOptions = () => {
  let ids = 0
  return { time: new ManualTime(), newId: () => `new-${ids++}`, cacheBytes: 1024 * 1024 }
}

/** A backup of a store, as bytes. */
async function backUp(store: ReplicationStore, clock: HybridClock): Promise<Buffer> {
  const { header, records } = await backupOfStore(store, {
    clock,
    time: new ManualTime(),
    scopes: ['items/*'],
  })
  const chunks: Uint8Array[] = []
  for await (const chunk of writeBackup(header, records)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

describe('a storage made from a backup', () => {
  test('has every record, the id of the node, a new epoch and a later clock', async () => {
    const clock = new HybridClock(new ManualTime())
    const store = await openStore({ name: 'old', clock })
    for (let i = 0; i < 300; i++) await store.set(`items/${i}`, `{"n":${i}}`)
    await store.delete('items/7')
    await store.set('settings', '12345678901234567890')
    const before = await recordsOf(store)
    const cursor = { epoch: store.epoch, seq: 3 }
    expect(store.canResume(cursor)).toBe(true)
    const bytes = await backUp(store, clock)
    const { id } = store
    await store.close()

    const adapter = new MemoryStorage()
    const header = { ...HEADER, node: id, clock: clock.last + 1_000_000n }
    const counts = await restoreStorage(adapter, header, readBackup(chunked(bytes)), newOptions())
    expect(counts).toEqual({
      applied: 301,
      equal: 0,
      superseded: 0,
      refused: 0,
      restamped: 0,
      damage: 0,
    })

    const restored = await openStore({ adapter, name: 'other' })
    expect(await recordsOf(restored)).toEqual(before)
    expect(restored.id).toBe(id)
    // No follower's place in the old log is taken for one in the new log.
    expect(restored.canResume(cursor)).toBe(false)
    const { version } = await restored.set('a', '1')
    expect(version).toBeGreaterThan(header.clock)
    expect(version).toBeGreaterThan(before.map(versionOf).reduce((a, b) => (a > b ? a : b)))
    await restored.close()
  })

  test('writes under another origin of the same node, each time another one', async () => {
    const clock = new HybridClock(new ManualTime())
    const store = await openStore({ name: 'old', clock })
    await store.set('items/a', '1')
    const bytes = await backUp(store, clock)
    const { id } = store
    // It is not in the backup, and may be at other nodes under the first origin.
    const unknown = await store.set('items/a', '2')
    await store.close()

    const origins: string[] = []
    for (const draw of ['first', 'second']) {
      const adapter = new MemoryStorage()
      const header = { ...HEADER, node: id, clock: clock.last }
      const options = { ...newOptions(), newId: () => draw }
      await restoreStorage(adapter, header, readBackup(chunked(bytes)), options)
      const restored = await openStore({ adapter })
      expect((await restored.keyState('items/a'))?.record.origin).toBe(id)
      const { origin } = await restored.set('items/a', '3')
      await restored.close()
      const again = await openStore({ adapter })
      expect((await again.set('items/a', '4')).origin).toBe(origin)
      await again.close()
      origins.push(origin)
    }
    for (const origin of origins) {
      expect(origin).toMatch(/-b[0-9a-f]{16}$/)
      expect(isOriginOf(id, origin)).toBe(true)
    }
    expect(new Set([unknown.origin, ...origins]).size).toBe(3)
  })

  test('keeps the clock even when the backup has no records', async () => {
    const adapter = new MemoryStorage()
    const bytes = await backupBytes([])
    const header = { ...HEADER, clock: 1_900_000_000_000_000_000n }
    await restoreStorage(adapter, header, readBackup(chunked(bytes)), newOptions())
    const store = await openStore({ adapter })
    expect((await store.set('a', '1')).version).toBeGreaterThan(header.clock)
    await store.close()
  })

  test('is refused where something is stored already', async () => {
    const adapter = new MemoryStorage()
    const store = await openStore({ adapter })
    await store.close()
    const bytes = await backupBytes(makeRecords(5))
    const restoring = restoreStorage(adapter, HEADER, readBackup(chunked(bytes)), newOptions())
    await expect(restoring).rejects.toMatchObject({ code: 'in_use' })
  })

  test('that was cut off is opened by no store, and made again from its beginning', async () => {
    const adapter = new MemoryStorage()
    const bytes = await backupBytes(makeRecords(3000), { blockBytes: 10_000 })
    const cut = readBackup(chunked(bytes.subarray(0, bytes.length - 5000)))
    const restoring = restoreStorage(adapter, HEADER, cut, newOptions())
    await expect(restoring).rejects.toMatchObject({ code: 'corrupt_record' })
    await adapter.open()
    const rows: string[] = []
    for await (const [key] of adapter.iterate()) rows.push(key)
    await adapter.close()
    expect(rows.length).toBeGreaterThan(1000)
    await expect(openStore({ adapter })).rejects.toMatchObject({
      code: 'format_unsupported',
      message: expect.stringContaining('restoring'),
    })
    const part = await backupBytes(makeRecords(10))
    await restoreStorage(adapter, HEADER, readBackup(chunked(part)), newOptions())
    const store = await openStore({ adapter })
    expect(await recordsOf(store)).toEqual(makeRecords(10))
    expect(store.damaged()).toEqual([])
    expect(store.damageFindings).toEqual([])
    await store.close()
  })

  test('takes a new id when that of the backup cannot be used', async () => {
    const adapter = new MemoryStorage()
    const bytes = await backupBytes(makeRecords(5))
    await restoreStorage(
      adapter,
      { ...HEADER, node: 'a b' },
      readBackup(chunked(bytes)),
      newOptions(),
    )
    const store = await openStore({ adapter })
    expect(store.id).toMatch(/^new-/)
    await store.close()
  })

  /** Of a store made from this backup. */
  async function formerLogs(bytes: Buffer): Promise<readonly FormerLog[]> {
    const adapter = new MemoryStorage()
    const [event] = await toArray(readBackup(chunked(bytes)))
    if (event?.type !== 'header') throw new Error('no header')
    const options = { ...newOptions(), salvage: true }
    await restoreStorage(adapter, event.header, readBackup(chunked(bytes)), options)
    const store = await openStore({ adapter })
    const former = readFormerLogs(store)
    expect(former.every(({ own }) => store.canResume(own))).toBe(true)
    await store.close()
    return former
  }

  test('knows which log its records come from, if all of them are there', async () => {
    const clock = new HybridClock(new ManualTime())
    const store = await openStore({ name: 'sound', clock })
    for (let i = 0; i < 300; i++) await store.set(`items/${i}`, `{"n":${i}}`)
    const { header, records } = await backupOfStore(store, {
      ...{ clock, time: new ManualTime(), scopes: [] },
    })
    const all = await toArray(records)
    const write = async (options: WriteBackupOptions): Promise<Buffer> =>
      Buffer.concat(await toArray(writeBackup(header, all, { blockBytes: 2000, ...options })))
    const bytes = await write({})
    const place = { place: { epoch: store.epoch, seq: 300 }, seen: null }
    const [former] = await formerLogs(bytes)
    expect(former && isOnFormer(former, place)).toBe(true)
    expect(await formerLogs(await write({ format: 'jsonl' }))).toHaveLength(1)

    const damaged = Buffer.from(bytes)
    const at = Math.floor(bytes.length / 2)
    damaged[at] = (damaged[at] ?? 0) ^ 4
    expect(await formerLogs(damaged)).toEqual([])
    expect(await formerLogs(bytes.subarray(0, bytes.length - 10))).toEqual([])
    const flaws = (): BackupFlaws => ({ damaged: ['items/x'], findings: [] })
    expect(await formerLogs(await write({ flaws }))).toEqual([])
    const lines = (await write({ format: 'jsonl' })).toString().split('\n')
    const edited = lines.filter((_line, i) => i !== 5)
    expect(await formerLogs(Buffer.from(edited.join('\n')))).toEqual([])
    await store.close()
  })

  test('is given up at the first damage, unless what can be read is asked for', async () => {
    const records = makeRecords(500)
    const bytes = await backupBytes(records, { blockBytes: 2000 })
    const at = Math.floor(bytes.length / 2)
    bytes[at] = (bytes[at] ?? 0) ^ 4
    const restoring = restoreStorage(
      new MemoryStorage(),
      HEADER,
      readBackup(chunked(bytes)),
      newOptions(),
    )
    await expect(restoring).rejects.toMatchObject({
      code: 'corrupt_record',
      message: expect.stringMatching(/block \d+ at byte \d+/),
    })
    const adapter = new MemoryStorage()
    const options = { ...newOptions(), salvage: true }
    const counts = await restoreStorage(adapter, HEADER, readBackup(chunked(bytes)), options)
    expect(counts.damage).toBeGreaterThan(0)
    expect(counts.applied).toBeGreaterThan(460)
    expect(counts.applied).toBeLessThan(500)
    const store = await openStore({ adapter })
    const known = new Map(records.map((record) => [record.key, record]))
    for (const record of await recordsOf(store)) expect(record).toEqual(known.get(record.key))
    await store.close()
  })
})

describe('a backup merged into a store', () => {
  test('keeps per key the newer one, and does not bring back what was deleted since', async () => {
    const clock = new HybridClock(new ManualTime())
    const store = await openStore({ clock })
    for (const key of ['kept', 'changed', 'deleted', 'lost']) await store.set(key, '"old"')
    const bytes = await backUp(store, clock)
    await store.close()
    // Another life of the node: it has lost one key, changed one, deleted one.
    const { events, other } = { events: readBackup(chunked(bytes)), other: await openStore() }
    const copies = (await collect(readBackup(chunked(bytes)))).filter(({ key }) => key !== 'lost')
    await other.merge(copies, { source: 'test' })
    await other.set('changed', '"new"')
    await other.delete('deleted')
    const counts = await mergeBackup(other, events)
    expect(counts).toEqual({
      applied: 1,
      equal: 1,
      superseded: 2,
      refused: 0,
      restamped: 0,
      damage: 0,
    })
    expect((await other.get('changed'))?.data).toBe('"new"')
    expect((await other.get('lost'))?.data).toBe('"old"')
    expect(await other.get('deleted')).toBeUndefined()
    await other.close()
  })

  test('gives what is beyond the latest that is allowed stamps of the node, as it was written', async () => {
    const store = await openStore()
    const records = makeRecords(3)
    const bytes = await backupBytes(records)
    const { applied, restamped } = await mergeBackup(store, readBackup(chunked(bytes)), {
      latest: 1_600_000_000_000_000_000n,
    })
    expect([applied, restamped]).toEqual([3, 3])
    const origins = new Set<string>()
    for (const { key } of records) origins.add((await store.keyState(key))?.record.origin ?? '')
    expect([...origins]).toEqual([store.id])
    await store.close()
  })
})

async function collect(events: ReturnType<typeof readBackup>): Promise<StoredRecord[]> {
  const records: StoredRecord[] = []
  for await (const event of events) if (event.type === 'records') records.push(...event.records)
  return records
}
