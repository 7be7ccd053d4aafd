import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { type BrokenRow, decodeKoRow, readKoFolder } from '../../../backup/ko-records.ts'
import type { Entry, StoredRecord } from '../../../src/core/data/entry.ts'
import { LevelStorage } from '../../../storage-adapters/leveldb/leveldb.ts'
import { openStore } from '../../support/store.ts'

/** Written by `ko-fixture/main.go` with the engine and the values of the Go server. */
const FIXTURE = fileURLToPath(new URL('../../backup/ko-fixture/db', import.meta.url))
const START = 1_700_000_000_123_456_789n

const folders: string[] = []

afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ooo-ko-'))
  folders.push(folder)
  return folder
}

async function readAll(
  directory: string,
): Promise<{ records: StoredRecord[]; broken: BrokenRow[] }> {
  const records: StoredRecord[] = []
  const broken: BrokenRow[] = []
  for await (const record of readKoFolder(directory, (row) => broken.push(row)))
    records.push(record)
  return { records, broken }
}

async function copyOfFixture(): Promise<string> {
  const folder = await newFolder()
  await cp(FIXTURE, folder, { recursive: true })
  return folder
}

test('keys, stamps and data of a Go server are read exactly, from tables and log', async () => {
  const { records } = await readAll(await copyOfFixture())
  expect(records).toHaveLength(303)
  const byKey = new Map(records.map((record) => [record.key, record as Entry]))
  for (let i = 0; i < 300; i++) {
    const stamp = START + BigInt(i)
    const key = `items/${stamp.toString(16).padStart(16, '0')}`
    const data = `{"n":${i},"text":"line ${i}"}`
    expect(byKey.get(key)).toEqual({
      kind: 'entry',
      key,
      created: stamp,
      updated: 0n,
      origin: 'ko',
      data,
    })
  }
  // What was written after the folder was opened again, over what was there before.
  expect(byKey.get('settings')).toMatchObject({
    created: START,
    updated: START + 7n,
    data: String.raw`{"big":12345678901234567890,"exact":1.10,"html":"\u003cb\u003e\u0026\u003c/b\u003e","ü":"\u2028"}`,
  })
  expect(byKey.get('users/jane_doe')).toMatchObject({
    updated: START + 600n,
    data: '[1,2.50,{"deep":null}]',
  })
  expect(byKey.get('pivot/items')?.data).toBe('1700000000123456999')
  expect(byKey.has('gone')).toBe(false)
  expect(records.map(({ key }) => key)).toEqual([...byKey.keys()].sort())
})

test('rows that are no entries are told by key and reason, and cost nothing else', async () => {
  const { broken } = await readAll(await copyOfFixture())
  expect(Object.fromEntries(broken.map(({ key, reason }) => [key, reason]))).toEqual({
    'broken key!': 'its key is none that an entry can have',
    'broken/bytes': 'it is not UTF-8',
    'broken/cut': expect.stringContaining('invalid JSON'),
    'broken/empty': 'it is empty',
    'broken/nodata': 'it has no "data"',
    'broken/stamp': 'its "created" is "yesterday", not nanoseconds',
    'broken/text': expect.stringContaining('invalid JSON'),
  })
})

test('imported records are the same records on every node, so importing twice changes nothing', async () => {
  const store = await openStore()
  const { records } = await readAll(await copyOfFixture())
  const first = await store.merge(records, { source: 'import' })
  expect(new Set(first)).toEqual(new Set(['applied']))
  const again = await readAll(await copyOfFixture())
  expect(new Set(await store.merge(again.records, { source: 'import' }))).toEqual(
    new Set(['equal']),
  )
  await store.close()
})

test('a folder of our own is refused', async () => {
  const folder = await newFolder()
  const store = await openStore({ adapter: new LevelStorage({ directory: folder }) })
  await store.set('a', '1')
  await store.close()
  await expect(readAll(folder)).rejects.toMatchObject({
    code: 'invalid_option',
    message: expect.stringContaining('not of a Go server'),
  })
})

test('a folder without a database is not made into one', async () => {
  await expect(readAll(await newFolder())).rejects.toMatchObject({ code: 'storage_failed' })
})

test.each([
  ['-5', /"created" is -5/],
  ['1.5', /"created" is 1.5/],
  ['9223372036854775808', /"created" is 9223372036854775808/],
  ['"12"', /"created" is "12"/],
])('a stamp of %s is refused', (stamp, message) => {
  const value = Buffer.from(`{"created":${stamp},"updated":0,"index":"a","data":1}`)
  expect(() => decodeKoRow(Buffer.from('a'), value)).toThrow(message)
})
