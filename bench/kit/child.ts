/** Helper processes of a benchmark, called by name over their IPC channel (see `child.mjs`). */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

/** What a module that runs in such a process exports as `handlers`. */
export type Handlers = Readonly<Record<string, (args: never) => unknown>>

interface Answer {
  readonly id: number
  readonly result?: unknown
  readonly error?: string
}

interface Waiting {
  resolve(result: unknown): void
  reject(error: Error): void
}

/** A module's `handlers` in a process of its own. Calls may overlap. */
export class Child {
  readonly pid: number
  readonly #process: ChildProcess
  readonly #waiting = new Map<number, Waiting>()
  readonly #ended: Promise<unknown>
  #lastId = 0

  private constructor(process: ChildProcess) {
    this.#process = process
    this.pid = process.pid ?? 0
    this.#ended = once(process, 'exit').then(([code, signal]) => {
      for (const { reject } of this.#waiting.values()) {
        reject(new Error(`a helper process ended (${signal ?? code})`))
      }
      this.#waiting.clear()
    })
    process.on('message', (message) => this.#settle(message as Answer))
  }

  /** Starts the process; `module` is a file of this folder. Resolves when it takes calls. */
  static async start(module: string): Promise<Child> {
    const file = join(import.meta.dirname, 'child.mjs')
    const forked = fork(file, [module], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    const child = new Child(forked)
    await new Promise<unknown>((resolve, reject) => child.#waiting.set(0, { resolve, reject }))
    return child
  }

  /** Runs a handler there; rejects with its error. */
  call<Result>(call: string, args: object = {}): Promise<Result> {
    const id = ++this.#lastId
    return new Promise<Result>((resolve, reject) => {
      this.#waiting.set(id, { resolve: (result) => resolve(result as Result), reject })
      this.#process.send({ id, call, args }, (error) => {
        if (error !== null)
          this.#settle({ id, error: `a helper process is gone: ${error.message}` })
      })
    })
  }

  async end(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#ended
  }

  #settle({ id, result, error }: Answer): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (error === undefined) waiting?.resolve(result)
    else waiting?.reject(new Error(error))
  }
}
