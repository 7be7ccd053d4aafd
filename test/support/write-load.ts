/** Clients that write to nodes all the time and remember what was acknowledged. */
import { setTimeout as pause } from 'node:timers/promises'
import { waitFor } from './wait.ts'

export interface WritableNode {
  readonly name: string
  /** Rejects when the write was not acknowledged. */
  post(key: string, value: unknown): Promise<unknown>
}

/** Between two writes to one node; so that a load is no flood. */
const PAUSE_MS = 25
const PROGRESS_MS = 60_000

export class WriteLoad {
  /** Values by key; only what a node said it had taken. */
  readonly acknowledged: Map<string, unknown> = new Map()
  /** Writes that a node refused, or did not answer. */
  failed = 0
  readonly #prefix: string
  readonly #clients: Promise<void>[]
  #stopped = false

  /** Starts one client for each node; keys begin with `prefix`, such as `items/kill-`. */
  constructor(nodes: readonly WritableNode[], prefix: string) {
    this.#prefix = prefix
    this.#clients = nodes.map((node) => this.#write(node))
  }

  /** Resolves when so many writes more were acknowledged. */
  async progress(count: number): Promise<void> {
    const goal = this.acknowledged.size + count
    await waitFor(() => this.acknowledged.size >= goal, {
      deadlineMs: PROGRESS_MS,
      what: `${count} more writes`,
    })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#clients)
  }

  async #write(node: WritableNode): Promise<void> {
    for (let i = 0; !this.#stopped; i += 1) {
      const key = `${this.#prefix}${node.name}-${i}`
      try {
        await node.post(key, { i })
        this.acknowledged.set(key, { i })
      } catch {
        this.failed += 1
      }
      await pause(PAUSE_MS)
    }
  }
}
