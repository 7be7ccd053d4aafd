/**
 * A wall clock that is wrong for one process, by libfaketime (Debian: faketime). It reads its offset from
 * a file, so it can jump while the process runs. The monotonic clock stays right.
 */
import { existsSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { installWithApt } from '../../support/apt.ts'

const ROOTS: readonly string[] = ['/usr/lib', '/usr/local/lib', '/usr/lib64']
const NAME = 'libfaketimeMT.so.1'

/** The library, or undefined where there is none; on Debian, as root, it is installed. */
export function findFaketime(): string | undefined {
  return locate() ?? (installWithApt('faketime') ? locate() : undefined)
}

function locate(): string | undefined {
  const folders = ROOTS.filter(existsSync).flatMap((root) => [
    join(root, 'faketime'),
    ...readdirSync(root).map((name) => join(root, name, 'faketime')),
  ])
  return folders.map((folder) => join(folder, NAME)).find(existsSync)
}

export class WrongClock {
  readonly #library: string | undefined
  readonly #file: string
  #offsetSeconds = 0

  /** Without a library the clock is right, and setting it otherwise throws. */
  constructor(library: string | undefined, file: string) {
    this.#library = library
    this.#file = file
    if (library !== undefined) this.set(0)
  }

  get offsetSeconds(): number {
    return this.#offsetSeconds
  }

  /** What a process needs in its environment; empty where clocks are right. */
  get environment(): Readonly<Record<string, string>> {
    if (this.#library === undefined) return {}
    return {
      LD_PRELOAD: this.#library,
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_CACHE_DURATION: '1',
      // The name of the variable has changed between versions of the library.
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      DONT_FAKE_MONOTONIC: '1',
      NO_FAKE_STAT: '1',
    }
  }

  /** The clock is this much ahead from now on, or behind; a running process notices within a second. */
  set(offsetSeconds: number): void {
    if (this.#library === undefined) throw new Error('no libfaketime: clocks cannot be wrong here')
    this.#offsetSeconds = offsetSeconds
    const sign = offsetSeconds < 0 ? '-' : '+'
    // Never half a file: a process may read it at any time.
    writeFileSync(`${this.#file}.next`, `${sign}${Math.abs(offsetSeconds)}s\n`)
    renameSync(`${this.#file}.next`, this.#file)
  }
}
