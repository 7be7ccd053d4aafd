/**
 * Damage to the files of a closed database: one flipped bit, a file cut short, a file gone. What the
 * store then says must be what was written, or the damage must be told; never less, never other.
 */

import {
  copyFile,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isStateError } from '../../src/core/errors.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import { readManifest } from '../../storage-adapters/leveldb/files/manifest.ts'
import { LevelStorage } from '../../storage-adapters/leveldb/leveldb.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { openStore } from '../support/store.ts'

const SEED = Number(process.env.FAULT_SEED ?? 20_260_101)
const FLIPS = Number(process.env.FLIP_ROUNDS ?? 200)
const CUTS = Number(process.env.CUT_ROUNDS ?? 40)

const NOTHING_LOST = { wrong: [], broken: [] }

/** Keys written, with the data that must be there; undefined for a deleted one. */
type Expected = ReadonlyMap<string, string | undefined>

/** What opening and reading a damaged database came to. */
interface Outcome {
  /** Who told of damage, and how; undefined when nobody did. */
  readonly told: string | undefined
  /** Keys whose reads answered, but not with what was written. */
  readonly wrong: readonly string[]
  /** Keys whose reads were refused as damaged. */
  readonly broken: readonly string[]
}

describe(`damaged LevelDB files, seed ${SEED}`, () => {
  let root: string
  let sound: string
  let expected: Expected
  let files: string[]
  /** Files that hold rows, or say which do; the engine leaves others behind now and then. */
  let used: string[]

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'ooo-damage-'))
    sound = join(root, 'sound')
    expected = await build(sound, new SeededRandom(SEED))
    files = (await readdir(sound)).sort()
    const manifest = files.find((name) => name.startsWith('MANIFEST')) ?? ''
    const tables = readManifest(await readFile(join(sound, manifest)))?.tables ?? new Map()
    const isUsed = (name: string): boolean =>
      tables.has(Number.parseInt(name, 10)) || /\.log$|^MANIFEST/.test(name)
    used = files.filter(isUsed)
  })
  afterAll(() => rm(root, { recursive: true, force: true }))

  /** Damages a copy and reads all of it through a store. */
  const run = async (damage: (directory: string) => Promise<void>): Promise<Outcome> => {
    const directory = join(root, 'copy')
    await rm(directory, { recursive: true, force: true })
    await mkdir(directory)
    for (const name of files) await copyFile(join(sound, name), join(directory, name))
    await damage(directory)
    return readBack(directory, expected)
  }

  it('the database has sorted files, a log with rows, and opens without a word', async () => {
    expect(used.filter((name) => name.endsWith('.ldb')).length).toBeGreaterThanOrEqual(2)
    const log = files.find((name) => name.endsWith('.log')) ?? ''
    expect((await stat(join(sound, log))).size).toBeGreaterThan(1000)
    expect(await run(async () => undefined)).toEqual({ told: undefined, wrong: [], broken: [] })
  })

  it(`${FLIPS} flipped bits cost nothing and are told`, async () => {
    const random = new SeededRandom(SEED + 1)
    const tally = { harmless: 0, told: 0 }
    for (let round = 0; round < FLIPS; round += 1) {
      const name = pickFile(files, random)
      const size = (await stat(join(sound, name))).size
      const bit = random.below(size * 8)
      const outcome = await run((directory) => flip(join(directory, name), bit))
      const { wrong, broken } = outcome
      expect({ wrong, broken }, `bit ${bit} of ${name}, seed ${SEED}`).toEqual(NOTHING_LOST)
      tally[outcome.told === undefined ? 'harmless' : 'told'] += 1
      if (used.includes(name) && !isUnreadBit(name, bit, size)) {
        expect(outcome.told, `bit ${bit} of ${name}, seed ${SEED}`).toBeDefined()
      }
    }
    console.log(`flipped bits: ${JSON.stringify(tally)}`)
  }, 600_000)

  it(`${CUTS} files cut short are each harmless or told`, async () => {
    const random = new SeededRandom(SEED + 2)
    for (let round = 0; round < CUTS; round += 1) {
      const name = pickFile(files, random)
      const size = random.below((await stat(join(sound, name))).size + 1)
      const outcome = await run((directory) => truncate(join(directory, name), size))
      expectHarmlessOrTold(outcome, `${name} cut to ${size}, seed ${SEED}`)
    }
  }, 600_000)

  it('any file deleted is harmless or told', async () => {
    for (const name of files) {
      const outcome = await run((directory) => rm(join(directory, name)))
      expectHarmlessOrTold(outcome, `${name} deleted, seed ${SEED}`)
      if (used.includes(name) || name === 'CURRENT') expect(outcome.told, name).toBeDefined()
    }
  }, 600_000)

  it('loses nothing by a flipped bit in a row, and keeps a copy of the damaged file', async () => {
    const name = used.find((file) => file.endsWith('.ldb')) ?? ''
    const directory = join(root, 'copy')
    const outcome = await run((copy) => flip(join(copy, name), 8 * 100))
    expect(outcome.told).toContain(`nothing of ${name} is lost`)
    expect(outcome.wrong).toEqual([])
    expect(await readdir(join(directory, 'damaged-files'))).toContain(name)
    expect(await readFile(join(directory, name))).toEqual(await readFile(join(sound, name)))
    expect((await readBack(directory, expected)).told ?? 'sound again').toBe('sound again')
  })

  it('loses only rows of the damaged block when 300 bytes of it are overwritten', async () => {
    const directory = join(root, 'copy')
    let broken = 0
    for (const name of used.filter((file) => file.endsWith('.ldb'))) {
      const outcome = await run((copy) => overwrite(join(copy, name), 1000, 300))
      // A block has some 4 KiB of rows before it is packed.
      expect(outcome.broken.length, outcome.told).toBeLessThanOrEqual(60)
      expect(outcome.wrong).toEqual([])
      expect(await readdir(join(directory, 'damaged-files'))).toContain(name)
      // What is lost stays known.
      expect((await readBack(directory, expected)).broken).toEqual(outcome.broken)
      broken += outcome.broken.length
    }
    expect(broken).toBeGreaterThan(0)
  })
})

