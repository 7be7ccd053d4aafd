import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SNAPSHOT_PREFIX, snapshotFolder } from '../../cli/offline/folder-snapshot.ts'
import { lockHolder } from '../../cli/offline/lock-holder.ts'
import { LevelStorage } from '../../storage-adapters/leveldb/leveldb.ts'
import { waitFor } from '../support/wait.ts'

const KO_FIXTURE = fileURLToPath(new URL('../backup/ko-fixture/db', import.meta.url))
const isLinux = process.platform === 'linux'
const children: ChildProcess[] = []
let folder = ''

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ooo-snapshot-test-'))
  await cp(KO_FIXTURE, folder, { recursive: true })
})
afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'close')
  }
  await rm(folder, { recursive: true, force: true })
})

test('a snapshot opens, is gone when released, and leaves the data as it was', async () => {
  const before = await readdir(folder)
  const snapshot = await snapshotFolder(folder)
  const storage = new LevelStorage({ directory: snapshot.directory })
  await storage.open()
  expect(await storage.get('pivot/items')).toContain('"data":1700000000123456999')
  await storage.batch([{ type: 'put', key: 'new', value: '1' }])
  await storage.close()
  await snapshot.release()
  expect(await readdir(folder)).toEqual(before)
  const again = await snapshotFolder(folder)
  const second = new LevelStorage({ directory: again.directory })
  await second.open()
  expect(await second.get('new')).toBeUndefined()
  await second.close()
  await again.release()
})

test('what killed ones left is removed by the next', async () => {
  await mkdir(join(folder, `${SNAPSHOT_PREFIX}dead`))
  await writeFile(join(folder, `${SNAPSHOT_PREFIX}dead`, 'CURRENT'), 'x')
  const snapshot = await snapshotFolder(folder)
  await snapshot.sweep()
  const left = (await readdir(folder)).filter((name) => name.startsWith(SNAPSHOT_PREFIX))
  expect(left).toEqual([snapshot.directory.slice(folder.length + 1)])
  await snapshot.release()
})

test('a folder without a database, a file and nothing are told apart', async () => {
  await expect(snapshotFolder(join(folder, 'CURRENT'))).rejects.toThrow('is no folder')
  await expect(snapshotFolder(join(folder, 'none'))).rejects.toThrow('no such folder')
  await mkdir(join(folder, 'empty'))
  await expect(snapshotFolder(join(folder, 'empty'))).rejects.toThrow('holds no database')
})

test.skipIf(process.getuid?.() === 0)(
  'a folder that cannot be written is copied (not tried as root, who can write any)',
  async () => {
    await chmod(folder, 0o500)
    const snapshot = await snapshotFolder(folder)
    expect(snapshot.directory.startsWith(folder)).toBe(false)
    await snapshot.release()
    await chmod(folder, 0o700)
  },
)

test.skipIf(!isLinux)("the Go server's lock, which LevelDB does not see, is seen", async () => {
  const lock = join(folder, 'LOCK')
  expect(await lockHolder(lock)).toBeUndefined()
  const child = spawn('flock', ['--no-fork', '--exclusive', lock, 'sleep', '60'], {
    stdio: 'ignore',
  })
  children.push(child)
  await waitFor(() => lockHolder(lock), { what: 'the lock to be taken' })
  await expect(snapshotFolder(folder)).rejects.toMatchObject({
    code: 'in_use',
    message: expect.stringContaining('held by process'),
  })
  expect((await readdir(folder)).some((name) => name.startsWith(SNAPSHOT_PREFIX))).toBe(false)
})
