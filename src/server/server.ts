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
import type { Database } from '../store/database.ts'
import type { Filters } from '../store/filters/filters.ts'
import type { ReplicationStore } from '../store/replication-store.ts'
import type { AdmissionMetrics } from './admission/admission.ts'
import { type Hooks, runRefusing } from './connections/hooks.ts'
import type { SocketMetrics } from './connections/sockets.ts'
import { bodyLimitsOf, type MemoryMetrics } from './contract/memory-limits.ts'
import {
  type ResolvedServerOptions,
  resolveServerOptions,
  type ServerOptions,
} from './contract/options.ts'
import type { ServerAddress } from './contract/plugin.ts'
import { createIo, type ServerIo } from './data/io.ts'
import type { Middleware } from './exchange/middleware.ts'
import { closeNode, openNode, type RunningNode } from './lifecycle.ts'
import { createRegistry, type Registry } from './management/registry.ts'
import type { Proxies } from './reverse-proxy/proxy.ts'
import type { Endpoint } from './routing/endpoint.ts'

export type { ServerOptions } from './contract/options.ts'

export interface Server extends ServerIo {
  /**
   * Opens the storage, listens, starts the plugins and runs the `start` hooks. Open already: nothing
   * happens. A failure undoes what was done, and `open` may be called again.
   * @throws StateError `unprotected` when other machines reach it and nothing guards its data: see the option
   *   `open`; `in_use` when the address is taken; `closing`; what the storage or a plugin threw.
   */
  open(): Promise<void>
  /**
   * Stops plugins, sockets, requests and storage, in this order. Idempotent: calls during a close get the
   * same promise; during `open` it waits for that first. The server can be opened again afterwards.
   */
  close(): Promise<void>
  /**
   * Reads the certificate files again, for connections from now on. Nothing happens without TLS.
   * @throws StateError `not_open`; `invalid_option` when they do not work: the pair in use stays.
   */
  reloadCertificate(): Promise<void>
  /** Where it listens; undefined unless open. */
  readonly address: ServerAddress | undefined
  /** Filters may be registered at any time. */
  readonly filters: Filters
  /**
   * Adds a custom endpoint, at any time; returns what takes it out again.
   * @throws StateError `invalid_option` for a template, method or schema that cannot be used.
   */
  endpoint(endpoint: Endpoint): () => void
  /** Adds a middleware behind those already there, at any time; returns what takes it out again. */
  use(middleware: Middleware): () => void
  /** Hooks may be registered at any time. */
  readonly hooks: Hooks
  /** Routes answered by other servers; may be registered at any time. */
  readonly proxy: Proxies
  /**
   * The data for the owner's own code: ranges, locks, watches and more; no filter applies.
   * @throws StateError `not_open` unless open.
   */
  readonly database: Database
  /**
   * What is below the database: its writes wait for no lock, its reads ask no hook.
   * @throws StateError `not_open` unless open.
   */
  readonly store: ReplicationStore
  /** @throws StateError `not_open` unless open. */
  readonly hub: Hub
  /**
   * Resolves with the reason when the storage of this `open` is lost for good, as when another node has taken its
   * rows in a database. Reads and writes are refused with that reason then, subscriptions, watches and plugins
   * have ended; `close`, and `open` again or end the process. Never rejects.
   * @throws StateError `not_open` unless open.
   */
  readonly storageLost: Promise<StateError>
  /** Open WebSockets. */
  readonly socketCount: number
  /** Connections of this `open` and why they were refused. @throws StateError `not_open` unless open. */
  readonly admissionMetrics: AdmissionMetrics
  /** Sockets of this `open` and why they were dropped. @throws StateError `not_open` unless open. */
  readonly socketMetrics: SocketMetrics
  /** What clients of this `open` make the node hold. @throws StateError `not_open` unless open. */
  readonly memoryMetrics: MemoryMetrics
}

/** A server that is not open yet. @throws StateError `invalid_option`. */
export function createServer(options: ServerOptions): Server {
  return new NodeServer(resolveServerOptions(options))
}

type ServerState =
  | { readonly kind: 'idle' }
  | { readonly kind: 'opening'; readonly done: Promise<void> }
  | { readonly kind: 'open'; readonly node: RunningNode; readonly done: Promise<void> }
  | { readonly kind: 'closing'; readonly done: Promise<void> }

class NodeServer implements Server {
  readonly #options: ResolvedServerOptions
  readonly #registry: Registry
  #state: ServerState = { kind: 'idle' }
  readonly #io: ServerIo = createIo(() => {
    const { data, acks } = this.#node()
    return { data, acks }
  })
  readonly get: ServerIo['get'] = this.#io.get
  readonly getList: ServerIo['getList'] = this.#io.getList
  readonly set: ServerIo['set'] = this.#io.set
  readonly push: ServerIo['push'] = this.#io.push
  readonly patch: ServerIo['patch'] = this.#io.patch
  readonly update: ServerIo['update'] = this.#io.update
  readonly delete: ServerIo['delete'] = this.#io.delete

  constructor(options: ResolvedServerOptions) {
    this.#options = options
    this.#registry = createRegistry({
      io: this.#io,
      ...bodyLimitsOf(options),
    })
    for (const path of options.open) this.#registry.filters.open(path)
  }

  get filters(): Filters {
    return this.#registry.filters
  }

  endpoint(endpoint: Endpoint): () => void {
    return this.#registry.endpoints.add(endpoint)
  }

  use(middleware: Middleware): () => void {
    return this.#registry.middleware.use(middleware)
  }

  get hooks(): Hooks {
    return this.#registry.hooks
  }

  get proxy(): Proxies {
    return this.#registry.proxies
  }

  get address(): ServerAddress | undefined {
    return this.#state.kind === 'open' ? this.#state.node.address : undefined
  }

  get database(): Database {
    return this.#node().database
  }

  get store(): ReplicationStore {
    return this.#node().store
  }

  get hub(): Hub {
    return this.#node().hub
  }

  get storageLost(): Promise<StateError> {
    return this.#node().storageLost
  }

  get socketCount(): number {
    return this.#state.kind === 'open' ? this.#state.node.sockets.size : 0
  }

  get admissionMetrics(): AdmissionMetrics {
    return this.#node().admission.metrics()
  }

  get memoryMetrics(): MemoryMetrics {
    return this.#node().memory()
  }

  get socketMetrics(): SocketMetrics {
    return this.#node().sockets.metrics()
  }

  async reloadCertificate(): Promise<void> {
    await this.#node().listener.reloadCertificate()
  }

  open(): Promise<void> {
    switch (this.#state.kind) {
      case 'open':
      case 'opening':
        return this.#state.done
      case 'closing':
        return Promise.reject(new StateError('closing', 'ooo: server is closing'))
      case 'idle': {
        const done: Promise<void> = this.#open(() => done)
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

  /** @param done gives the promise this call returned */
  async #open(done: () => Promise<void>): Promise<void> {
    try {
      const node = await openNode(this.#options, this.#registry)
      this.#state = { kind: 'open', node, done: done() }
    } catch (error) {
      this.#state = { kind: 'idle' }
      throw error
    }
    try {
      await runRefusing(this.#registry.hooks, 'start')
    } catch (error) {
      await this.close()
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
