/**
 * A node: one store, its fan-out and its HTTP listener.
 *
 *   idle ──open──▶ opening ──▶ open ──close──▶ closing ──▶ idle
 *                  opening ──(failed, rolled back)──▶ idle
 *
 * What happens in which order while opening and closing is written in lifecycle.ts.
 */
import { StateError } from '../core/errors.ts'
import type { Hub } from '../fanout/hub.ts'
import type { Filters } from '../store/filters.ts'
import type { Store } from '../store/store.ts'
import { closeNode, openNode, type RunningNode } from './lifecycle.ts'
import { type ResolvedServerOptions, resolveServerOptions, type ServerOptions } from './options.ts'
import type { ServerAddress } from './plugin.ts'
import { createRegistry, type Registry } from './registry.ts'

export type { ServerOptions } from './options.ts'

export interface Server {
  /**
   * Opens the storage, listens and starts the plugins. Open already: nothing happens. A failure undoes
   * what was done, and `open` may be called again.
   * @throws StateError `in_use` when the address is taken; `closing`; what the storage or a plugin threw.
   */
  open(): Promise<void>
  /**
   * Stops plugins, sockets, requests and storage, in this order. Idempotent: calls during a close get the
   * same promise. The server can be opened again afterwards.
   */
  close(): Promise<void>
  /** Where it listens; undefined unless open. */
  readonly address: ServerAddress | undefined
  /** Filters may be registered at any time. */
  readonly filters: Filters
  /** @throws StateError `not_open` unless open. */
  readonly store: Store
  /** @throws StateError `not_open` unless open. */
  readonly hub: Hub
  /** Open WebSockets. */
  readonly socketCount: number
}

/** A server that is not open yet. @throws StateError `invalid_option`. */
export function createServer(options: ServerOptions): Server {
  return new NodeServer(resolveServerOptions(options))
}

type ServerState =
  | { readonly kind: 'idle' }
  | { readonly kind: 'opening'; readonly done: Promise<void> }
  | { readonly kind: 'open'; readonly node: RunningNode }
  | { readonly kind: 'closing'; readonly done: Promise<void> }

class NodeServer implements Server {
  readonly #options: ResolvedServerOptions
  readonly #registry: Registry = createRegistry()
  #state: ServerState = { kind: 'idle' }

  constructor(options: ResolvedServerOptions) {
    this.#options = options
    for (const path of options.open) this.#registry.filters.open(path)
  }

  get filters(): Filters {
    return this.#registry.filters
  }

  get address(): ServerAddress | undefined {
    return this.#state.kind === 'open' ? this.#state.node.address : undefined
  }

  get store(): Store {
    return this.#node().store
  }

  get hub(): Hub {
    return this.#node().hub
  }

  get socketCount(): number {
    return this.#state.kind === 'open' ? this.#state.node.sockets.size : 0
  }

  open(): Promise<void> {
    switch (this.#state.kind) {
      case 'open':
        return Promise.resolve()
      case 'opening':
        return this.#state.done
      case 'closing':
        return Promise.reject(new StateError('closing', 'ooo: server is closing'))
      case 'idle': {
        const done = this.#open()
        this.#state = { kind: 'opening', done }
        return done
      }
    }
  }

  close(): Promise<void> {
    switch (this.#state.kind) {
      case 'idle':
        return Promise.resolve()
      case 'closing':
        return this.#state.done
      case 'opening': {
        const opened = this.#state.done
        return opened.then(
          () => this.close(),
          () => undefined,
        )
      }
      case 'open': {
        const done = this.#close(this.#state.node)
        this.#state = { kind: 'closing', done }
        return done
      }
    }
  }

  async #open(): Promise<void> {
    try {
      this.#state = { kind: 'open', node: await openNode(this.#options, this.#registry) }
    } catch (error) {
      this.#state = { kind: 'idle' }
      throw error
    }
  }

  async #close(node: RunningNode): Promise<void> {
    try {
      await closeNode(node)
    } finally {
      this.#state = { kind: 'idle' }
    }
  }

  #node(): RunningNode {
    if (this.#state.kind !== 'open') {
      throw new StateError('not_open', `ooo: server is not open (${this.#state.kind})`)
    }
    return this.#state.node
  }
}
