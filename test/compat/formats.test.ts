/**
 * What earlier releases wrote is read by this one. The fixtures are of release 0.1.0: storage formats 2 and 3,
 * backup formats 1 and 2. When a format changes, its fixture stays, and the new one gets its own by `make.mjs`.
 */
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { inspectBackup } from '../../backup/inspect-backup.ts'
import { readBackup } from '../../backup/read-backup.ts'
import { LATEST_STAMP } from '../../src/core/data/clock.ts'
import type { StoredRecord } from '../../src/core/data/entry.ts'
import { FORMAT } from '../../src/store/format/rows.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import { LevelStorage } from '../../storage-adapters/leveldb/leveldb.ts'
import { rowsOf } from '../conformance/storage-case.ts'
import { openStore } from '../support/store.ts'

const FIXTURES = fileURLToPath(new URL('../fixtures', import.meta.url))
const LEADER = 'http://leader.example:8800'

type Place = readonly [seq: number, key: string]
type Shown = Readonly<Record<string, unknown>>

/** What `make.mjs` of the fixture wrote down; stamps are decimal text. */
interface Expected {
  readonly id: string
  readonly epoch: string
  readonly head: number
  readonly meta: Readonly<Record<string, string | undefined>>
  readonly owed: Readonly<Record<string, readonly Place[]>>
  readonly log: readonly Place[]
  readonly records: readonly Shown[]
  /** Since storage format 3. */
  readonly conflicts?: readonly Shown[]
}

/** As JSON has it, stamps as text. */
const shown = (value: unknown): Shown[] =>
  JSON.parse(
    JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? String(part) : part)),
  ) as Shown[]

const byKey = (records: readonly Shown[]): Shown[] =>
  records.toSorted((a, b) => (String(a.key) < String(b.key) ? -1 : 1))

async function expectedOf(folder: string): Promise<Expected> {
  const text = await readFile(join(FIXTURES, folder, 'storage/expected.json'), 'utf8')
  return JSON.parse(text) as unknown as Expected
}

describe.each([
  ['2', 'compat', await expectedOf('compat')],
  ['3', 'compat-3', await expectedOf('compat-3')],
])('a folder in storage format %s', (format, folder, expected) => {
  let directory = ''
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'ooo-compat-'))
    await cp(join(FIXTURES, folder, 'storage/leveldb'), directory, { recursive: true })
  })
  afterEach(() => rm(directory, { recursive: true, force: true }))

  const open = (cacheBytes?: number): Promise<ReplicationStore> =>
    openStore({
      adapter: new LevelStorage({ directory }),
      name: 'new',
      leaderOf: (key) => (key.startsWith('items/') ? LEADER : undefined),
      ...(cacheBytes === undefined ? {} : { cacheBytes }),
    })

  const formatOnDisk = async (): Promise<string | undefined> => {
    const storage = new LevelStorage({ directory })
    await storage.open()
    const rows = new Map(await rowsOf(storage))
    await storage.close()
    return rows.get('m/format')
  }

  it('is in that format, and is upgraded in place', async () => {
    expect(await formatOnDisk()).toBe(format)
    const store = await open()
    await store.close()
    expect(await formatOnDisk()).toBe(FORMAT)
  })

  it.each([
    ['everything in memory', undefined],
    ['a bounded cache', 1],
  ])('opens with everything intact, with %s, and again', async (_, cacheBytes) => {
    for (let i = 0; i < 2; i++) {
      const store = await open(cacheBytes)
      const found: StoredRecord[] = []
      for await (const record of (await store.scan()).records) found.push(record)
      expect(byKey(shown(found))).toEqual(byKey(expected.records))
      const { id, head, meta } = expected
      expect([store.id, store.head, store.meta('cursor')]).toEqual([id, head, meta.cursor])
      expect(store.meta('origin')).toBe(meta.origin)
      expect(shown(await conflictsOf(store))).toEqual(expected.conflicts ?? [])
      expect([store.damaged(), store.damageFindings]).toEqual([[], []])
      // A follower that had followed it goes on where it was.
      expect(store.canResume({ epoch: expected.epoch, seq: expected.head })).toBe(true)
      const owed = await store.pending(LEADER, 1000, new Set())
      expect(owed.map(({ seq, record }) => [seq, record.key])).toEqual(expected.owed[LEADER])
      const page = await store.log(0, 1000)
      expect(page.rows.map(({ seq, record }) => [seq, record.key])).toEqual(expected.log)
      await store.close()
    }
  })

  it('takes writes afterwards, which the next opening finds', async () => {
    const store = await open()
    await store.set('settings', '{"theme":"new"}')
    await store.delete('back')
    await store.close()
    const again = await open()
    expect((await again.get('settings'))?.data).toBe('{"theme":"new"}')
    expect(await again.get('back')).toBeUndefined()
    expect(again.head).toBe(expected.head + 2)
    await again.close()
  })
})

/** The conflict log, whenever it was written. */
function conflictsOf(store: ReplicationStore): Promise<unknown> {
  const log = store.conflictLog({
    maxEntries: 1000,
    oldNs: () => 0n,
    now: () => LATEST_STAMP,
    scopeOf: (key) => key,
    onError: (error) => {
      throw error
    },
  })
  return log.list({ limit: 1000 })
}

it('the folder in storage format 3 has every kind of record with fields', async () => {
  const { records, conflicts = [], owed, meta } = await expectedOf('compat-3')
  const named = new Map(records.map((record) => [record.key, record]))
  const both = expect.stringMatching(/^\d+@fixture-1,\d+@other-node$/)
  const [marks, was] = [expect.any(String), expect.any(String)]
  expect(named.get('items/ahead')).toMatchObject({ kind: 'entry', fields: { marks, was } })
  expect(named.get('items/ahead-gone')).toMatchObject({ kind: 'tombstone', fields: { marks, was } })
  expect(named.get('items/two-clocks')).toMatchObject({ fields: { marks: both } })
  expect(named.get('items/of-later-release')).toMatchObject({ fields: { later: 'x' } })
  expect(conflicts).toMatchObject([{ key: 'contested', loser: { fields: { later: 'x' } } }])
  expect(owed[LEADER]?.map(([, key]) => key)).toContain('items/ahead')
  expect(meta.origin).toMatch(/^fixture-1-r1 /)
})

describe.each([
  [1, 'compat', 'backup.ooo'],
  [1, 'compat', 'backup.jsonl'],
  [2, 'compat-3', 'backup.ooo'],
  [2, 'compat-3', 'backup.jsonl'],
])('in backup format %i %s/%s', (format, folder, name) => {
  it('holds everything, undamaged', async () => {
    const bytes = await readFile(join(FIXTURES, folder, name))
    if (name.endsWith('.jsonl')) expect(bytes.toString()).toContain(`"format":${format},`)
    const expected = await expectedOf(folder)
    const found: StoredRecord[] = []
    async function* collect(): ReturnType<typeof readBackup> {
      for await (const event of readBackup(chunks(bytes))) {
        if (event.type === 'records') found.push(...event.records)
        yield event
      }
    }
    const report = await inspectBackup(collect())
    expect(report.damage).toEqual([])
    expect(report.header?.node).toBe(expected.id)
    expect(byKey(shown(found))).toEqual(byKey(expected.records))
  })
})

async function* chunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
