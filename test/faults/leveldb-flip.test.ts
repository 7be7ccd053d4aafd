/**
 * One flipped bit in a folder of 3,000 entries in sorted files and a log: opening never fails, and every
 * entry is there as it was written. Places are spread evenly over the kinds of files and their regions, so
 * that small ones are hit as well. FLIP_ROUNDS says how many bits.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFile,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDatabase } from '../../storage-adapters/leveldb/files/database.ts'
import { LevelStorage } from '../../storage-adapters/leveldb/leveldb.ts'
import { prepareBuild } from '../support/built.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { openStore } from '../support/store.ts'

const SEED = Number(process.env.FAULT_SEED ?? 20_260_101)
const FLIPS = Number(process.env.FLIP_ROUNDS ?? 120)
const ENTRIES = 3000
const FOOTER = 48

/** A part of a file in which bits are flipped. */
interface Region {
  readonly kind: string
  readonly file: string
  readonly start: number
  readonly end: number
}

describe(`one flipped bit, seed ${SEED}`, () => {
  let root: string
  let sound: string
  let files: string[]
  let regions: Map<string, Region[]>
  const entries = new Map<string, string>()

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'ooo-flip-'))
    sound = join(root, 'sound')
    await build(sound, entries, new SeededRandom(SEED))
    files = (await readdir(sound)).filter((name) => name !== 'LOCK')
    regions = await regionsOf(sound, files)
  }, 120_000)
  afterAll(() => rm(root, { recursive: true, force: true }))

  it('the folder has every kind of region', () => {
    expect([...regions.keys()].sort()).toEqual(
      [
        'CURRENT',
        'MANIFEST',
        'data',
        'filter',
        'footer',
        'index',
        'log',
        'metaindex',
        'trailer',
      ].sort(),
    )
  })

  /** Half of the bits are in blocks of data, which are nearly all of a folder. */
  const pick = (random: SeededRandom): { kind: string; file: string; bit: number } => {
    const kind = random.chance(0.5) ? 'data' : random.pick([...regions.keys()])
    const { file, start, end } = random.pick(regions.get(kind) ?? [])
    return { kind, file, bit: start * 8 + random.below((end - start) * 8) }
  }

  it(`costs no entry, ${FLIPS} times`, async () => {
    const random = new SeededRandom(SEED + 1)
    const lost: Record<string, number> = {}
    const told: Record<string, number> = {}
    const failures: string[] = []
    for (let round = 0; round < FLIPS; round += 1) {
      const { kind, file, bit } = pick(random)
      const directory = join(root, 'copy')
      await copyWith(sound, directory, files, { file, bit })
      const outcome = await missingIn(directory, entries)
      const { missing } = outcome
      lost[kind] = (lost[kind] ?? 0) + missing
      if (outcome.isTold) told[kind] = (told[kind] ?? 0) + 1
      if (missing > 0) failures.push(`bit ${bit} of ${file} (${kind}): ${outcome.text}`)
    }
    console.log(`flips ${FLIPS}: lost ${JSON.stringify(lost)}, told ${JSON.stringify(told)}`)
    expect(failures).toEqual([])
  }, 3_600_000)

  it(`costs no entry where blocks of rows are not checked when opened, ${FLIPS} times`, async () => {
    await prepareBuild()
    const random = new SeededRandom(SEED + 2)
    const flips = Array.from({ length: FLIPS }, () => pick(random))
    const plan = join(root, 'plan.json')
    const copy = join(root, 'copy')
    await writeFile(plan, JSON.stringify({ sound, copy, files, entries: [...entries], flips }))
    const outcomes: ChildOutcome[] = []
    const diedAt: number[] = []
    while (outcomes.length < flips.length) {
      const before = outcomes.length
      const again = before === diedAt.at(-1)
      await runChild([plan, String(before), again ? 'again' : 'first'], outcomes)
      if (outcomes.length === flips.length) break
      // The engine ends the process at some damaged keys; never at the same folder twice.
      expect(diedAt, `bit of ${JSON.stringify(flips[outcomes.length])}`).not.toContain(
        outcomes.length,
      )
      diedAt.push(outcomes.length)
    }
    const told = outcomes.filter(({ isTold }) => isTold).length
    console.log(
      `unchecked flips ${FLIPS}: told ${told}, processes ended by the engine ${diedAt.length}`,
    )
    const failures = outcomes.filter(({ missing, wrong }) => missing.length + wrong.length > 0)
    expect(failures.map((outcome) => ({ ...outcome, ...flips[outcome.i] }))).toEqual([])
  }, 3_600_000)
})

/** What a child tells of one folder. */
interface ChildOutcome {
  readonly i: number
  readonly missing: readonly string[]
  readonly wrong: readonly string[]
  readonly isTold: boolean
}

