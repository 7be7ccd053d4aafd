/**
 * A subscriber written from the wire format alone: a bare WebSocket whose patches are applied by
 * an independent RFC 6902 implementation. It never reconnects, so that any interruption shows.
 */

import jsonPatch from 'fast-json-patch'
import { WebSocket } from 'ws'
import { waitFor } from './wait.ts'

interface Envelope {
  readonly snapshot: boolean
  readonly version: string
  readonly data: unknown
}

/** An entry as a subscriber sees it; stamps are rounded to doubles here. */
export interface SeenEntry {
  readonly created: number
  readonly updated: number
  readonly index: string
  readonly path?: string
  readonly data: unknown
}

export interface SubscriberOptions {
  /** The newest states that are kept for looking back; older ones are dropped. Default 10,000. 0 keeps none. */
  readonly keepStates?: number
}

/** One subscription to a key or glob of one node. */
export class Subscriber {
  readonly key: string
  /** Every state that was shown, oldest first, copied. */
  readonly states: unknown[] = []
  /** Text of every reason why the stream ended or broke; empty while all is well. */
  readonly problems: string[] = []
  snapshots = 0
  #state: unknown
  readonly #socket: WebSocket
  readonly #keepStates: number
  readonly #listeners = new Set<() => void>()
  #closing = false

  private constructor(key: string, socket: WebSocket, options: SubscriberOptions) {
    this.key = key
    this.#socket = socket
    this.#keepStates = options.keepStates ?? 10_000
    socket.on('message', (data, isBinary) => this.#receive(String(data), isBinary))
    socket.on('error', (error) => this.problems.push(`error: ${error.message}`))
    socket.on('close', (code, reason) => {
      if (!this.#closing) this.problems.push(`closed: ${code} ${String(reason)}`)
    })
  }

  /** Resolves with the first snapshot in hand. `baseUrl` is the node's, as `http://host:port`. */
  static async open(
    baseUrl: string,
    key: string,
    options: SubscriberOptions = {},
  ): Promise<Subscriber> {
    const socket = new WebSocket(`${baseUrl.replace(/^http/, 'ws')}/${key}`)
    const subscriber = new Subscriber(key, socket, options)
    await waitFor(() => subscriber.snapshots > 0 || subscriber.problems.length > 0, {
      what: `the first snapshot of ${key} from ${baseUrl}`,
    })
    if (subscriber.problems.length > 0) throw new Error(subscriber.problems.join('; '))
    return subscriber
  }

  /** The state now: an entry, or an array of entries. */
  get state(): unknown {
    return this.#state
  }

  /** The data of a list's entries by path, sorted by path; order on the wire is for display only. */
  dataByPath(): Record<string, unknown> {
    return dataByPath(this.#state)
  }

  /** The data of a single key; `{}` when it is absent. */
  data(): unknown {
    return (this.#state as SeenEntry).data
  }

  /** Calls `listener` after each frame; gives what ends that. */
  onState(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  close(): void {
    this.#closing = true
    this.#socket.terminate()
  }

  #receive(text: string, isBinary: boolean): void {
    try {
      if (!isBinary) throw new Error('a text frame')
      const { snapshot, data } = JSON.parse(text) as Envelope
      if (snapshot) {
        this.snapshots += 1
        this.#state = data
      } else {
        const patch = data as jsonPatch.Operation[]
        this.#state = jsonPatch.applyPatch(this.#state, patch, true).newDocument
      }
      if (this.#keepStates > 0) this.states.push(structuredClone(this.#state))
      if (this.states.length > this.#keepStates) this.states.shift()
      for (const listener of this.#listeners) listener()
    } catch (error) {
      this.problems.push(`frame ${text.slice(0, 300)}: ${String(error)}`)
    }
  }
}

/** The data of entries by path, sorted by path. */
export function dataByPath(entries: unknown): Record<string, unknown> {
  const list = (entries as SeenEntry[]).map((entry) => [entry.path ?? '', entry.data] as const)
  list.sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(list)
}
