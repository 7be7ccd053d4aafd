/** LevelDB on a disk that fills up and clears again: what is refused, what is read, what is there after. */

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isStateError } from '../../src/core/errors.ts'
import type { Row } from '../../src/core/ports/storage-adapter.ts'
import { LevelStorage } from '../../storage-adapters/leveldb/leveldb.ts'
import { put, rowsOf } from '../conformance/storage-case.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { SmallDisk } from '../support/small-disk.ts'

const SEED = Number(process.env.FAULT_SEED ?? 20_260_101)
const ROUNDS = Number(process.env.FULL_DISK_ROUNDS ?? 25)
const MIB = 1024 * 1024

const disk = SmallDisk.mount(6 * MIB)
if (disk === undefined) console.log('skipped: a full disk: only root may mount a small one')

describe.skipIf(disk === undefined)(`LevelDB on a full disk, seed ${SEED}`, () => {
  const root = disk?.directory ?? ''
  let directory: string
  let storage: LevelStorage
  let folders = 0
  /** Moved by hand, so that pauses between attempts cost no time. */
  let nowMs = 0

  const make = (): LevelStorage =>
    new LevelStorage({
      directory,
      writeBufferBytes: 128 * 1024,
      scanPatienceMs: 50,
      nowMs: () => nowMs,
    })

  beforeEach(async () => {
    folders += 1
    directory = join(root, `data${folders}`)
    storage = make()
    await storage.open()
  })
  afterEach(async () => {
    await disk?.clear()
    await storage.close()
    await rm(directory, { recursive: true, force: true })
  })
  afterAll(() => disk?.unmount())

  it('refuses writes with storage_full, reads on, and writes again once there is room', async () => {
    await storage.batch([put('a', '1'), put('b', '1')])
    await disk?.fill()
    expect(await writeUntilRefused(storage, new Map())).toBe(true)
    expect(storage.fault?.code).toBe('storage_full')
    expect(storage.fault?.message).toContain(directory)
    expect(storage.fault?.message).toContain('no space is left')
    expect(await storage.get('a')).toBe('1')
    expect(await storage.getMany(['b', 'none'])).toEqual(['1', undefined])
    expect(await rowsOf(storage, { lt: 'c' })).toEqual([
      ['a', '1'],
      ['b', '1'],
    ])
    await disk?.clear()
    nowMs += 10_000
    await storage.batch([put('a', '2')])
    expect(storage.fault).toBeUndefined()
    expect(storage.recoveries).toBe(1)
    expect(await storage.get('a')).toBe('2')
  })

  it('tries again only after a pause, which is told', async () => {
    await disk?.fill()
    await writeUntilRefused(storage, new Map())
    await disk?.clear()
    await expect(storage.batch([put('a', '1')])).rejects.toSatisfy(
      (error) => isStateError(error, 'storage_full') && /again in \d+ ms/.test(error.message),
    )
    nowMs += 100
    await storage.batch([put('a', '1')])
  })

  it('a scan begun before the disk was full gives its snapshot to the end', async () => {
    const rows = Array.from({ length: 3000 }, (_, i) => put(`n${String(i).padStart(5, '0')}`, 'x'))
    await storage.batch(rows)
    await storage.batch([put('late', '1')])
    const scan = storage.iterate({ gte: 'n' })[Symbol.asyncIterator]()
    const seen: Row[] = []
    for (let i = 0; i < 10; i += 1) seen.push((await scan.next()).value)
    await disk?.fill()
    await writeUntilRefused(storage, new Map(), 'm')
    await disk?.clear()
    nowMs += 10_000
    const writing = storage.batch([put('n00000', 'changed')])
    for (let next = await scan.next(); next.done !== true; next = await scan.next()) {
      seen.push(next.value)
    }
    await writing
    expect(seen.map(([key]) => key)).toEqual(rows.map(({ key }) => key))
    expect(seen.every(([, value]) => value === 'x')).toBe(true)
  })

  it(`over ${ROUNDS} full disks no acknowledged batch is lost and no refused one appears`, async () => {
    const random = new SeededRandom(SEED)
    const rows = new Map<string, string>()
    let refusals = 0
    for (let round = 0; round < ROUNDS; round += 1) {
      // Now and then all the room is gone before, and now and then while a buffer is written out.
      await disk?.fill(random.pick([0, 16, 64, 128, 256, 400]) * 1024)
      const refused = await writeUntilRefused(storage, rows, 'r', random)
      if (refused) refusals += 1
      await expectRows(storage, rows, `round ${round}, full, seed ${SEED}`)
      if (refused && random.chance(0.5)) {
        nowMs += 10_000
        await expect(storage.batch([put('refused', 'x')])).rejects.toSatisfy((error) =>
          isStateError(error, 'storage_full'),
        )
      }
      const isClosedWhileFull = random.chance(0.3)
      if (isClosedWhileFull) await storage.close()
      await disk?.clear()
      if (isClosedWhileFull) {
        await storage.open()
        await expectRows(storage, rows, `round ${round}, closed while full, seed ${SEED}`)
      }
      nowMs += 10_000
      await storage.batch([put('round', String(round))])
      rows.set('round', String(round))
      await expectRows(storage, rows, `round ${round}, cleared, seed ${SEED}`)
      if (!random.chance(0.3)) continue
      await storage.close()
      storage = make()
      await storage.open()
      expect(storage.damage, `round ${round}, seed ${SEED}`).toBeUndefined()
      await expectRows(storage, rows, `round ${round}, opened anew, seed ${SEED}`)
    }
    expect(refusals).toBeGreaterThan(ROUNDS / 4)
  }, 600_000)

  it('opening on a full disk says so', async () => {
    await storage.close()
    await rm(directory, { recursive: true, force: true })
    await disk?.fill()
    await expect(storage.open()).rejects.toSatisfy((error) => isStateError(error, 'storage_full'))
    await disk?.clear()
    await storage.open()
  })

  it('opening on a read-only disk says so, and works once it is writable', async () => {
    await storage.batch([put('a', '1')])
    await storage.close()
    disk?.setReadOnly(true)
    try {
      await expect(storage.open()).rejects.toSatisfy(
        (error) =>
          isStateError(error, 'storage_failed') &&
          error.message.includes(directory) &&
          error.message.includes('mounted read-only'),
      )
    } finally {
      disk?.setReadOnly(false)
    }
    await storage.open()
    expect(await storage.get('a')).toBe('1')
  })
})