function expectHarmlessOrTold(outcome: Outcome, what: string): void {
  if (outcome.told === undefined) expect(outcome.wrong, what).toEqual([])
}

/** The padding of a footer is never read. */
function isUnreadBit(name: string, bit: number, size: number): boolean {
  return name.endsWith('.ldb') && bit >= (size - 48) * 8 && bit < (size - 8) * 8
}

/** Every kind of file equally often. */
function pickFile(files: readonly string[], random: SeededRandom): string {
  const kinds = new Map<string, string[]>()
  for (const name of files) {
    // The lock is an empty file.
    if (name === 'LOCK') continue
    const kind = name.replace(/\d+/g, '')
    kinds.set(kind, [...(kinds.get(kind) ?? []), name])
  }
  const weighted = ['.ldb', '.ldb', '.log', '.log', 'MANIFEST-', ...kinds.keys()]
  return random.pick(kinds.get(random.pick(weighted)) ?? [])
}

async function flip(path: string, bit: number): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const byte = Buffer.alloc(1)
    await file.read(byte, 0, 1, bit >>> 3)
    byte.writeUInt8(byte.readUInt8(0) ^ (1 << (bit & 7)))
    await file.write(byte, 0, 1, bit >>> 3)
  } finally {
    await file.close()
  }
}

async function overwrite(path: string, start: number, size: number): Promise<void> {
  const file = await open(path, 'r+')
  try {
    await file.write(Buffer.alloc(size, 255), 0, size, start)
  } finally {
    await file.close()
  }
}

/** Live, updated and deleted keys, spread over sorted files of several ages and a log. */
async function build(directory: string, random: SeededRandom): Promise<Expected> {
  const expected = new Map<string, string | undefined>()
  const write = async (store: ReplicationStore, writes: number): Promise<void> => {
    for (let i = 0; i < writes; i += 1) {
      const key = `items/${random.below(400)}`
      if (expected.get(key) !== undefined && random.chance(0.2)) {
        await store.delete(key)
        expected.set(key, undefined)
        continue
      }
      const data = JSON.stringify({ i, text: String(random.next()).repeat(random.below(12)) })
      await store.set(key, data)
      expected.set(key, data)
    }
  }
  for (const writes of [1500, 700, 200]) {
    const adapter = new LevelStorage({ directory, writeBufferBytes: 96 * 1024 })
    const store = await openStore({ adapter, name: `build${writes}` })
    await write(store, writes)
    await store.close()
  }
  return expected
}

async function readBack(directory: string, expected: Expected): Promise<Outcome> {
  const adapter = new LevelStorage({ directory })
  let store: ReplicationStore
  try {
    store = await openStore({ adapter, name: 'reader' })
  } catch (error) {
    if (!isStateError(error)) throw error
    return { told: `open: ${error.code}: ${error.message}`, wrong: [], broken: [] }
  }
  try {
    const wrong: string[] = []
    const broken: string[] = []
    for (const [key, data] of expected) {
      try {
        if ((await store.get(key))?.data !== data) wrong.push(key)
      } catch (error) {
        if (!isStateError(error, 'corrupt_record')) throw error
        broken.push(key)
      }
    }
    const present = [...expected.keys()].filter((key) => expected.get(key) !== undefined)
    const listed = new Set(await store.keys('items/'))
    for (const key of present) if (!listed.has(key) && !broken.includes(key)) wrong.push(key)
    if (listed.size > present.length) wrong.push('a key that was deleted')
    const damaged = [...broken, ...store.damaged()]
    const findings = [...store.damageFindings]
    if (damaged.length > 0) findings.push(`keys: ${damaged.join(' ')}`)
    const told = findings.length > 0 ? findings.join('; ') : undefined
    return { told, wrong: [...new Set(wrong)], broken }
  } finally {
    await store.close()
  }
}
