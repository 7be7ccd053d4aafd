/** Drives `supervision.ts`: runs one node as a child process and keeps it running. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { type BackoffOptions, backoffDelayMs } from '../../src/core/ports/backoff.ts'
import type { CancelTimer, Random, TimeSource } from '../../src/core/ports/time.ts'
import { isReadyMessage } from './supervised.ts'
import {
  type ChildEffect,
  type ChildEvent,
  type ChildState,
  FIRST_START,
  stepChild,
} from './supervision.ts'

/** Uptime after which the next crash counts as the first again. */
const STABLE_MS = 10_000
/** Time a child has to end after SIGTERM; a server's own deadline is shorter. */
const GRACE_MS = 15_000
const RESTART_DELAYS: BackoffOptions = { initialMs: 200, maxMs: 5_000, factor: 2, jitter: 'equal' }

export interface SupervisorOptions {
  readonly program: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly time: TimeSource
  readonly random: Random
  /** Hears every line that the child prints, without its newline. */
  onLine(line: string): void
  /** Hears what the supervisor does about a child that ended by itself. */
  onNews(text: string): void
}

/** One child process, started by the constructor. */
export class Supervisor {
  /** Resolves when the child first serves: true; or when it ended before that: false. */
  readonly ready: Promise<boolean>
  /** Resolves when the child is gone for good, with whether that was a failure. */
  readonly ended: Promise<{ readonly failed: boolean }>
  readonly #options: SupervisorOptions
  #state: ChildState = FIRST_START
  #child: ChildProcess | undefined
  #cancelTimer: CancelTimer = () => undefined
  #resolveReady: (ready: boolean) => void = () => undefined
  #resolveEnded: (end: { failed: boolean }) => void = () => undefined

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.ready = new Promise((resolve) => {
      this.#resolveReady = resolve
    })
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve
    })
    this.#spawn()
  }

  /** Asks the child to end, kills it when it takes too long; resolves when it is gone. */
  stop(): Promise<{ readonly failed: boolean }> {
    this.#handle({ name: 'stop' })
    return this.ended
  }

  /** Kills the child, if it runs, without waiting. */
  kill(): void {
    this.#child?.kill('SIGKILL')
  }

  #handle(event: ChildEvent): void {
    const { state, effects } = stepChild(this.#state, event)
    this.#state = state
    for (const effect of effects) this.#run(effect)
    if (state.name === 'running') this.#resolveReady(true)
    if (state.name === 'ended') {
      this.#resolveReady(false)
      this.#resolveEnded({ failed: state.failed })
    }
  }

  #run(effect: ChildEffect): void {
    switch (effect.name) {
      case 'spawn':
        this.#spawn()
        break
      case 'terminate':
        this.#child?.kill('SIGTERM')
        break
      case 'kill':
        this.#options.onNews('does not end, killed')
        this.kill()
        break
      case 'timer':
        this.#setTimer(effect.event === 'stable' ? STABLE_MS : GRACE_MS, { name: effect.event })
        break
      case 'retryTimer': {
        const delayMs = backoffDelayMs(effect.attempt, RESTART_DELAYS, this.#options.random)
        this.#options.onNews(`starts again in ${delayMs} ms`)
        this.#setTimer(delayMs, { name: 'due' })
        break
      }
      case 'cancelTimer':
        this.#cancelTimer()
        break
    }
  }

  #setTimer(delayMs: number, event: ChildEvent): void {
    this.#cancelTimer()
    this.#cancelTimer = this.#options.time.after(delayMs, () => this.#handle(event))
  }

  #spawn(): void {
    const { program, args, env } = this.#options
    const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
    this.#child = child
    this.#forward(child.stdout)
    this.#forward(child.stderr)
    child.on('message', (message) => {
      if (isReadyMessage(message)) this.#handle({ name: 'ready' })
    })
    child.once('error', (error) => this.#options.onNews(error.message))
    // 'close' rather than 'exit': the last lines are out then.
    child.once('close', (code, signal) => {
      this.#child = undefined
      if (this.#state.name !== 'stopping') {
        this.#options.onNews(`ended by itself (${signal ?? `exit code ${code}`})`)
      }
      this.#handle({ name: 'exited' })
    })
  }

  #forward(stream: Readable | null): void {
    if (stream === null) return
    createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', (line) =>
      this.#options.onLine(line),
    )
  }
}
