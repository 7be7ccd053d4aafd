/**
 * What earlier releases wrote is read by this one. The fixtures are of release 0.1.0: storage format 2, backup
 * format 1. When a format changes, its fixture stays, and the new one gets its own by `make.mjs`.
 */
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { inspectBackup } from '../../backup/inspect-backup.ts'
import { readBackup } from '../../backup/read-backup.ts'
import type { StoredRecord } from '../../src/core/entry.ts'
import type { Store } from '../../src/store/store.ts'
import { LevelStorage } from '../../storage-adapters/leveldb.ts'
import { rowsOf } from '../conformance/storage-case.ts'
import { openStore } from '../support/store.ts'

const FIXTURE = fileURLToPath(new URL('../fixtures/compat', import.meta.url))
const LEADER = 'http://leader.example:8800'

type Place = readonly [seq: number, key: string]

/** What `make.mjs` of the fixture wrote down; stamps are decimal text. */
interface Expected {
  readonly id: string
  readonly epoch: string
  readonly head: number
  readonly meta: Readonly<Record<string, string>>
  readonly owed: Readonly<Record<string, readonly Place[]>>
  readonly log: readonly Place[]
  readonly records: readonly Readonly<Record<string, string>>[]
}

const expected = JSON.parse(
  await readFile(join(FIXTURE, 'storage/expected.json'), 'utf8'),
) as unknown as Expected

const asTexts = (records: readonly StoredRecord[]): Record<string, string>[] =>
  records
    .map((record) =>
      Object.fromEntries(Object.entries(record).map(([name, value]) => [name, String(value)])),
    )
    .toSorted((a, b) => ((a.key ?? '') < (b.key ?? '') ? -1 : 1))

const wanted = expected.records.toSorted((a, b) => ((a.key ?? '') < (b.key ?? '') ? -1 : 1))

describe('a folder in storage format 2', () => {
  let directory = ''
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'ooo-compat-'))
    await cp(join(FIXTURE, 'storage/leveldb'), directory, { recursive: true })
  })
  afterEach(() => rm(directory, { recursive: true, force: true }))

  const open = (cacheBytes?: number): Promise<Store> =>
    openStore({
      adapter: new LevelStorage({ directory }),
      name: 'new',
      leaderOf: (key) => (key.startsWith('items/') ? LEADER : undefined),
      ...(cacheBytes === undefined ? {} : { cacheBytes }),
    })

  it('is in that format', async () => {
    const storage = new LevelStorage({ directory })
    await storage.open()
    expect(new Map(await rowsOf(storage)).get('m/format')).toBe('2')
    await storage.close()
  })

  it.each([
    ['everything in memory', undefined],
    ['a bounded cache', 1],
  ])('opens with everything intact, with %s, and again', async (_, cacheBytes) => {
    for (let i = 0; i < 2; i++) {
      const store = await open(cacheBytes)
      const found: StoredRecord[] = []
      for await (const record of (await store.scan()).records) found.push(record)
      expect(asTexts(found)).toEqual(wanted)
      expect([store.id, store.head, store.meta('cursor')]).toEqual([
        expected.id,
        expected.head,
        expected.meta.cursor,
      ])
      expect([store.damaged(), store.damageFindings]).toEqual([[], []])
      // A follower that had followed it goes on where it was.
      expect(store.canResume({ epoch: expected.epoch, seq: expected.head })).toBe(true)
      const owed = await store.owed(LEADER, 1000, new Set())
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

describe.each(['backup.ooo', 'backup.jsonl'])('%s in backup format 1', (name) => {
  it('holds everything, undamaged', async () => {
    const bytes = await readFile(join(FIXTURE, name))
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
    expect(asTexts(found)).toEqual(wanted)
  })
})

async function* chunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
