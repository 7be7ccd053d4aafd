/**
 * Room kept for a start on a full disk. The engine cannot open a folder without writing: what its log holds becomes a
 * sorted file, and a new log and list of files begin. So a file of that size stands beside the database, and is
 * given up when an opening finds no room. It is made again before anything else is written.
 */
import { open, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'

export const RESERVE_FILE = 'reserve'
/** A disk with less room than so many times the reserve has none: there it would be missed elsewhere. */
const ROOM = 4
/** Bytes written at once. */
const CHUNK = 1024 * 1024

export class Reserve {
  readonly #path: string
  readonly #directory: string
  readonly #bytes: number
  #isSpent = false

  /** @param bytes its size; 0: none. */
  constructor(directory: string, bytes: number) {
    this.#directory = directory
    this.#path = join(directory, RESERVE_FILE)
    this.#bytes = bytes
  }

  /** It was given up, and is not there again yet. */
  get isSpent(): boolean {
    return this.#isSpent
  }

  /** Gives its room up. False when there was none. */
  async spend(): Promise<boolean> {
    const { size } = await stat(this.#path).catch(() => ({ size: 0 }))
    if (size < this.#bytes || this.#bytes === 0) return false
    await rm(this.#path, { force: true })
    this.#isSpent = true
    return true
  }

  /** Makes it where there is ample room and it is missing. Where it cannot be made there is none. */
  async provide(): Promise<void> {
    if (this.#bytes === 0) return
    const { size } = await stat(this.#path).catch(() => ({ size: 0 }))
    if (size >= this.#bytes) return
    const { bavail, bsize } = await statfs(this.#directory)
    if (bavail * bsize >= this.#bytes * ROOM) await this.restore().catch(() => undefined)
  }

  /** Makes it again after it was given up. Rejects while there is no room, and leaves nothing then. */
  async restore(): Promise<void> {
    try {
      // Not zeros, which some file systems do not store.
      const chunk = Buffer.alloc(Math.min(CHUNK, this.#bytes), 'ooo reserve ')
      const file = await open(this.#path, 'w')
      try {
        for (let left = this.#bytes; left > 0; left -= chunk.length) await file.write(chunk)
        await file.datasync()
      } finally {
        await file.close()
      }
      this.#isSpent = false
    } catch (error) {
      await rm(this.#path, { force: true })
      throw error
    }
  }
}
