import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readBlock } from '../../../storage-adapters/leveldb/files/block.ts'
import { findFlippedBit, maskedCrc32c } from '../../../storage-adapters/leveldb/files/crc32c.ts'
import { openDatabase } from '../../../storage-adapters/leveldb/files/database.ts'
import { readLogFile, repairLog, writeLog } from '../../../storage-adapters/leveldb/files/log.ts'
import {
  isSoundTable,
  listedBlocks,
  readFooter,
} from '../../../storage-adapters/leveldb/files/table.ts'
import { repairTable } from '../../../storage-adapters/leveldb/files/table-repair.ts'
import { LevelStorage } from '../../../storage-adapters/leveldb/leveldb.ts'
import { put, rowsOf } from '../../conformance/storage-case.ts'
import { SeededRandom } from '../../support/seeded-random.ts'

const SEED = Number(process.env.FAULT_SEED ?? 20_260_101)

function bytesOf(random: SeededRandom, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.below(256)))
}

function flipped(bytes: Buffer, ...bits: number[]): Buffer {
  const copy = Buffer.from(bytes)
  for (const bit of bits) copy.writeUInt8(copy.readUInt8(bit >>> 3) ^ (1 << (bit & 7)), bit >>> 3)
  return copy
}

/** Far quicker than a comparison of each byte by the test runner. */
function isSame(a: readonly Buffer[], b: readonly Buffer[]): boolean {
  return a.length === b.length && a.every((bytes, i) => bytes.equals(b[i] ?? Buffer.alloc(1)))
}

describe('a checksum', () => {
  const random = new SeededRandom(SEED)
  const bytes = bytesOf(random, 1500)
  const stored = maskedCrc32c(bytes, 0, bytes.length)

  it('tells which bit of the content was flipped', () => {
    for (let bit = 0; bit < bytes.length * 8; bit += 7) {
      expect(findFlippedBit(flipped(bytes, bit), 0, bytes.length, stored)).toBe(bit)
    }
  })

  it('tells that a bit of its own was flipped', () => {
    for (let bit = 0; bit < 32; bit += 1) {
      const other = (stored ^ (1 << bit)) >>> 0
      expect(findFlippedBit(bytes, 0, bytes.length, other)).toBe('checksum')
    }
  })

  it('takes two flipped bits for none', () => {
    for (let round = 0; round < 200; round += 1) {
      const first = random.below(bytes.length * 8)
      const second = (first + 1 + random.below(bytes.length * 8 - 1)) % (bytes.length * 8)
      const damaged = flipped(bytes, first, second)
      expect(findFlippedBit(damaged, 0, bytes.length, stored)).toBeUndefined()
    }
  })
})

describe('a log', () => {
  const random = new SeededRandom(SEED + 1)
  const sizes = [12, 500, 32_754, 32_755, 32_761, 90_000, 0, 33, ...Array<number>(150).fill(300)]
  const records = sizes.map((size) => bytesOf(random, size))
  const log = writeLog(records)

  it('is read back as it was written, whatever the sizes of its records', () => {
    const content = readLogFile(log)
    expect(isSame(content.records, records)).toBe(true)
    expect([content.damaged, content.torn]).toEqual([false, false])
    expect(repairLog(log).bytes).toBeUndefined()
  })

  it('loses nothing by a flipped bit, be it in a length, a type, a checksum or a record', () => {
    const starts = readLogFile(log).starts.slice(0, 12)
    const headers = starts.flatMap((start) =>
      Array.from({ length: 7 * 8 }, (_, bit) => start * 8 + bit),
    )
    const others = Array.from({ length: 200 }, () => random.below(log.length * 8))
    for (const bit of [...headers, ...others]) {
      const damaged = flipped(log, bit)
      const { bytes, content } = repairLog(damaged)
      expect(isSame(content.records, records), `bit ${bit}`).toBe(true)
      // What fills the end of a block up belongs to no record.
      expect((bytes ?? damaged).equals(log) || bytes === undefined, `bit ${bit}`).toBe(true)
    }
  })

  it('loses only the record in which more is damaged, and is whole for every reader then', () => {
    const { starts } = readLogFile(log)
    const at = starts[100] ?? 0
    const { bytes, content } = repairLog(flipped(log, (at + 20) * 8, (at + 90) * 8 + 3))
    const rest = records.filter((_, i) => i !== 100)
    const reread = readLogFile(bytes ?? Buffer.alloc(0))
    expect([isSame(content.records, rest), isSame(reread.records, rest)]).toEqual([true, true])
    expect(reread.damaged).toBe(false)
  })

  it('that ends within a record is left as it is', () => {
    for (const cut of [1, 8, 200, 306]) {
      const { bytes, content } = repairLog(log.subarray(0, log.length - cut))
      expect(bytes).toBeUndefined()
      expect([content.torn, content.records.length]).toEqual([true, records.length - 1])
    }
  })
})

