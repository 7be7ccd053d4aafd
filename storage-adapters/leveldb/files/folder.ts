/** The folder of a database: making it, keeping its list of files durable, and asking for space. */

import { type FileHandle, mkdir, open, readdir, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** The file that `probeSpace` writes and removes. */
export const PROBE_FILE = 'probe.tmp'
/** Bytes written at once by a probe. */
const PROBE_CHUNK = 256 * 1024
/** The time of a folder's last change is trusted when so old: file systems keep it in coarse ticks. */
const SETTLED_MS = 200

/** Makes a folder and those above it, each of them listed durably in the one above. */
export async function makeFolder(directory: string): Promise<void> {
  const first = await mkdir(directory, { recursive: true })
  if (first === undefined) return
  for (let made = directory; ; made = dirname(made)) {
    await syncFolder(dirname(made))
    if (made === first || dirname(made) === made) return
  }
}

/** Makes the folder's list of files durable. */
export async function syncFolder(directory: string): Promise<void> {
  // Windows gives no handle for a folder, and needs no sync of one.
  if (process.platform === 'win32') return
  const folder = await open(directory, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/**
 * Keeps the list of files durable at little cost. LevelDB syncs the log a batch is in, but not the
 * entry of a log file it has just begun, which a power cut could lose with the whole file.
 */
export class FolderSync {
  readonly #directory: string
  #syncedAt: bigint | undefined

  constructor(directory: string) {
    this.#directory = directory
  }

  /** Syncs the folder if its list may have changed since the last call. */
  async sync(): Promise<void> {
    const changed = (await stat(this.#directory, { bigint: true })).mtimeNs
    if (changed === this.#syncedAt) return
    await syncFolder(this.#directory)
    const settled = Date.now() - Number(changed / 1_000_000n) > SETTLED_MS
    this.#syncedAt = settled ? changed : undefined
  }
}

/** Rejects unless `bytes` more can be written to the folder now. */
export async function probeSpace(directory: string, bytes: number): Promise<void> {
  const path = join(directory, PROBE_FILE)
  let file: FileHandle | undefined
  try {
    file = await open(path, 'w')
    const chunk = Buffer.alloc(Math.min(bytes, PROBE_CHUNK), 1)
    for (let left = bytes; left > 0; left -= chunk.length) await file.write(chunk)
    await file.datasync()
  } finally {
    await file?.close()
    await rm(path, { force: true })
  }
}

/** The database's log files, oldest first. */
export async function logFiles(directory: string): Promise<{ number: number; name: string }[]> {
  const names = (await readdir(directory)).filter((name) => /^\d+\.log$/.test(name))
  return names
    .map((name) => ({ number: Number.parseInt(name, 10), name }))
    .sort((a, b) => a.number - b.number)
}
