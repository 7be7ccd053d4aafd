/**
 * What a power cut leaves of a folder, from what `unsynced.c` noted: of each file its synced bytes
 * and any part of the rest, cut off or as zeros; of the changes of names since the last sync of the
 * folder the first few, as journalling file systems keep their order.
 */

import { copyFile, mkdir, open, readdir, readFile, stat, truncate } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { SeededRandom } from '../support/seeded-random.ts'

/** A folder before the process began: everything in it is durable. */
export interface Durable {
  /** Bytes of each file, by its inode. */
  readonly sizes: ReadonlyMap<string, number>
  /** Inode of each path. */
  readonly names: ReadonlyMap<string, string>
}

/** Notes a folder's files; nothing when it does not exist. */
export async function noteFolder(directory: string): Promise<Durable> {
  const sizes = new Map<string, number>()
  const names = new Map<string, string>()
  for (const path of await filesOf(directory)) {
    const info = await stat(path)
    sizes.set(String(info.ino), info.size)
    names.set(path, String(info.ino))
  }
  return { sizes, names }
}

/** Makes the folder `target` from `directory` as a power cut now would leave it. Gives how many written bytes were lost. */
export async function cutPower(options: {
  readonly directory: string
  readonly target: string
  readonly graves: string
  readonly journal: string
  readonly before: Durable
  readonly random: SeededRandom
}): Promise<number> {
  const { directory, target, graves, random } = options
  const { names, sizes } = survivors(
    await readFile(options.journal, 'utf8'),
    options.before,
    random,
  )
  const contents = new Map<string, string>()
  for (const path of [...(await filesOf(graves)), ...(await filesOf(directory))]) {
    contents.set(String((await stat(path)).ino), path)
  }
  await mkdir(target)
  let lost = 0
  for (const [path, inode] of names) {
    const content = contents.get(inode)
    if (content === undefined) throw new Error(`no file with the inode of ${path}`)
    if (dirname(path) !== directory) continue
    const copy = join(target, path.slice(directory.length + 1))
    await copyFile(content, copy)
    lost += await cutFile(copy, sizes.get(inode) ?? 0, random)
  }
  return lost
}

/** Which names are left, and how much of each file is synced. */
function survivors(
  journal: string,
  before: Durable,
  random: SeededRandom,
): { names: Map<string, string>; sizes: Map<string, number> } {
  const names = new Map(before.names)
  const sizes = new Map(before.sizes)
  let pending: Change[] = []
  for (const line of journal.split('\n').slice(0, -1)) {
    const [kind, first = '', ...rest] = line.split(' ')
    const text = rest.join(' ')
    if (kind === 'S') sizes.set(first, Number(text))
    else if (kind === 'T') sizes.set(first, 0)
    else if (kind === 'D') {
      const folder = line.slice(2)
      for (const change of pending) if (folderOf(change) === folder) change.apply(names)
      pending = pending.filter((change) => folderOf(change) !== folder)
    } else if (kind === 'C' || kind === 'U' || kind === 'R') {
      if (kind === 'C') sizes.set(first, 0)
      pending.push(changeOf(kind, first, text))
    }
  }
  const kept = random.pick([0, pending.length, random.below(pending.length + 1)])
  for (const change of pending.slice(0, kept)) change.apply(names)
  return { names, sizes }
}

interface Change {
  readonly path: string
  apply(names: Map<string, string>): void
}

function changeOf(kind: 'C' | 'U' | 'R', inode: string, text: string): Change {
  const [path = '', to = ''] = text.split('\t')
  if (kind === 'C') return { path, apply: (names) => names.set(path, inode) }
  if (kind === 'U') return { path, apply: (names) => names.delete(path) }
  return {
    path,
    apply: (names) => {
      names.delete(path)
      names.set(to, inode)
    },
  }
}

function folderOf({ path }: Change): string {
  return dirname(path)
}

/** Keeps the synced bytes and a random part of the rest. */
async function cutFile(path: string, synced: number, random: SeededRandom): Promise<number> {
  const size = (await stat(path)).size
  const rest = Math.max(size - synced, 0)
  const kept = random.pick([0, rest, random.below(rest + 1)])
  if (kept === rest) return 0
  await truncate(path, synced + kept)
  // A file system may have noted the new length before the bytes.
  if (random.chance(0.25)) {
    const file = await open(path, 'r+')
    try {
      await file.truncate(size)
    } finally {
      await file.close()
    }
  }
  return rest - kept
}

async function filesOf(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
      return []
    },
  )
  return entries.filter((entry) => entry.isFile()).map((entry) => join(directory, entry.name))
}
