/** A small file system in memory, for tests of full and read-only disks. Linux, as root. */

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Bytes written at once while filling. */
const CHUNK = 16 * 1024

export class SmallDisk {
  /** Where it is mounted. */
  readonly directory: string

  private constructor(directory: string) {
    this.directory = directory
  }

  /** Mounts one; undefined where that is not allowed. */
  static mount(bytes: number): SmallDisk | undefined {
    const directory = mkdtempSync(join(tmpdir(), 'ooo-disk-'))
    try {
      const options = ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', directory]
      execFileSync('mount', options, { stdio: 'pipe' })
      return new SmallDisk(directory)
    } catch {
      rmSync(directory, { recursive: true, force: true })
      return undefined
    }
  }

  /** Writes until nothing more fits, then gives back `room` bytes. */
  async fill(room = 0): Promise<void> {
    const file = await open(this.#ballast, 'a')
    try {
      const chunk = Buffer.alloc(CHUNK)
      for (;;) await file.write(chunk)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      await file.truncate(Math.max((await file.stat()).size - room, 0))
    } finally {
      await file.close()
    }
  }

  /** Gives back what `fill` took. */
  async clear(): Promise<void> {
    await rm(this.#ballast, { force: true })
  }

  /** Makes it read-only, or writable again. No file on it may be open for writing. */
  setReadOnly(readOnly: boolean): void {
    const mode = readOnly ? 'remount,ro' : 'remount,rw'
    execFileSync('mount', ['-o', mode, this.directory], { stdio: 'pipe' })
  }

  unmount(): void {
    execFileSync('umount', [this.directory], { stdio: 'pipe' })
    rmSync(this.directory, { recursive: true, force: true })
  }

  get #ballast(): string {
    return join(this.directory, 'ballast')
  }
}
