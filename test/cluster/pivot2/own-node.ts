/** Our own nodes beside 2.0 peers: real servers of one process, and the questions tests ask of them. */
import { onTestFinished } from 'vitest'
import { type ClusterPlugin, cluster } from '../../../cluster/index.ts'
import type { Logger } from '../../../src/core/ports/logger.ts'
import type { StorageAdapter } from '../../../src/core/ports/storage-adapter.ts'
import { createServer, type Server } from '../../../src/server/server.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { type Answer, type RequestOptions, request } from '../../support/http.ts'
import { waitFor } from '../../support/wait.ts'
import { type PeerOptions, PivotPeer } from './peer.ts'

export const KEYS: readonly string[] = ['things/*', 'settings']

export interface OwnOptions {
  /** `host:port` of the leader. */
  readonly follows?: string
  readonly port?: number
  readonly token?: string
  readonly storage?: StorageAdapter
  /** Milliseconds between two polls of a 2.0 leader, and dials of its stream. Default 50. */
  readonly pollMs?: number
  readonly keys?: readonly string[]
  /** 2.0 nodes that may join from the start. Default: none. */
  readonly lists?: readonly { readonly address: string }[]
  readonly logger?: Logger
}

export class OwnNode {
  readonly server: Server
  readonly plugin: ClusterPlugin

  readonly #listed = new Set<string>()

  constructor(server: Server, plugin: ClusterPlugin) {
    this.server = server
    this.plugin = plugin
  }

  get url(): string {
    return this.server.address?.url ?? ''
  }

  get address(): string {
    return this.url.replace('http://', '')
  }

  request(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    return request(method, this.url + path, options)
  }

  /** Takes these 2.0 nodes in, too. */
  lists(...nodes: readonly { readonly address: string }[]): void {
    if (nodes.length === 0) return
    for (const { address } of nodes) this.#listed.add(address)
    this.plugin.listPivot2([...this.#listed])
  }

  async set(key: string, data: string): Promise<void> {
    await this.server.store.set(key, data)
  }

  async delete(key: string): Promise<void> {
    await this.server.store.delete(key)
  }

  async value(key: string): Promise<string | undefined> {
    return (await this.server.store.get(key))?.data
  }

  /** Data of `things/*` by key, sorted. */
  async things(): Promise<Record<string, string>> {
    const entries = await this.server.store.list('things/*')
    return sorted(entries.map(({ key, data }) => [key, data]))
  }

  /** Records not acknowledged by the leader. */
  get outbox(): number {
    return this.plugin.status()?.links[0]?.outbox ?? -1
  }

  /** Whether a look at the 2.0 node `host:port` has found all of the path that is held here by now. */
  async contextCovers(address: string, path: string): Promise<boolean> {
    const { store } = this.server
    const row = store.meta(`pivot2/held/${encodeURIComponent(address)}`) ?? ''
    const line = row.split('\n').find((found) => found.startsWith(`${path} `))
    const keyStates = await Promise.all(
      (await store.list(path)).map(({ key }) => store.keyState(key)),
    )
    const seq = Math.max(...keyStates.map((keyState) => keyState?.seq ?? 0))
    return line !== undefined && Number(line.split(' ')[1]) >= seq
  }

  /** Resolves when it follows by 2.0 and is in step. */
  async speaking(): Promise<void> {
    await waitFor(() => this.isSpeaking && this.plugin.status()?.links[0]?.state === 'live', {
      what: '2.0 spoken',
    })
  }

  get isSpeaking(): boolean {
    const [link] = this.plugin.status()?.links ?? []
    return link !== undefined && 'protocol' in link && link.protocol === '2.0'
  }
}

export async function startOwn(options: OwnOptions = {}): Promise<OwnNode> {
  const {
    follows,
    port = 0,
    token,
    storage,
    pollMs = 50,
    keys = KEYS,
    logger,
    lists = [],
  } = options
  const plugin = cluster({
    keys: keys.map((path) => ({ path })),
    ...(follows === undefined ? {} : { clusterUrl: follows }),
    ...(token === undefined ? {} : { token }),
    ...(logger === undefined ? {} : { logger }),
    pivot2: lists.map(({ address }) => address),
    limits: { reconnectInitialMs: 20, reconnectMaxMs: pollMs },
  })
  const server = createServer({ storage: storage ?? new MemoryStorage(), port, plugins: [plugin] })
  await server.open()
  onTestFinished(() => server.close())
  const node = new OwnNode(server, plugin)
  node.lists(...lists)
  return node
}

export async function startPeer(options: Partial<PeerOptions> = {}): Promise<PivotPeer> {
  const peer = await new PivotPeer({ keys: KEYS, ...options }).start()
  onTestFinished(() => peer.stop())
  return peer
}

/** Data of `things/*` at a peer by key, sorted. */
export function thingsOf(peer: PivotPeer): Record<string, string> {
  const found = [...peer.entries].filter(([key]) => key.startsWith('things/'))
  return sorted(found.map(([key, { data }]) => [key, data]))
}

function sorted(pairs: readonly (readonly [string, string])[]): Record<string, string> {
  return Object.fromEntries([...pairs].sort(([a], [b]) => (a < b ? -1 : 1)))
}