describe('files of a database', () => {
  let root: string
  let directory: string
  let table: string
  const rows = Array.from({ length: 3000 }, (_, i) =>
    put(`k${String(i).padStart(5, '0')}`, `v${i}`),
  )

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'ooo-repair-'))
    directory = join(root, 'data')
    const storage = new LevelStorage({ directory })
    await storage.open()
    await storage.batch(rows)
    await storage.close()
    const database = await openDatabase({ directory, cacheBytes: 0, writeBufferBytes: 1 << 22 })
    await database.compactRange('\u0000', '\uffff')
    await database.close()
    table = join(directory, (await readdir(directory)).find((name) => name.endsWith('.ldb')) ?? '')
  })
  afterEach(() => rm(root, { recursive: true, force: true }))

  const keysOf = (bytes: Buffer): string[] => {
    const footer = readFooter(bytes)
    const blocks = (footer && listedBlocks(bytes, footer.index)) ?? []
    return blocks.flatMap((block) =>
      (readBlock(bytes, block) ?? []).map(({ key }) => key.toString('utf8', 0, key.length - 8)),
    )
  }

  it('a sorted file whose lists are gone gives every row back', async () => {
    const sound = await readFile(table)
    const damaged = Buffer.from(sound)
    damaged.fill(0, readFooter(sound)?.metaindex.offset)
    const repaired = repairTable(damaged, sound.length)
    expect(isSoundTable(repaired.bytes)).toBe(true)
    expect(repaired.bytes.length).toBe(sound.length)
    expect(keysOf(repaired.bytes)).toEqual(keysOf(sound))
  })

  it('a sorted file whose lists and a block are gone gives the rows of all other blocks back', async () => {
    const sound = await readFile(table)
    const footer = readFooter(sound)
    const third = (footer && listedBlocks(sound, footer.index))?.[2]
    const damaged = Buffer.from(sound)
    damaged.fill(255, third?.offset, (third?.offset ?? 0) + 300)
    damaged.fill(0, footer?.metaindex.offset)
    const kept = keysOf(repairTable(damaged, sound.length).bytes)
    expect(kept.length).toBeGreaterThan(keysOf(sound).length - 300)
    expect(kept).toEqual([...kept].sort())
  })

  it('a sorted file that was cut short has its old length and the rows before the cut', async () => {
    const sound = await readFile(table)
    const repaired = repairTable(sound.subarray(0, Math.floor(sound.length / 2)), sound.length)
    expect(repaired.bytes.length).toBe(sound.length)
    const kept = keysOf(repaired.bytes)
    expect(kept.length).toBeGreaterThan(1000)
    expect(kept).toEqual(keysOf(sound).slice(0, kept.length))
  })

  it('blocks of rows are read when the newest files are checked, and after a process that died soon', async () => {
    const whole = await readFile(table)
    const open = async (folder: string, checkedBytes: number): Promise<LevelStorage> => {
      const storage = new LevelStorage({ directory: folder, checkedBytes })
      await storage.open()
      return storage
    }
    await writeFile(table, flipped(whole, 4 * whole.length))
    const unchecked = await open(directory, 0)
    expect(unchecked.damage).toBeUndefined()
    const left = join(root, 'left')
    await cp(directory, left, { recursive: true })
    await unchecked.close()
    const died = await open(left, 0)
    expect(died.damage).toContain('is lost')
    expect((await rowsOf(died)).length).toBe(rows.length)
    await died.close()
    const again = await open(left, 0)
    expect(again.damage).toBeUndefined()
    await again.close()
    const checked = await open(directory, 1 << 20)
    expect(checked.damage).toContain('is lost')
    await checked.close()
    expect((await readFile(table)).equals(whole)).toBe(true)
  })

  it('repair finds what is damaged in files that were not checked, and serves all rows afterwards', async () => {
    const whole = await readFile(table)
    await writeFile(table, flipped(whole, 4 * whole.length))
    const storage = new LevelStorage({ directory, checkedBytes: 0 })
    await storage.open()
    const before = storage.batch([put('new', '1')])
    expect(await storage.repair()).toContain('is lost')
    await before
    expect(storage.damage).toContain('is lost')
    expect((await rowsOf(storage)).length).toBe(rows.length + 1)
    expect(await storage.repair()).toBeUndefined()
    await storage.batch([put('newer', '1')])
    await storage.close()
  })
})
