/**
 * Remembers an opening until it is closed or has lasted ten minutes, in an empty file beside the database.
 * The engine ends the process at some damaged keys, when it reads or merges them, at each start again: after
 * such an end the files are read in full before they are opened. A machine that is just switched off each
 * day does not come to this.
 */

import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf } from './files/errors.ts'

export const START_MARK = 'opened'
const LASTED_MS = 600_000

export class StartMark {
  readonly #path: string
  readonly #timer: NodeJS.Timeout
  /** True when the last opening ended within ten minutes, and without a close. */
  readonly mayHaveDied: boolean

  private constructor(path: string, mayHaveDied: boolean) {
    this.#path = path
    this.mayHaveDied = mayHaveDied
    this.#timer = setTimeout(() => void this.#remove(), LASTED_MS).unref()
  }

  /** Marks an opening of this folder. Where that can not be written there is no mark. */
  static async begin(directory: string): Promise<StartMark> {
    const path = join(directory, START_MARK)
    const refusal = await writeFile(path, '', { flag: 'wx' }).catch((error: unknown) => error)
    return new StartMark(path, codeOf(refusal) === 'EEXIST')
  }

  /** The folder was closed, or could not be opened, which is no end of a process. */
  async end(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#remove()
  }

  async #remove(): Promise<void> {
    // Left behind it costs one reading of the files, at the worst.
    await rm(this.#path, { force: true }).catch(() => undefined)
  }
}
