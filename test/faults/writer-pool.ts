/** Writing processes that wait, started, for their turn: a crash test's rounds cost no start-up. */

import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'

/** Characters of a child's output kept for failure messages. */
const MAX_ERRORS = 10_000

export interface WriterTask {
  readonly directory: string
  readonly durability: 'memory' | 'process' | 'disk'
  /** Number of the first operation. */
  readonly first: number
}

export class WriterPool {
  readonly #size: number
  readonly #env: () => NodeJS.ProcessEnv
  readonly #waiting: Writer[] = []
  readonly #all = new Set<Writer>()

  /** @param env environment of each child, asked for at its start. */
  constructor(size: number, env: () => NodeJS.ProcessEnv = () => process.env) {
    this.#size = size
    this.#env = env
  }

  /** A started writer; another one starts in its place. */
  async take(): Promise<Writer> {
    while (this.#waiting.length < this.#size) this.#waiting.push(this.#start())
    const writer = this.#waiting.shift()
    if (writer === undefined) throw new Error('a pool of no writers')
    this.#waiting.push(this.#start())
    await writer.ready
    return writer
  }

  /** Ends every process that still runs. */
  async close(): Promise<void> {
    await Promise.all([...this.#all].map((writer) => writer.kill()))
  }

  #start(): Writer {
    const writer = new Writer(this.#env())
    this.#all.add(writer)
    void writer.exited.then(() => this.#all.delete(writer))
    return writer
  }
}

export class Writer {
  /** The environment it was started with. */
  readonly env: NodeJS.ProcessEnv
  readonly exited: Promise<void>
  readonly ready: Promise<void>
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>
  #output = ''
  #errors = ''
  #ended = false
  #wake: () => void = () => undefined

  constructor(env: NodeJS.ProcessEnv) {
    this.env = env
    this.#child = spawn(process.execPath, [join(import.meta.dirname, 'writer-child.mjs')], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env,
    })
    this.exited = new Promise((resolve) => this.#child.once('close', () => resolve()))
    this.#child.stdin.on('error', () => undefined)
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text
      this.#wake()
    })
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-MAX_ERRORS)
    })
    void this.exited.then(() => {
      this.#ended = true
      this.#wake()
    })
    this.ready = this.#until(() => this.#output.includes('ready\n'))
    // One that is never taken, and ended with the pool, fails nobody.
    this.ready.catch(() => undefined)
  }

  begin(task: WriterTask): void {
    this.#child.stdin.write(`${JSON.stringify(task)}\n`)
  }

  /** Resolves once `count` operations were acknowledged. */
  acknowledged(count: number): Promise<void> {
    return this.#until(() => this.#acknowledgements().length >= count)
  }

  /** Ends the process at once, as `kill -9` does. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.exited
  }

  /** Number of the newest acknowledged operation; undefined when there is none. */
  last(): number | undefined {
    const numbers = this.#acknowledgements()
    return numbers.length === 0 ? undefined : Math.max(...numbers)
  }

  #acknowledgements(): number[] {
    const lines = this.#output.split('\n').slice(0, -1)
    return lines.filter((line) => /^\d+$/.test(line)).map(Number)
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.#ended) throw new Error(`the writing process ended early: ${this.#errors}`)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}
