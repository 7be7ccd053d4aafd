import { spawn } from 'node:child_process'
import {
  chmod,
  cp,
  mkdir,
  mkdtemp,
  open,
  readdir,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { isStateError } from '../../src/core/errors.ts'
import { LevelStorage } from '../../storage-adapters/leveldb/leveldb.ts'
import { describeStorage } from '../conformance/describe-storage.ts'
import { del, put, rowsOf } from '../conformance/storage-case.ts'
import { prepareBuild } from '../support/built.ts'
import { SmallDisk } from '../support/small-disk.ts'

// A disk of its own can be filled, so that the suite sees writes fail.
const disk = SmallDisk.mount(96 * 1024 * 1024)
afterAll(() => disk?.unmount())

describeStorage({
  name: 'leveldb',
  create: async () => {
    const directory = await mkdtemp(join(disk?.directory ?? tmpdir(), 'ooo-level-'))
    // Moved by hand, so that pauses between attempts cost no time.
    let nowMs = 0
    const make = (folder: string): LevelStorage =>
      new LevelStorage({ directory: folder, nowMs: () => nowMs })
    const adapter = make(directory)
    return {
      adapter,
      reopen: () => make(directory),
      createSecond: () => make(directory),
      // What a killed process leaves is what the operating system has at that moment.
      crash: async () => {
        await cp(directory, `${directory}-left`, { recursive: true })
        return make(`${directory}-left`)
      },
      ...(disk && {
        disturb: async () => {
          await disk.fill()
          // The last page of the log may still have room for a small batch, not for this one.
          const large = [put('large', 'x'.repeat(10_000)), del('large')]
          await expect(adapter.batch(large)).rejects.toThrow('no space is left')
          return async () => {
            await disk.clear()
            nowMs += 10_000
          }
        },
      }),
      cleanup: async () => {
        await rm(directory, { recursive: true, force: true })
        await rm(`${directory}-left`, { recursive: true, force: true })
      },
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

  it('refuses batches beyond the characters that may wait, but for a single one', async () => {
    const storage = new LevelStorage({ directory: root, maxQueuedBytes: 1000 })
    opened.push(storage)
    await storage.open()
    const write = (key: string, length: number): Promise<void> =>
      storage.batch([{ type: 'put', key, value: 'x'.repeat(length) }])
    const results = await Promise.allSettled([write('a', 900), write('b', 200), write('c', 50)])
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(results[1]).toMatchObject({ reason: { code: 'overloaded' } })
    expect(await storage.getMany(['a', 'b'])).toEqual(['x'.repeat(900), undefined])
    await write('b', 5000)
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

  it('tells by `lost` that its folder was deleted, and answers no call from then on', async () => {
    const directory = join(root, 'gone')
    const storage = new LevelStorage({ directory, folderCheckMs: 20 })
    opened.push(storage)
    await storage.open()
    await storage.batch([put('a', '1')])
    await rm(directory, { recursive: true })
    const reason = await storage.lost
    expect(reason?.message).toBe(`storage: folder "${directory}" was deleted while it was open`)
    expect(reason?.meaning.status).toBe(503)
    for (const work of [storage.get('a'), storage.batch([put('b', '2')]), rowsOf(storage)]) {
      await expect(work).rejects.toThrow('was deleted')
    }
    await storage.close()
    await storage.open()
    expect(await rowsOf(storage)).toEqual([])
    await storage.batch([put('a', '3')])
    await storage.close()
  })

  it('refuses a folder that another process holds', async () => {
    const holder = await startHolder(root)
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

  it('says clearly that it may not write to the folder', async () => {
    const isRoot = process.geteuid?.() === 0
    await chmod(root, 0o555)
    // Nothing is forbidden to root, so another user asks.
    if (isRoot) process.seteuid?.(65_534)
    try {
      for (const directory of [root, join(root, 'below')]) {
        await expect(make(directory).open()).rejects.toSatisfy(
          (error) =>
            isStateError(error, 'storage_failed') &&
            error.message.includes(directory) &&
            error.message.includes('permission denied'),
        )
      }
    } finally {
      if (isRoot) process.seteuid?.(0)
      await chmod(root, 0o755)
    }
    await make(root).open()
  })

  it('brings back a database whose list of files is damaged, tells it, and keeps that file', async () => {
    const first = make(root)
    await first.open()
    await first.batch([put('a', '1'), put('b', '2')])
    await first.close()
    await writeFile(join(root, 'CURRENT'), 'MANIFEST-999999\n')
    const second = make(root)
    await second.open()
    expect(second.damage).toContain(root)
    expect(second.damage).toContain('CURRENT')
    expect(await second.getMany(['a', 'b'])).toEqual(['1', '2'])
    expect(await readdir(join(root, 'damaged-files'))).toContain('CURRENT')
    await second.close()
    await second.open()
    expect(second.damage).toBeUndefined()
  })

  it('tells how many acknowledged batches are missing when its log was cut short', async () => {
    const first = make(root)
    await first.open()
    for (let i = 1; i <= 20; i += 1) await first.batch([put(`k${i}`, 'x'.repeat(100))])
    await first.close()
    const log = (await readdir(root)).find((name) => name.endsWith('.log')) ?? ''
    await truncate(join(root, log), (await stat(join(root, log))).size - 200)
    const second = make(root)
    await second.open()
    expect(second.damage).toContain('batches 19 to 20 were acknowledged and are missing')
    expect(await second.getMany(['k18', 'k19'])).toEqual(['x'.repeat(100), undefined])
    await second.close()
    await second.open()
    expect(second.damage).toBeUndefined()
  })

  it('does not take a folder without its CURRENT for a new database', async () => {
    const first = make(root)
    await first.open()
    await first.batch([put('a', '1')])
    await first.close()
    await rm(join(root, 'CURRENT'))
    const second = make(root)
    await second.open()
    expect(second.damage).toContain('CURRENT is missing')
    expect(await second.get('a')).toBe('1')
  })

  it('rejects reads of rows whose file is damaged while it is open, and serves the others', async () => {
    const directory = join(root, 'data')
    // Without a cache every read goes to the file.
    const storage = new LevelStorage({ directory, cacheBytes: 0, writeBufferBytes: 64 * 1024 })
    opened.push(storage)
    await storage.open()
    const rows = Array.from({ length: 2000 }, (_, i) =>
      put(`k${String(i).padStart(4, '0')}`, `${i}`),
    )
    await storage.batch(rows)
    await storage.close()
    await storage.open()
    expect(await storage.get('k0000')).toBe('0')
    const table = (await readdir(directory)).find((name) => name.endsWith('.ldb')) ?? ''
    const file = await open(join(directory, table), 'r+')
    await file.write(Buffer.alloc(500, 255), 0, 500, 0)
    await file.close()
    const isCorrupt = (error: unknown): boolean =>
      isStateError(error, 'corrupt_record') && error.message.includes(directory)
    await expect(storage.get('k0000')).rejects.toSatisfy(isCorrupt)
    await expect(storage.getMany(['k1999', 'k0000'])).rejects.toSatisfy(isCorrupt)
    await expect(rowsOf(storage)).rejects.toSatisfy(isCorrupt)
    expect(await storage.get('k1999')).toBe('1999')
    await storage.batch([put('new', '1')])
    expect(await storage.get('new')).toBe('1')
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
})

/** A real process that holds the folder; resolves once it has opened it. */
async function startHolder(directory: string): Promise<{ kill: () => Promise<void> }> {
  const script = join(import.meta.dirname, 'leveldb-child.mjs')
  const child = spawn(process.execPath, [script, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const opened = new Promise<void>((resolve) => child.stdout.once('data', () => resolve()))
  await Promise.race([opened, exited])
  if (child.exitCode !== null) throw new Error('the process ended before it held the folder')
  return {
    kill: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}
