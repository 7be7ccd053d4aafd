import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { StoredRecord } from '../../../src/core/data/entry.ts'
import type { StorageAdapter } from '../../../src/core/ports/storage-adapter.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import { LevelStorage } from '../../../storage-adapters/leveldb/leveldb.ts'
import { put, rowsOf } from '../../conformance/storage-case.ts'
import { withFault } from '../../conformance/storage-fault.ts'
import { openStore } from '../../support/store.ts'

const FIXTURE = fileURLToPath(new URL('../../fixtures/format-1', import.meta.url))
const LEADER = 'http://leader.example:8800'

/** What `make.mjs` of the fixture wrote down; stamps are decimal text. */
interface Expected {
  readonly id: string
  readonly epoch: string
  readonly head: number
  readonly meta: Readonly<Record<string, string>>
  readonly owed: Readonly<Record<string, readonly (readonly [seq: number, key: string])[]>>
  readonly log: readonly (readonly [seq: number, key: string])[]
  readonly records: readonly Readonly<Record<string, string>>[]
}

const expected = JSON.parse(
  await readFile(join(FIXTURE, 'expected.json'), 'utf8'),
) as unknown as Expected

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ooo-format-'))
  await cp(join(FIXTURE, 'leveldb'), directory, { recursive: true })
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const leaderOf = (key: string): string | undefined =>
  key.startsWith('items/') ? LEADER : undefined

function open(
  options: { adapter?: StorageAdapter; cacheBytes?: number } = {},
): Promise<ReplicationStore> {
  return openStore({ adapter: new LevelStorage({ directory }), name: 'new', leaderOf, ...options })
}

async function recordsOf(store: ReplicationStore): Promise<Readonly<Record<string, string>>[]> {
  const { records } = await store.scan()
  const found: StoredRecord[] = []
  for await (const record of records) found.push(record)
  return found.map((record) =>
    Object.fromEntries(Object.entries(record).map(([name, value]) => [name, String(value)])),
  )
}

async function checkContent(store: ReplicationStore): Promise<void> {
  expect(await recordsOf(store)).toEqual(expected.records)
  expect(store.damaged()).toEqual([])
  expect(store.damageFindings).toEqual([])
  expect(store.id).toBe(expected.id)
  expect(store.head).toBe(expected.head)
  expect(store.meta('cursor')).toBe(expected.meta.cursor)
  // A peer that had followed it goes on where it was.
  expect(store.canResume({ epoch: expected.epoch, seq: expected.head })).toBe(true)
  const owed = await store.pending(LEADER, 1000, new Set())
  expect(owed.map(({ seq, record }) => [seq, record.key])).toEqual(expected.owed[LEADER])
  expect(store.pendingCount(LEADER)).toBe(expected.owed[LEADER]?.length)
  const page = await store.log(0, 1000)
  expect(page.rows.map(({ seq, record }) => [seq, record.key])).toEqual(expected.log)
}

/** Rows of the folder as the engine has them. */
async function rowsOnDisk(): Promise<Map<string, string>> {
  const storage = new LevelStorage({ directory })
  await storage.open()
  try {
    return new Map(await rowsOf(storage))
  } finally {
    await storage.close()
  }
}

describe('a folder in storage format 1', () => {
  it('is in that format, and holds every kind of row', async () => {
    const rows = await rowsOnDisk()
    expect(rows.get('m/format')).toBe('1')
    const kinds = new Set([...rows.keys()].map((row) => row.slice(0, 2)))
    expect([...kinds]).toEqual(['e/', 'l/', 'm/', 'o/'])
    const found = expected.records.map(({ kind }) => kind)
    expect(found.filter((kind) => kind === 'tombstone').length).toBeGreaterThan(3)
    expect(found.filter((kind) => kind === 'entry').length).toBeGreaterThan(10)
    expect(expected.owed[LEADER]?.length).toBeGreaterThan(1)
  })

  it.each([
    ['everything in memory', {}],
    ['a bounded cache', { cacheBytes: 1 }],
  ])('opens with everything intact, with %s, and again', async (_, options) => {
    for (let i = 0; i < 2; i += 1) {
      const store = await open(options)
      await checkContent(store)
      await store.close()
    }
    expect((await rowsOnDisk()).get('m/format')).not.toBe('1')
  })

  it('takes writes afterwards as any other', async () => {
    const store = await open()
    await store.set('settings', '{"theme":"new"}')
    await store.delete('back')
    expect((await store.list('events/*')).map(({ data }) => data)).toHaveLength(5)
    await store.close()
    const again = await open()
    expect((await again.get('settings'))?.data).toBe('{"theme":"new"}')
    expect(await again.get('back')).toBeUndefined()
    expect(again.head).toBe(expected.head + 2)
    expect(again.damageFindings).toEqual([])
    await again.close()
  })

  it('may be cut off at any batch of its upgrade, and is upgraded by the next opening', async () => {
    let cuts = 0
    for (let finished = false; !finished; cuts += 1) {
      await rm(directory, { recursive: true })
      await cp(join(FIXTURE, 'leveldb'), directory, { recursive: true })
      finished = await openUpTo(cuts)
      const store = await open()
      await checkContent(store)
      await store.close()
    }
    expect(cuts).toBeGreaterThan(2)
  })
})

/** Opens a store whose process dies before batch `count`, counted from 0. Whether it opened. */
async function openUpTo(count: number): Promise<boolean> {
  let batches = 0
  const storage = withFault(new LevelStorage({ directory }), (base) => ({
    batch: async (...batch) => {
      if (batches >= count) throw new Error('cut off')
      batches += 1
      return base.batch(...batch)
    },
  }))
  try {
    const store = await open({ adapter: storage })
    await store.close()
    return true
  } catch {
    await storage.close()
    return false
  }
}

describe('a folder of a newer release', () => {
  it('is refused with the formats that can be read, and stays as it is', async () => {
    const writer = new LevelStorage({ directory })
    await writer.open()
    await writer.batch([put('m/format', '99')])
    await writer.close()
    const before = await rowsOnDisk()
    await expect(open()).rejects.toMatchObject({
      code: 'format_unsupported',
      message: expect.stringMatching(/format 99\b.*reads.*1 to \d/),
    })
    expect(await rowsOnDisk()).toEqual(before)
    expect(await readdir(directory)).toContain('CURRENT')
  })
})
