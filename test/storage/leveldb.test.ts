import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { isStateError } from '../../src/core/errors.ts'
import { LevelStorage } from '../../storage-adapters/leveldb.ts'
import { describeStorage } from '../conformance/storage.ts'
import { put, rowsOf } from '../conformance/storage-case.ts'
import { prepareBuild } from '../support/built.ts'

describeStorage({
  name: 'leveldb',
  create: async () => {
    const directory = await mkdtemp(join(tmpdir(), 'ooo-level-'))
    const adapter = new LevelStorage({ directory })
    return {
      adapter,
      reopen: () => new LevelStorage({ directory }),
      cleanup: () => rm(directory, { recursive: true, force: true }),
    }
  },
})

describe('LevelStorage', () => {
  let root: string
  const opened: LevelStorage[] = []
  const make = (directory: string, maxQueuedBatches?: number): LevelStorage => {
    const storage = new LevelStorage(
      maxQueuedBatches === undefined ? { directory } : { directory, maxQueuedBatches },
    )
    opened.push(storage)
    return storage
  }

  // Other processes run the built adapter, since only the test runner reads TypeScript.
  beforeAll(prepareBuild, 300_000)
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'ooo-level-'))
  })
  afterEach(async () => {
    for (const storage of opened.splice(0)) await storage.close()
    await rm(root, { recursive: true, force: true })
  })

  it('creates the folder and its parents', async () => {
    const directory = join(root, 'a', 'b', 'c')
    await make(directory).open()
    expect(await readdir(directory)).toContain('CURRENT')
  })

  it('refuses a folder that another object holds, and opens it once it is free', async () => {
    const first = make(root)
    const second = make(root)
    await first.open()
    await expect(second.open()).rejects.toSatisfy(
      (error) => isStateError(error, 'in_use') && error.message.includes(root),
    )
    await first.close()
    await second.open()
    await second.batch([put('a', '1')])
  })

  it('refuses a folder that another process holds', async () => {
    const holder = await startChild(root, 'hold')
    try {
      await expect(make(root).open()).rejects.toSatisfy(
        (error) => isStateError(error, 'in_use') && error.message.includes(root),
      )
    } finally {
      await holder.kill()
    }
    await make(root).open()
  })

  it('says clearly that a file is where the folder should be, as the folder or above it', async () => {
    const file = join(root, 'file')
    await writeFile(file, 'not a folder')
    for (const directory of [file, join(file, 'below')]) {
      await expect(make(directory).open()).rejects.toSatisfy(
        (error) =>
          isStateError(error, 'storage_failed') &&
          error.message.includes(directory) &&
          error.message.includes('a file is in its place') &&
          error.cause !== undefined,
      )
    }
  })

  it('reports a damaged database as storage_failed and keeps its files', async () => {
    const first = make(root)
    await first.open()
    await first.batch([put('a', '1')])
    await first.close()
    await writeFile(join(root, 'CURRENT'), 'MANIFEST-999999\n')
    const before = await readdir(root)
    await expect(make(root).open()).rejects.toSatisfy((error) =>
      isStateError(error, 'storage_failed'),
    )
    expect(await readdir(root)).toEqual(expect.arrayContaining(before))
  })

  it('can be opened after a failed open, once the reason is gone', async () => {
    const directory = join(root, 'data')
    await writeFile(directory, 'in the way')
    const storage = make(directory)
    await expect(storage.open()).rejects.toSatisfy((e) => isStateError(e, 'storage_failed'))
    await expect(storage.get('a')).rejects.toSatisfy((e) => isStateError(e, 'not_open'))
    await rm(directory)
    await mkdir(directory)
    await storage.open()
    expect(await storage.get('a')).toBeUndefined()
  })

  it('refuses a batch with overloaded when too many wait, and writes the others', async () => {
    const storage = make(root, 10)
    await storage.open()
    const results = await Promise.allSettled(
      Array.from({ length: 40 }, (_, i) => storage.batch([put(`k${i}`, 'x')])),
    )
    const refused = results.filter((result) => result.status === 'rejected')
    expect(refused).toHaveLength(29)
    expect(refused.every((result) => isStateError(result.reason, 'overloaded'))).toBe(true)
    expect(await rowsOf(storage)).toHaveLength(11)
    await storage.batch([put('after', 'x')])
  })

  for (const durability of ['process', 'disk'] as const) {
    it(`25 killed processes lose no acknowledged batch and tear none, durability ${durability}`, async () => {
      let acknowledged = 0
      for (let round = 0; round < 25; round += 1) {
        const writer = await startChild(root, 'write', durability, String(acknowledged + 1))
        await writer.acknowledged(acknowledged + 5 + round)
        await writer.kill()
        const storage = make(root)
        await storage.open()
        const last = await checkRows(storage, writer.last())
        await storage.close()
        acknowledged = last
      }
      expect(acknowledged).toBeGreaterThan(25)
    }, 120_000)
  }
})

/** Rows one batch of the writing child holds, all with the batch's number. */
const NAMES = ['a', 'b', 'c', 'd', 'e']

/** Every batch up to `acknowledged` must be there, and no batch in part. Gives the newest batch found. */
async function checkRows(storage: LevelStorage, acknowledged: number): Promise<number> {
  const values = await Promise.all(NAMES.map((name) => storage.get(`last/${name}`)))
  expect(new Set(values).size).toBe(1)
  const last = Number(values[0])
  expect(last).toBeGreaterThanOrEqual(acknowledged)
  const rows = await rowsOf(storage, { gte: 'batch/', lt: 'batch0' })
  expect(rows).toHaveLength(last * NAMES.length)
  return last
}

interface Child {
  /** Resolves when the child has said that batch `number` is written. */
  acknowledged(number: number): Promise<void>
  /** The newest batch the child acknowledged. */
  last(): number
  kill(): Promise<void>
}

/** A real process on the folder; resolves once it has opened it. */
async function startChild(directory: string, ...options: string[]): Promise<Child> {
  const script = join(import.meta.dirname, 'leveldb-child.mjs')
  const child = spawn(process.execPath, [script, directory, ...options], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()))
  let output = ''
  let errors = ''
  let wake: () => void = () => undefined
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
    wake()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  exited.then(() => wake())
  const last = (): number => {
    const complete = output.slice(0, output.lastIndexOf('\n'))
    return Number(/(\d+)$/.exec(complete)?.[1] ?? -1)
  }
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) {
      if (child.exitCode !== null) throw new Error(`the child ended early: ${errors}`)
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  await until(() => output.includes('\n'))
  return {
    acknowledged: (number) => until(() => last() >= number),
    last,
    kill: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}
