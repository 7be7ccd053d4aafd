/**
 * The number of the last batch that was acknowledged, and of the last that was refused, in a small file
 * beside the database. Every batch carries its own number in a row.
 *
 * An acknowledged number above the one in the rows proves that batches are gone: a log file cut
 * short, damaged at its end, or deleted looks to LevelDB just like one that ends there. The refused
 * number tells which batch must not come back, when a log holds it although its write failed.
 *
 * The file is evidence, not data. It trails the batches by some milliseconds, which matters when the
 * process is killed and its newest log records are damaged as well; and what can not be read in it
 * proves nothing.
 */

import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'

export const WATERMARK_FILE = 'watermark'
/** Shortest time between two writes of the file: one for each batch would cost half as much as the batch. */
const PAUSE_MS = 5

/** Numbers of batches; 0 for none, and for none that is known. */
export interface Marks {
  readonly acknowledged: number
  readonly refused: number
}

export class Watermark {
  readonly #file: FileHandle
  #wanted: Marks
  #written: Marks
  #writing: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  /** Writes of the file that failed; the next batch tries again. */
  failures = 0

  private constructor(file: FileHandle, marks: Marks) {
    this.#file = file
    this.#wanted = marks
    this.#written = marks
  }

  /** Opens or makes the file of a folder. */
  static async open(directory: string): Promise<Watermark> {
    const path = join(directory, WATERMARK_FILE)
    const file = await open(path, 'r+').catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
      return open(path, 'w+')
    })
    try {
      return new Watermark(file, parse(await file.readFile('latin1')))
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** What the file says, and will say. */
  get marks(): Marks {
    return this.#wanted
  }

  /** Whether the file was deleted since it was opened, as with its folder. */
  async isDeleted(): Promise<boolean> {
    return (await this.#file.stat()).nlink === 0
  }

  /** Notes that batch `number` was acknowledged; written within milliseconds, with those that follow. */
  acknowledge(number: number): void {
    this.#wanted = { ...this.#wanted, acknowledged: number }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#enqueue()
    }, PAUSE_MS).unref()
  }

  /** Notes that batch `number` is refused; resolves when that is on disk, or could not be put there. */
  async refuse(number: number): Promise<void> {
    this.#wanted = { ...this.#wanted, refused: number }
    this.#enqueue()
    await this.#writing
    try {
      await this.#file.datasync()
    } catch {
      this.failures += 1
    }
  }

  /** Waits until the file holds the newest numbers, then lets go of it. */
  async close(): Promise<void> {
    clearTimeout(this.#timer)
    this.#enqueue()
    await this.#writing
    await this.#file.close()
  }

  #enqueue(): void {
    this.#writing = this.#writing.then(() => this.#write())
  }

  async #write(): Promise<void> {
    const marks = this.#wanted
    if (marks === this.#written) return
    try {
      await this.#file.write(format(marks), 0, 'latin1')
      this.#written = marks
    } catch {
      this.failures += 1
    }
  }
}

/** Always of the same length, so that each write replaces the one before. */
function format({ acknowledged, refused }: Marks): string {
  const digits = [acknowledged, refused].map((number) => String(number).padStart(16, '0')).join(' ')
  return `${digits} ${crc32(digits).toString(16).padStart(8, '0')}\n`
}

function parse(text: string): Marks {
  const [, digits = '', sum] = /^(\d{16} \d{16}) ([0-9a-f]{8})\n$/.exec(text) ?? []
  if (sum !== crc32(digits).toString(16).padStart(8, '0')) return { acknowledged: 0, refused: 0 }
  const [acknowledged = 0, refused = 0] = digits.split(' ').map(Number)
  return { acknowledged, refused }
}
