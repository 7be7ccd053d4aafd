/**
 * Opens a LevelDB folder without changing it: LevelDB writes whenever it opens, so it is given a folder
 * beside the data that has the same files. Table files, which are never changed, are linked; the others
 * are copied. The lock file is linked too: a lock belongs to the file and not to its name, so a node
 * that holds the data keeps the snapshot from opening, and the snapshot a node from starting.
 */
import { constants } from 'node:fs'
import { copyFile, link, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { errorText, StateError } from '../../src/core/errors.ts'
import { lockHolder } from './lock-holder.ts'

/** How the folders of snapshots begin; they are in the data folder where that can be written. */
export const SNAPSHOT_PREFIX = '.snapshot-'

export interface FolderSnapshot {
  /** The folder to open in place of the data. */
  readonly directory: string
  /** Removes what snapshots left that were killed. Call it when the database is open: that proves them dead. */
  sweep(): Promise<void>
  /** Removes the snapshot, once the database is closed. */
  release(): Promise<void>
}

/**
 * @throws StateError `invalid_option` when there is no such folder or no database in it, `in_use` when
 *   something changes it or holds it, `storage_failed` when it cannot be read.
 */
export async function snapshotFolder(directory: string): Promise<FolderSnapshot> {
  const before = await listing(directory)
  if (![...before.keys()].some(isDatabaseFile)) {
    throw new StateError('invalid_option', `${directory}: holds no database`)
  }
  const holder = await lockHolder(join(directory, 'LOCK'))
  if (holder !== undefined) throw inUse(directory, `held by process ${holder}`)
  const target = await makeFolder(directory)
  const release = (): Promise<void> => rm(target, { recursive: true, force: true })
  try {
    for (const name of before.keys()) await take(join(directory, name), join(target, name))
    const after = await listing(directory)
    const changed = [...new Set([...before.keys(), ...after.keys()])].filter(
      (name) => before.get(name) !== after.get(name),
    )
    if (changed.length > 0) throw inUse(directory, `its file ${changed[0]} changes`)
  } catch (error) {
    await release()
    throw error instanceof StateError ? error : unreadable(directory, error)
  }
  return { directory: target, sweep: () => sweep(directory, target), release }
}

/** Also without `CURRENT`, which may be what is lost: opening tells. */
function isDatabaseFile(name: string): boolean {
  return /^(?:CURRENT|MANIFEST-\d+|\d+\.(?:ldb|sst|log))$/.test(name)
}

/** Files by name with what shows a change. Folders below are no part of a database. */
async function listing(directory: string): Promise<Map<string, string>> {
  const files = new Map<string, string>()
  try {
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      if (!entry.isFile()) continue
      const { size, mtimeMs, ino } = await stat(join(directory, entry.name))
      files.set(entry.name, `${ino} ${size} ${mtimeMs}`)
    }
  } catch (error) {
    // A file that went away while it was looked at: somebody works in there.
    if (files.size > 0 && codeOf(error) === 'ENOENT') throw inUse(directory, 'its files change')
    throw unreadable(directory, error)
  }
  return files
}

async function makeFolder(directory: string): Promise<string> {
  try {
    return await mkdtemp(join(directory, SNAPSHOT_PREFIX))
  } catch (error) {
    // A folder that cannot be written can only be copied; then nobody can hold it for writing either.
    if (!['EACCES', 'EPERM', 'EROFS'].includes(codeOf(error) ?? ''))
      throw unreadable(directory, error)
    return await mkdtemp(join(tmpdir(), 'ooo-snapshot-'))
  }
}

async function take(from: string, to: string): Promise<void> {
  if (/\.(?:ldb|sst)$|LOCK$/.test(from)) {
    try {
      await link(from, to)
      return
    } catch (error) {
      // Another file system, or one without links.
      if (!['EXDEV', 'EPERM', 'ENOTSUP', 'EMLINK'].includes(codeOf(error) ?? '')) throw error
    }
  }
  await copyFile(from, to, constants.COPYFILE_FICLONE)
}

async function sweep(directory: string, own: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const path = join(directory, name)
    if (!name.startsWith(SNAPSHOT_PREFIX) || path === own) continue
    await rm(path, { recursive: true, force: true })
  }
}

function inUse(directory: string, why: string): StateError {
  return new StateError('in_use', `${directory}: is in use: ${why}`)
}

function unreadable(directory: string, error: unknown): StateError {
  const code = codeOf(error)
  if (code === 'ENOENT') return new StateError('invalid_option', `${directory}: no such folder`)
  if (code === 'ENOTDIR') return new StateError('invalid_option', `${directory}: is no folder`)
  return new StateError('storage_failed', `${directory}: ${errorText(error)}`, { cause: error })
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
