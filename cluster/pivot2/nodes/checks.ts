/**
 * When a leader looks whether a 2.0 node holds what it should: a while after it was told of a change,
 * and again, later each time, while it does not.
 */
import { errorText } from '../../../src/core/errors.ts'
import type { Logger } from '../../../src/core/ports/logger.ts'
import { type CancelTimer, NS_PER_MS, type TimeSource } from '../../../src/core/ports/time.ts'

export interface NodeChecksOptions {
  readonly time: TimeSource
  readonly logger: Logger
  /** `host:port` of the node. */
  readonly address: string
  /** From a change to the look at it, milliseconds. Default 20. */
  readonly delayMs: number | undefined
  /** Whether the node holds what is held here; takes over what is newer there. */
  readonly compare: (path: string) => Promise<boolean>
  /** Makes the node pull the path. Never rejects. */
  readonly announce: (path: string) => Promise<void>
}

interface Check {
  readonly cancel: CancelTimer
}

/** Soon: what the node has not been seen to hold yet can not be known to be deleted there. */
const FIRST_MS = 20
/** To the second look; doubled for each after it. */
const AGAIN_MS = 1_000
/** Looks in a row that find the node different, after which the next change is waited for. */
const MAX_LOOKS = 5
/** A look may take this part of the time, at most. */
const DUTY = 10

export class NodeChecks {
  readonly #options: NodeChecksOptions
  /** By path: as many as there are scopes, at most. */
  readonly #due = new Map<string, Check>()
  readonly #running = new Set<Promise<void>>()
  #lastMs = 0
  #lastEndNs = 0n
  #isStopped = false

  constructor(options: NodeChecksOptions) {
    this.#options = options
  }

  /** The path has changed. */
  due(path: string): void {
    this.#schedule(path, 0)
  }

  /** Looks at once at what is due, and at nothing from then on. */
  async finish(): Promise<void> {
    this.#isStopped = true
    for (const [path, { cancel }] of [...this.#due]) {
      cancel()
      this.#begin(path, 0)
    }
    await Promise.all(this.#running)
  }

  /** Waits for looks under way. */
  async stop(): Promise<void> {
    this.#isStopped = true
    for (const { cancel } of this.#due.values()) cancel()
    await Promise.all(this.#running)
  }

  #schedule(path: string, looks: number): void {
    if (this.#isStopped || this.#due.has(path)) return
    const { time, delayMs = FIRST_MS } = this.#options
    const least = looks === 0 ? delayMs : AGAIN_MS * 2 ** (looks - 1)
    const sinceMs = Number((time.monotonicNs() - this.#lastEndNs) / NS_PER_MS)
    const wait = Math.max(least, this.#lastMs * DUTY - sinceMs)
    const cancel = time.after(wait, () => this.#begin(path, looks))
    this.#due.set(path, { cancel })
  }

  #begin(path: string, looks: number): void {
    this.#due.delete(path)
    const look = this.#look(path, looks)
    this.#running.add(look)
    void look.finally(() => this.#running.delete(look))
  }

  async #look(path: string, looks: number): Promise<void> {
    const { time, logger, address, compare, announce } = this.#options
    const startNs = time.monotonicNs()
    let isSame = false
    let error: string | undefined
    try {
      isSame = await compare(path)
    } catch (cause) {
      error = errorText(cause)
    }
    this.#lastEndNs = time.monotonicNs()
    this.#lastMs = Number((this.#lastEndNs - startNs) / NS_PER_MS)
    if (isSame || this.#isStopped) return
    if (looks + 1 >= MAX_LOOKS) {
      logger.warn('a 2.0 node does not take over what is held here', { node: address, path, error })
      return
    }
    if (error === undefined) await announce(path)
    this.#schedule(path, looks + 1)
  }
}