/** Adds what a child tells until it ends. */
async function runChild(args: readonly string[], outcomes: ChildOutcome[]): Promise<void> {
  const script = join(import.meta.dirname, 'flip-child.mjs')
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  for await (const line of createInterface({ input: child.stdout })) {
    outcomes.push(JSON.parse(line) as ChildOutcome)
  }
  const ended = child.signalCode === null && child.exitCode === null ? once(child, 'close') : []
  await ended
  const isOver =
    child.exitCode === 0 || child.signalCode === 'SIGABRT' || child.signalCode === 'SIGSEGV'
  if (!isOver)
    throw new Error(`the child ended with ${child.exitCode ?? child.signalCode}: ${errors}`)
}

/** Entries in sorted files of the lower levels, and some newer ones in a log. */
async function build(
  directory: string,
  entries: Map<string, string>,
  random: SeededRandom,
): Promise<void> {
  const write = async (from: number, to: number): Promise<void> => {
    const store = await openStore({ adapter: new LevelStorage({ directory }), name: `at${from}` })
    for (let i = from; i < to; i += 1) {
      const key = `items/${String(i).padStart(5, '0')}`
      const data = JSON.stringify({ i, text: String(random.next()).repeat(random.below(12)) })
      await store.set(key, data)
      entries.set(key, data)
    }
    await store.close()
  }
  await write(0, ENTRIES - 200)
  const database = await openDatabase({
    directory,
    cacheBytes: 8 << 20,
    writeBufferBytes: 4 << 20,
  })
  await database.compactRange('\u0000', '\uffff')
  await database.close()
  await write(ENTRIES - 200, ENTRIES)
}

async function copyWith(
  from: string,
  to: string,
  files: readonly string[],
  { file, bit }: { file: string; bit: number },
): Promise<void> {
  await rm(to, { recursive: true, force: true })
  await mkdir(to)
  for (const name of files) await copyFile(join(from, name), join(to, name))
  const damaged = await open(join(to, file), 'r+')
  const byte = Buffer.alloc(1)
  await damaged.read(byte, 0, 1, bit >>> 3)
  byte.writeUInt8(byte.readUInt8(0) ^ (1 << (bit & 7)))
  await damaged.write(byte, 0, 1, bit >>> 3)
  await damaged.close()
}

/** Entries that a store of this folder does not serve as they were written. All, if it can not be opened. */
async function missingIn(
  directory: string,
  entries: ReadonlyMap<string, string>,
): Promise<{ missing: number; isTold: boolean; text: string }> {
  const adapter = new LevelStorage({ directory })
  const store = await openStore({ adapter, name: 'reader' }).catch((error: unknown) =>
    String(error),
  )
  if (typeof store === 'string') return { missing: entries.size, isTold: true, text: store }
  let missing = 0
  for (const [key, data] of entries) {
    const entry = await store.get(key).catch(() => undefined)
    if (entry?.data !== data) missing += 1
  }
  const listed = await store.keys('items/')
  if (listed.length !== entries.size - missing) missing += 1
  const text = [...store.damageFindings, `${store.damaged().length} damaged`].join('; ')
  const isTold = store.damageFindings.length > 0 || store.damaged().length > 0
  await store.close()
  return { missing, isTold, text }
}

/** The regions of all files, by kind. Read by what the format says, not by the code under test. */
async function regionsOf(
  directory: string,
  files: readonly string[],
): Promise<Map<string, Region[]>> {
  const regions = new Map<string, Region[]>()
  const add = (kind: string, file: string, start: number, end: number): void => {
    if (end > start) regions.set(kind, [...(regions.get(kind) ?? []), { kind, file, start, end }])
  }
  for (const file of files) {
    const { size } = await stat(join(directory, file))
    if (file.endsWith('.log')) add('log', file, 0, size)
    else if (file.startsWith('MANIFEST')) add('MANIFEST', file, 0, size)
    else if (file === 'CURRENT') add('CURRENT', file, 0, size)
    if (!file.endsWith('.ldb')) continue
    const bytes = await readFile(join(directory, file))
    const [metaAt, metaSize, indexAt, indexSize] = varints(bytes, size - FOOTER, 4) as Four
    // The first block of lists is not packed here, as the only name in it does not repeat.
    const name = 'filter.leveldb.BuiltinBloomFilter2'
    const handleAt = bytes.indexOf(name, metaAt) + name.length
    const [filterAt = 0] = varints(bytes, handleAt, 2)
    add('data', file, 0, filterAt)
    add('filter', file, filterAt, metaAt)
    add('metaindex', file, metaAt, metaAt + metaSize + 5)
    add('index', file, indexAt, indexAt + indexSize + 5)
    add('footer', file, size - FOOTER, size)
    // A block's trailer ends where the next block begins: the last one's is before the filter.
    add('trailer', file, filterAt - 5, filterAt)
  }
  return regions
}

type Four = [number, number, number, number]

function varints(bytes: Buffer, at: number, count: number): number[] {
  const numbers: number[] = []
  for (let i = at; numbers.length < count; ) {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes.readUInt8(i)
      i += 1
      value += (byte & 127) * 2 ** shift
      if (byte < 128) break
    }
    numbers.push(value)
  }
  return numbers
}
