/**
 * A server program that a test starts, stops, kills and starts again on one port and one folder.
 * Whatever still runs when the test process ends is ended with it.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { accessSync, constants, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { waitFor } from './wait.ts'

const START_DEADLINE_MS = 120_000
/** Characters of output kept for failure messages. */
const MAX_OUTPUT = 20_000

export interface ServerProgramOptions {
  readonly command: string
  readonly args: readonly string[]
  readonly cwd: string
  /** Who runs it; undefined: whoever runs the tests. */
  readonly user?: UserIds | undefined
  /** Whether it answers. */
  isReady(): Promise<boolean>
}

export interface UserIds {
  readonly uid: number
  readonly gid: number
}

/** One program; `start` may be called again after `stop` or `kill`. */
export class ServerProgram {
  readonly #options: ServerProgramOptions
  #child: ChildProcess | undefined
  #ended: Promise<void> = Promise.resolve()
  #output = ''
  /** Its processes while it is frozen. */
  #frozen: readonly number[] = []
  readonly #onExit = (): void => {
    this.thaw()
    this.#child?.kill('SIGKILL')
  }

  constructor(options: ServerProgramOptions) {
    this.#options = options
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Starts it and waits until it answers; one that gives up at once is started again. */
  async start(): Promise<void> {
    if (this.#child !== undefined) return
    process.on('exit', this.#onExit)
    const ready = async (): Promise<boolean> => {
      if (this.#child === undefined) this.#spawn()
      return await this.#options.isReady()
    }
    try {
      const what = `${this.#options.command} to answer`
      await waitFor(ready, { deadlineMs: START_DEADLINE_MS, intervalMs: 50, what })
    } catch (error) {
      await this.kill()
      throw new Error(`${error instanceof Error ? error.message : error}\n${this.#output}`)
    }
  }

  /** Ends it by a signal, and waits for its end. */
  async signal(name: NodeJS.Signals): Promise<void> {
    this.thaw()
    this.#child?.kill(name)
    await this.#ended
    process.off('exit', this.#onExit)
  }

  kill(): Promise<void> {
    return this.signal('SIGKILL')
  }

  /** Stops it and all its processes where they are: its connections stay, and nothing is answered. */
  freeze(): void {
    const { pid } = this
    if (pid === undefined) throw new Error('freeze: it does not run')
    // Itself first, so that no more come.
    process.kill(pid, 'SIGSTOP')
    const list = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' })
    const pairs = list.split('\n').map((line) => line.trim().split(/\s+/).map(Number))
    const children = pairs.flatMap(([child = 0, parent]) => (parent === pid ? [child] : []))
    this.#frozen = [...children, pid]
    for (const child of children) send(child, 'SIGSTOP')
  }

  /** Lets it go on. */
  thaw(): void {
    for (const pid of this.#frozen) send(pid, 'SIGCONT')
    this.#frozen = []
  }

  #spawn(): void {
    const { command, args, cwd, user } = this.#options
    const child = spawn(command, [...args], { cwd, ...user, stdio: ['ignore', 'pipe', 'pipe'] })
    const keep = (text: string): void => {
      this.#output = (this.#output + text).slice(-MAX_OUTPUT)
    }
    child.stdout.setEncoding('utf8').on('data', keep)
    child.stderr.setEncoding('utf8').on('data', keep)
    this.#child = child
    this.#ended = new Promise((resolve) => {
      const done = (): void => {
        if (this.#child === child) this.#child = undefined
        resolve()
      }
      child.once('exit', done)
      child.once('error', (error) => {
        keep(String(error))
        done()
      })
    })
  }
}

/** To a process that may have ended. */
function send(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Where a program is: on the PATH or in one of the folders; undefined when nowhere. */
export function findProgram(name: string, folders: readonly string[] = []): string | undefined {
  const all = [...(process.env.PATH ?? '').split(delimiter), ...folders]
  return all.map((folder) => join(folder, name)).find(isExecutable)
}

/** The folders `<root>/<version>/bin`, newest version first. */
export function versionFolders(root: string): string[] {
  try {
    const versions = readdirSync(root).filter((name) => /^\d+$/.test(name))
    return versions.sort((a, b) => Number(b) - Number(a)).map((name) => join(root, name, 'bin'))
  } catch {
    return []
  }
}

/** As root: the first of these users that exists, for programs that refuse to run as root. */
export function unprivilegedUser(...names: readonly string[]): UserIds | undefined {
  if (process.getuid?.() !== 0) return undefined
  for (const name of names) {
    try {
      const id = (flag: string): number =>
        Number(execFileSync('id', [flag, name], { encoding: 'utf8', stdio: 'pipe' }))
      return { uid: id('-u'), gid: id('-g') }
    } catch {
      // The next one, then.
    }
  }
  return undefined
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
