/**
 * The 2.0 nodes that a leader knows: found in the nodes scope, probed every three seconds, told to
 * pull when something changed. Our own nodes register there as well; they use the stream and are left out.
 */
import type { Entry } from '../../src/core/entry.ts'
import { errorText } from '../../src/core/errors.ts'
import { parseExact } from '../../src/core/json.ts'
import type { Logger } from '../../src/core/logger.ts'
import { type CancelTimer, NS_PER_MS, type TimeSource } from '../../src/core/time.ts'
import { hostAndPort, nodeAddress } from '../membership.ts'
import type { PivotHttp } from './http.ts'
import { PeerClient } from './peer-client.ts'
import { PIVOT_PROTOCOL } from './wire.ts'

export interface PivotNodesOptions {
  readonly http: PivotHttp
  readonly time: TimeSource
  readonly logger: Logger
  /** Between two probes of a node, milliseconds. Default 3 000. */
  readonly probeIntervalMs?: number
}

/** A node as the leader sees it. */
export interface PivotNodeStatus {
  /** `host:port` */
  readonly address: string
  readonly healthy: boolean
  /** When it was last found well (healthy) or unwell, milliseconds since the epoch; 0: never looked. */
  readonly lastCheckMs: number
  /** `2.0`, what else it said, or `unknown`. */
  readonly protocol: string
}

/** Nodes beyond these are not spoken to; they are counted in the log. */
const MAX_NODES = 1000
const PROBE_INTERVAL_MS = 3_000

export class PivotNodes {
  readonly #options: PivotNodesOptions
  readonly #nodes = new Map<string, Node>()
  #cancel: CancelTimer | undefined
  #isStopped = false
  readonly #work = new Set<Promise<void>>()

  constructor(options: PivotNodesOptions) {
    this.#options = options
  }

  /** @param records all entries of the nodes scope */
  update(records: readonly Entry[]): void {
    const found = new Set(records.flatMap((record) => pivotAddress(record) ?? []))
    for (const address of this.#nodes.keys()) if (!found.has(address)) this.#nodes.delete(address)
    for (const address of found) {
      if (this.#isStopped || this.#nodes.has(address)) continue
      if (this.#nodes.size >= MAX_NODES) {
        const { logger } = this.#options
        logger.warn('too many 2.0 nodes are registered', { limit: MAX_NODES, left: address })
        break
      }
      const node = new Node(this.#options, address)
      this.#nodes.set(address, node)
      this.#track(node.probe())
    }
    if (this.#nodes.size > 0) this.#schedule()
  }

  /** Nodes that may be asking: all but those found to be our own. */
  get size(): number {
    let count = 0
    for (const node of this.#nodes.values()) if (!node.hasStream) count++
    return count
  }

  /** Whether a 2.0 node is registered under this `host:port`. */
  has(address: string): boolean {
    return this.#nodes.get(address)?.hasStream === false
  }

  status(): PivotNodeStatus[] {
    return [...this.#nodes.values()].filter((node) => !node.hasStream).map((node) => node.status())
  }

  /** Tells all nodes but the originator, in the background, to pull this path. */
  notify(path: string, originator: string | undefined): void {
    for (const node of this.#nodes.values()) {
      if (node.address !== originator && !this.#isStopped) this.#track(node.notify(path))
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.#cancel?.()
    await Promise.all(this.#work)
  }

  #track(work: Promise<void>): void {
    this.#work.add(work)
    void work.finally(() => this.#work.delete(work))
  }

  #schedule(): void {
    if (this.#isStopped || this.#cancel !== undefined) return
    const delayMs = this.#options.probeIntervalMs ?? PROBE_INTERVAL_MS
    this.#cancel = this.#options.time.after(delayMs, () => {
      this.#cancel = undefined
      for (const node of this.#nodes.values()) this.#track(node.probe())
      if (this.#nodes.size > 0) this.#schedule()
    })
  }
}

/** One node: what is known of it, and the paths it is yet to be told of. */
class Node {
  readonly address: string
  readonly #options: PivotNodesOptions
  readonly #peer: PeerClient
  #protocol = 'unknown'
  #hasStream = false
  #isHealthy = false
  #lastCheckMs = 0
  #probing: Promise<void> | undefined
  /** As many as there are scopes, at most. */
  readonly #untold = new Set<string>()
  #telling: Promise<void> | undefined

  constructor(options: PivotNodesOptions, address: string) {
    this.#options = options
    this.address = address
    this.#peer = new PeerClient(options.http, `http://${address}`)
  }

  get hasStream(): boolean {
    return this.#hasStream
  }

  status(): PivotNodeStatus {
    return {
      address: this.address,
      healthy: this.#isHealthy,
      lastCheckMs: this.#lastCheckMs,
      protocol: this.#protocol,
    }
  }

  /** Never rejects; one at a time. What could not be told is told when the node is well again. */
  probe(): Promise<void> {
    this.#probing ??= this.#probe().finally(() => {
      this.#probing = undefined
      if (this.#isHealthy && this.#untold.size > 0) void this.notify()
    })
    return this.#probing
  }

  /** Never rejects; one at a time, each path once however often it changed meanwhile. */
  notify(path?: string): Promise<void> {
    if (path !== undefined) this.#untold.add(path)
    this.#telling ??= this.#tell().finally(() => {
      this.#telling = undefined
    })
    return this.#telling
  }

  async #probe(): Promise<void> {
    try {
      const isServing = await this.#peer.isServing()
      if (isServing) {
        const { protocol, hasStream } = await this.#peer.version()
        this.#protocol = protocol
        this.#hasStream = hasStream
      }
      this.#checked(isServing)
    } catch {
      // What is wrong shows in the status: unhealthy, and when that was found.
      this.#checked(false)
    }
  }

  async #tell(): Promise<void> {
    if (this.#protocol === 'unknown') await this.probe()
    if (this.#hasStream || this.#protocol !== PIVOT_PROTOCOL) {
      // An unreachable one is told once it is found; others do not understand.
      if (this.#protocol !== 'unknown') this.#untold.clear()
      return
    }
    for (const path of this.#untold) {
      this.#untold.delete(path)
      try {
        await this.#peer.notify(path)
        this.#checked(true)
      } catch (error) {
        this.#untold.add(path)
        this.#checked(false)
        this.#options.logger.warn('a 2.0 node could not be notified', {
          node: this.address,
          path,
          error: errorText(error),
        })
        return
      }
    }
  }

  #checked(isHealthy: boolean): void {
    this.#isHealthy = isHealthy
    this.#lastCheckMs = Number(this.#options.time.wallNs() / NS_PER_MS)
  }
}

/** `host:port` of a record that another program wrote; undefined for our own nodes and for other data. */
export function pivotAddress(record: Entry): string | undefined {
  const address = nodeAddress(record)
  if (address === undefined || isOwnRecord(record)) return undefined
  return hostAndPort(address.host, address.port)
}

function isOwnRecord({ data }: Entry): boolean {
  const fields = parseExact(data) as Readonly<Record<string, unknown>>
  return (
    typeof fields.id === 'string' &&
    typeof fields.url === 'string' &&
    typeof fields.version === 'string' &&
    typeof fields.startedAt === 'string'
  )
}
