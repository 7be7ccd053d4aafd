/**
 * One node of the built command as a process whose arguments and clock can change between and during
 * its lives. Its port and its folder stay.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { OOO_COMMAND } from '../../support/built.ts'
import { waitFor } from '../../support/wait.ts'
import type { WrongClock } from './wrong-clock.ts'

const START_DEADLINE_MS = 60_000
/** Characters of output kept for failing rounds. */
const MAX_OUTPUT = 200_000

export interface NodeOptions {
  readonly name: string
  readonly port: number
  readonly directory: string
  readonly clock: WrongClock
}

export class NodeProcess {
  readonly name: string
  readonly port: number
  readonly url: string
  readonly directory: string
  readonly clock: WrongClock
  /** Arguments of the next start, besides port, folder and name. */
  args: readonly string[] = []
  /** The last part of what its processes wrote. */
  output = ''
  #child: ChildProcess | undefined
  #exited: Promise<void> = Promise.resolve()

  constructor({ name, port, directory, clock }: NodeOptions) {
    this.name = name
    this.port = port
    this.url = `http://127.0.0.1:${port}`
    this.directory = directory
    this.clock = clock
  }

  get isRunning(): boolean {
    return this.#child !== undefined
  }

  /** Resolves when the node says that it serves. */
  async start(): Promise<void> {
    if (this.#child !== undefined) throw new Error(`${this.name} runs already`)
    const fixed = ['serve', '--host', '127.0.0.1', '--port', String(this.port)]
    const all = [...fixed, '--data', this.directory, '--name', this.name, ...this.args]
    const child = spawn(process.execPath, [OOO_COMMAND, ...all], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH ?? '', HOME: this.directory, ...this.clock.environment },
    })
    this.#child = child
    let said = ''
    const hear = (text: string): void => {
      said = (said + text).slice(-MAX_OUTPUT)
      this.output = (this.output + text).slice(-MAX_OUTPUT)
    }
    child.stdout.setEncoding('utf8').on('data', hear)
    child.stderr.setEncoding('utf8').on('data', hear)
    this.#exited = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        hear(`[exit ${code ?? signal}]\n`)
        if (this.#child === child) this.#child = undefined
        resolve()
      })
    })
    await waitFor(() => said.includes(' serving ') || this.#child !== child, {
      deadlineMs: START_DEADLINE_MS,
      what: `${this.name} to serve`,
    })
    if (this.#child !== child) throw new Error(`${this.name} ended at its start:\n${said}`)
  }

  /** SIGTERM, and its end. */
  async stop(): Promise<void> {
    this.#child?.kill('SIGTERM')
    await this.#exited
  }

  /** SIGKILL, and its end. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await this.#exited
  }

  /** SIGSTOP: its sockets stay open, nothing answers. */
  freeze(): void {
    this.#child?.kill('SIGSTOP')
  }

  /** SIGCONT. */
  thaw(): void {
    this.#child?.kill('SIGCONT')
  }

  /** A lost disk. */
  async wipe(): Promise<void> {
    if (this.isRunning) throw new Error(`${this.name} runs: its disk cannot be lost now`)
    await rm(this.directory, { recursive: true, force: true })
  }

  /** At the end of the process that runs the round, whatever the reason. */
  killNow(): void {
    this.#child?.kill('SIGKILL')
  }
}
