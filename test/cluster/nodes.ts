/** Real servers that replicate `items/*` and `settings` in one process, with links that can be cut. */
import { afterEach } from 'vitest'
import { type ClusterOptions, type ClusterPlugin, cluster } from '../../cluster/index.ts'
import { DEFAULT_JSON_BOUNDS } from '../../src/core/json/bounds.ts'
import type { MessageSocket, Transport } from '../../src/core/ports/transport.ts'
import { DEFAULT_MAX_VALUE_BYTES } from '../../src/core/records/check.ts'
import { createWsTransport } from '../../src/server/dial/ws-transport.ts'
import { createServer, type Server } from '../../src/server/server.ts'
import { recordRows } from '../../src/store/format/rows.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'
import { type Answer, request } from '../support/http.ts'
import { waitFor } from '../support/wait.ts'

const closers: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** A transport whose connections can be ended, and dials refused. */
class CuttableTransport implements Transport {
  readonly #inner = createWsTransport()
  readonly #open = new Set<MessageSocket>()
  #isCut = false

  dial(...[request, opened, handlers]: Parameters<Transport['dial']>): MessageSocket {
    const target = this.#isCut ? { ...request, url: 'ws://127.0.0.1:1/' } : request
    const socket = this.#inner.dial(target, opened, handlers)
    this.#open.add(socket)
    return socket
  }

  cut(): void {
    this.#isCut = true
    for (const socket of this.#open) socket.terminate()
    this.#open.clear()
  }

  heal(): void {
    this.#isCut = false
  }
}

export class TestNode {
  readonly server: Server
  readonly plugin: ClusterPlugin
  readonly link: CuttableTransport

  constructor(
    server: Server,
    plugin: ClusterPlugin,
    link: CuttableTransport = new CuttableTransport(),
  ) {
    this.server = server
    this.plugin = plugin
    this.link = link
  }

  get url(): string {
    return this.server.address?.url ?? ''
  }

  get id(): string {
    return this.server.store.id
  }

  request(
    method: string,
    path: string,
    body?: string,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    return request(method, `${this.url}${path}`, {
      headers,
      ...(body === undefined ? {} : { body }),
    })
  }

  /** Resolves once it follows its leaders live, or is followed by `followers` nodes that hold all. */
  async live(followers = 0): Promise<void> {
    await waitFor(
      () => {
        const status = this.plugin.status()
        const isUp = status?.links.every(({ state }) => state === 'live') === true
        const caughtUp = status?.followers.filter(({ lagRows }) => lagRows === 0) ?? []
        return isUp && caughtUp.length >= followers
      },
      { what: 'live links' },
    )
  }
}

export interface NodeOptions extends Omit<Partial<ClusterOptions>, 'leader'> {
  readonly leader?: TestNode
  /** How the leader is elected. Default: not at all. */
  readonly election?: NonNullable<ClusterOptions['leader']>
  /** Milliseconds a write may take. Default 10 000. */
  readonly deadlineMs?: number
  readonly storage?: MemoryStorage
  /** Largest value that is written, bytes. Default 10 MiB. */
  readonly maxValueBytes?: number
  /** Deepest nesting of a value that is written. Default 512. */
  readonly maxJsonDepth?: number
}

/**
 * A disk whose writes of some keys can be held back; others go on, since a node has its own to make
 * (such as what its leader acknowledged) and plans nothing while one is under way.
 */
export class HeldStorage extends MemoryStorage {
  #prefix = ''
  #held: (() => void)[] | undefined

  /** Holds every batch that writes an entry whose key starts with `prefix`. */
  hold(prefix: string): void {
    this.#prefix = recordRows(prefix).gte ?? ''
    this.#held = []
  }

  /** Batches that are held back now. */
  get heldBatches(): number {
    return this.#held?.length ?? 0
  }

  release(): void {
    for (const go of this.#held?.splice(0) ?? []) go()
    this.#held = undefined
  }

  override async batch(...args: Parameters<MemoryStorage['batch']>): Promise<void> {
    const held = this.#held
    if (held !== undefined && args[0].some(({ key }) => key.startsWith(this.#prefix))) {
      await new Promise<void>((resolve) => {
        held.push(resolve)
      })
    }
    return super.batch(...args)
  }
}

export async function startNode({
  leader,
  election,
  deadlineMs = 10_000,
  storage = new MemoryStorage(),
  maxValueBytes = DEFAULT_MAX_VALUE_BYTES,
  maxJsonDepth = DEFAULT_JSON_BOUNDS.maxDepth,
  ...options
}: NodeOptions = {}): Promise<TestNode> {
  const link = new CuttableTransport()
  const plugin = cluster({
    keys: [{ path: 'items/*' }, { path: 'settings' }],
    ...(leader === undefined ? {} : { clusterUrl: leader.url }),
    ...(election === undefined ? {} : { leader: election }),
    ...options,
    limits: { reconnectInitialMs: 20, reconnectMaxMs: 50, ...options.limits },
  })
  const server = createServer({
    storage,
    port: 0,
    deadlineMs,
    maxValueBytes,
    maxJsonDepth,
    plugins: [plugin],
    transport: link,
  })
  await server.open()
  closers.push(() => {
    if (storage instanceof HeldStorage) storage.release()
    return server.close()
  })
  return new TestNode(server, plugin, link)
}