/**
 * Writes batches until one is refused with `storage_full`, or 1,500 found room as old rows made place
 * for them; `rows` takes those that were written. True when one was refused.
 */
async function writeUntilRefused(
  storage: LevelStorage,
  rows: Map<string, string>,
  prefix = 'f',
  random: SeededRandom = new SeededRandom(1),
): Promise<boolean> {
  for (let written = 0; written < 1500; written += 1) {
    const value = String(random.next()).repeat(1 + random.below(600))
    // Few keys, so that old rows make room when files are merged; all of a batch hold the same.
    const batch = [0, 1, 2].map((i) => put(`${prefix}${random.below(20)}/${i}`, value))
    try {
      await storage.batch(batch, { durability: random.pick(['process', 'disk'] as const) })
    } catch (error) {
      if (!isStateError(error, 'storage_full')) throw error
      return true
    }
    for (const operation of batch)
      if (operation.type === 'put') rows.set(operation.key, operation.value)
  }
  return false
}

async function expectRows(
  storage: LevelStorage,
  rows: ReadonlyMap<string, string>,
  what: string,
): Promise<void> {
  const found = new Map(await rowsOf(storage))
  const wrong = [...new Set([...found.keys(), ...rows.keys()])].filter(
    (key) => found.get(key) !== rows.get(key),
  )
  expect(wrong, what).toEqual([])
  expect(await storage.getMany([...rows.keys()])).toEqual([...rows.values()])
}
