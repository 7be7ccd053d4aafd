/**
 * A new data folder, built so that nobody takes half of it for the whole. Everything is made in
 * `DIR/.restoring` and synced; then what was in the folder is moved aside, and the new files are moved
 * up, that which makes them a database last. As long as `.restoring` is there a node refuses the folder.
 */
import { existsSync } from 'node:fs'
import { link, mkdir, open, readdir, rename, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { StateError } from '../../src/core/errors.ts'
import { LevelStorage } from '../../storage-adapters/leveldb/leveldb.ts'
import { giveToOwnerOf } from './folder-owner.ts'
import { SNAPSHOT_PREFIX } from './folder-snapshot.ts'

/** The folder in a data folder where a restore is under way, or was cut off. */
export const RESTORING = '.restoring'
/** How folders begin to which a forced restore moved what was there. */
const ASIDE_PREFIX = 'before-'

export interface FolderRestore<Result> {
  /** The data folder; it and its parents are made. */
  readonly directory: string
  /** Moves aside what is there. Without it only an empty folder is taken. */
  readonly force: boolean
  /** Names the folder the old data is moved to. */
  readonly now: Date
  /** Makes the database in the folder it is given, and closes it. */
  build(directory: string): Promise<Result>
}

/**
 * @returns what `build` gave, and where the old data is now.
 * @throws StateError `in_use` when the folder holds something, or somebody holds it; what `build` throws:
 *   the folder is then as it was.
 */
export async function restoreFolder<Result>(
  options: FolderRestore<Result>,
): Promise<{ readonly result: Result; readonly aside: string | undefined }> {
  const { directory } = options
  const isNew = !existsSync(directory)
  await mkdir(directory, { recursive: true })
  const unlock = await holdLock(directory, '.')
  try {
    const old = await contents(directory)
    if (old.length > 0 && !options.force) throw notEmpty(directory, old)
    await clearLeftover(directory)
    const result = await build(options)
    return { result, aside: await moveIn(options, old) }
  } finally {
    await unlock()
    if (isNew) await rmdir(directory).catch(() => undefined)
  }
}

/** @throws StateError `storage_failed` when a restore into the folder did not come to its end. */
export function refuseHalfRestored(directory: string): void {
  if (!existsSync(join(directory, RESTORING))) return
  throw new StateError(
    'storage_failed',
    `the data folder ${directory} is half restored: run the restore again (ooo restore --force), or remove ${RESTORING} from it if you know that what is there is whole`,
  )
}

/** What fails in here leaves no trace; once files move, `.restoring` stays to tell of it. */
async function build<Result>(options: FolderRestore<Result>): Promise<Result> {
  const work = join(options.directory, RESTORING)
  await mkdir(work)
  try {
    const result = await options.build(work)
    await giveToOwnerOf(options.directory, work)
    for (const name of await readdir(work)) await syncPath(join(work, name))
    await syncPath(work)
    return result
  } catch (error) {
    await rm(work, { recursive: true, force: true })
    throw error
  }
}

async function moveIn(
  { directory, now }: Pick<FolderRestore<unknown>, 'directory' | 'now'>,
  old: readonly string[],
): Promise<string | undefined> {
  const work = join(directory, RESTORING)
  const aside =
    old.length === 0
      ? undefined
      : join(directory, `${ASIDE_PREFIX}${now.toISOString().replaceAll(':', '-')}`)
  if (aside !== undefined) {
    await mkdir(aside)
    await giveToOwnerOf(directory, aside)
    await moveFiles(directory, aside, old, 'first')
  }
  await moveFiles(work, directory, await readdir(work), 'last')
  await rmdir(work)
  await syncPath(directory)
  return aside
}

/** `CURRENT` is what makes files a database: of old ones it goes first, of new ones last. */
async function moveFiles(
  from: string,
  to: string,
  names: readonly string[],
  current: 'first' | 'last',
): Promise<void> {
  const others = names.filter((name) => name !== 'CURRENT')
  const own = names.filter((name) => name === 'CURRENT')
  for (const group of current === 'first' ? [own, others] : [others, own]) {
    for (const name of group) await rename(join(from, name), join(to, name))
    await syncPath(to)
    await syncPath(from)
  }
}

/** What counts as data in a folder: not what restores and file systems keep there. */
async function contents(directory: string): Promise<string[]> {
  const names = await readdir(directory)
  return names.filter(
    (name) =>
      name !== RESTORING &&
      name !== 'lost+found' &&
      !name.startsWith(ASIDE_PREFIX) &&
      !name.startsWith(SNAPSHOT_PREFIX),
  )
}

/** A restore that was cut off leaves its work; one that is under way holds it. */
async function clearLeftover(directory: string): Promise<void> {
  const work = join(directory, RESTORING)
  if (!existsSync(work)) return
  const unlock = await holdLock(directory, RESTORING)
  await unlock()
  await rm(work, { recursive: true, force: true })
}

/**
 * Holds the lock of the database in `directory/folder`, if there is one, without opening that database:
 * an empty one that has the same lock file is opened instead.
 */
async function holdLock(directory: string, folder: string): Promise<() => Promise<void>> {
  const lock = join(directory, folder, 'LOCK')
  if (!existsSync(lock)) return async () => undefined
  const decoy = join(directory, `${SNAPSHOT_PREFIX}lock-${process.pid}`)
  await rm(decoy, { recursive: true, force: true })
  await mkdir(decoy)
  const storage = new LevelStorage({ directory: decoy })
  const release = async (): Promise<void> => {
    await storage.close()
    await rm(decoy, { recursive: true, force: true })
  }
  try {
    await link(lock, join(decoy, 'LOCK'))
    await storage.open()
  } catch (cause) {
    await release()
    const text = `${directory}: is in use by a node or another restore; stop that first`
    throw new StateError('in_use', text, { cause })
  }
  return release
}

async function syncPath(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

function notEmpty(directory: string, names: readonly string[]): StateError {
  return new StateError(
    'in_use',
    `${directory}: is not empty, it has ${names[0]}; --force moves what is there aside`,
  )
}
