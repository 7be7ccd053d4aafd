/**
 * Damage to the files of an open database: it is found by what reads them, repaired beneath the running
 * store, and told. No read ever gives anything but what was written, or says that it can not.
 */

import { createHash } from 'node:crypto'
import { mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isStateError } from '../../src/core/errors.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import { openDatabase } from '../../storage-adapters/leveldb/files/database.ts'
import { LevelStorage } from '../../storage-adapters/leveldb/leveldb.ts'
import { openStore, type TestStoreOptions } from '../support/store.ts'
import { waitFor } from '../support/wait.ts'

const ENTRIES = 2000
/** Most rows of a block: some 4 KiB before it is packed. */
const BLOCK_ROWS = 60
const keyOf = (i: number): string => `items/${String(i).padStart(5, '0')}`
const tokenOf = (i: number): string => createHash('sha256').update(String(i)).digest('hex')
const dataOf = (i: number): string => JSON.stringify({ i, token: tokenOf(i) })

let directory: string
let store: ReplicationStore
const make = (): LevelStorage => {
  // Without a cache of its own the engine reads the file each time.
  return new LevelStorage({ directory, cacheBytes: 0, writeBufferBytes: 64 * 1024 })
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ooo-live-'))
  const writer = await openStore({ adapter: make(), name: 'writer', cacheBytes: 0 })
  for (let i = 0; i < ENTRIES; i += 1) await writer.set(keyOf(i), dataOf(i))
  await writer.close()
  // One level of sorted files, which nothing merges while they are being damaged: merged rows have new
  // checksums around them, and only their own ones tell.
  const buffers = { cacheBytes: 0, writeBufferBytes: 64 * 1024 }
  const database = await openDatabase({ directory, ...buffers })
  await database.compactRange('\u0000', '\uffff')
  await database.close()
})
afterEach(async () => {
  await store.close()
  await rm(directory, { recursive: true, force: true })
})

/** The file that holds the record of an entry, by the start of its token, and where. */
async function placeOf(i: number): Promise<{ path: string; at: number }> {
  for (const name of (await readdir(directory)).filter((file) => file.endsWith('.ldb'))) {
    const path = join(directory, name)
    const at = (await readFile(path)).indexOf(tokenOf(i).slice(0, 12))
    if (at !== -1) return { path, at }
  }
  throw new Error(`no file has entry ${i}`)
}

async function overwrite(path: string, at: number, bytes: Buffer): Promise<void> {
  const file = await open(path, 'r+')
  try {
    await file.write(bytes, 0, bytes.length, at)
  } finally {
    await file.close()
  }
}

/** What reads of all entries say; fails at any that is neither right nor refused. */
async function readAll(): Promise<{ refused: string[] }> {
  const refused: string[] = []
  for (let i = 0; i < ENTRIES; i += 1) {
    const key = keyOf(i)
    try {
      expect((await store.get(key))?.data, key).toBe(dataOf(i))
    } catch (error) {
      if (!isStateError(error, 'corrupt_record')) throw error
      refused.push(key)
    }
  }
  return { refused }
}

/** An entry whose value stands in a file as it is, far from the last ones. */
const DAMAGED = 1007

describe('no cache', () => {
  const options: TestStoreOptions = { cacheBytes: 0 }

  it('a flipped bit is found by a read, told, and costs at most the row it is in', async () => {
    store = await openStore({ ...options, adapter: make() })
    const { path, at } = await waitFor(() => placeOf(DAMAGED))
    const byte = (await readFile(path)).readUInt8(at)
    await overwrite(path, at, Buffer.of(byte ^ 4))
    let refused: string[] = []
    await waitFor(async () => {
      refused = (await readAll()).refused
      const isTold = store.damageFindings.length + store.damaged().length > 0
      return isTold && refused.length === store.damaged().length
    })
    // The engine may have merged the block, with a new checksum around it, before it was read.
    expect([[], [keyOf(DAMAGED)]]).toContainEqual(refused)
    expect((await store.keys('items/')).length).toBe(ENTRIES - refused.length)
  })

  it('an overwritten block costs its own rows, which are named before they are taken for absent', async () => {
    store = await openStore({ ...options, adapter: make() })
    const { path, at } = await waitFor(() => placeOf(DAMAGED))
    await overwrite(path, at, Buffer.alloc(400, 255))
    let refused: string[] = []
    await waitFor(async () => {
      refused = (await readAll()).refused
      return store.damageFindings.length > 0 && refused.length === store.damaged().length
    })
    expect(refused.length).toBeGreaterThan(0)
    expect(refused.length).toBeLessThanOrEqual(BLOCK_ROWS)
    expect([...store.damaged()].sort()).toEqual(refused)
    expect(store.damagedCount('items/*')).toBe(refused.length)
    expect((await store.keys('items/')).length).toBe(ENTRIES - refused.length)
    for (const key of refused) await store.set(key, dataOf(Number(key.slice(6))))
    expect((await readAll()).refused).toEqual([])
    await store.close()
    store = await openStore({ ...options, adapter: make() })
    expect((await readAll()).refused).toEqual([])
    expect(store.damaged()).toEqual([])
  })
})

describe('everything in memory', () => {
  it('an overwritten block is found by a scan, and written again from memory', async () => {
    store = await openStore({ adapter: make() })
    const { path, at } = await waitFor(() => placeOf(DAMAGED))
    await overwrite(path, at, Buffer.alloc(400, 255))
    await expect(scanned()).rejects.toSatisfy((error) => isStateError(error, 'corrupt_record'))
    await waitFor(async () => {
      if (store.damageFindings.length === 0) return false
      return (await scanned().catch(() => 0)) === ENTRIES
    })
    expect((await readAll()).refused).toEqual([])
    expect(store.damaged()).toEqual([])
    await store.close()
    store = await openStore({ adapter: make() })
    expect((await readAll()).refused).toEqual([])
    expect(store.damageFindings).toEqual([])
  })

  async function scanned(): Promise<number> {
    const { rows } = await store.scanRows()
    let count = 0
    for await (const _row of rows) count += 1
    return count
  }
})
