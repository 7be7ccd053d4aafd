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
import { NodeChecks } from './node-checks.ts'
import { PeerClient } from './peer-client.ts'
import { PIVOT_PROTOCOL } from './wire.ts'

export interface PivotNodesOptions {
  readonly http: PivotHttp
  readonly time: TimeSource
  readonly logger: Logger
  /** What this node leads: what is new to a node that is found. */
  readonly paths: readonly string[]
  /** Whether a node holds what is held here under a path; takes over what is newer there. */
  readonly compare: (peer: PeerClient, address: string, path: string) => Promise<boolean>
  /** Makes the activity of a path greater than that of all nodes. */
  readonly raise: (path: string) => void
  /** Between two probes of a node, milliseconds. Default 3 000. */
  readonly probeIntervalMs?: number
  /** From a change to the look whether a node has it, milliseconds. Default 1 000. */
  readonly checkDelayMs?: number
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
const CHECK_DELAY_MS = 1_000

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
    for (const [address, node] of this.#nodes) {
      if (found.has(address)) continue
      this.#nodes.delete(address)
      this.#track(node.stop())
    }
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

  /**
   * Tells all nodes but the originator, in the background, to pull this path. A while later it is looked
   * whether they have it, the originator too.
   */
  notify(path: string, originator: string | undefined): void {
    for (const node of this.#nodes.values()) {
      if (this.#isStopped) return
      if (node.address === originator) node.checks.due(path)
      else this.#track(node.notify(path))
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.#cancel?.()
    await Promise.all([...this.#nodes.values()].map((node) => node.stop()))
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
  readonly checks: NodeChecks
  readonly #options: PivotNodesOptions
  readonly #peer: PeerClient
  #protocol = 'unknown'
  #hasStream = false
  #isHealthy = false
  #lastCheckMs = 0
  #probing: Promise<void> | undefined
  /** As many as there are scopes, at most. */
  readonly #untold = new Set<string>()
  /** Paths that may hold writes whose push failed: the pull that a call starts would delete them. */
  readonly #unseen: Set<string>
  #telling: Promise<void> | undefined

  constructor(options: PivotNodesOptions, address: string) {
    this.#options = options
    this.address = address
    this.#unseen = new Set(options.paths)
    const peer = new PeerClient(options.http, `http://${address}`)
    this.#peer = peer
    const { time, logger, compare, raise } = options
    this.checks = new NodeChecks({
      time,
      logger,
      address,
      delayMs: options.checkDelayMs ?? CHECK_DELAY_MS,
      compare: async (path) => !this.#speaks || (await compare(peer, address, path)),
      tell: (path) => {
        raise(path)
        return this.notify(path)
      },
    })
  }

  stop(): Promise<void> {
    return this.checks.stop()
  }

  get #speaks(): boolean {
    return this.#protocol === PIVOT_PROTOCOL && !this.#hasStream
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
        const spoke = this.#speaks
        const { protocol, hasStream } = await this.#peer.version()
        this.#protocol = protocol
        this.#hasStream = hasStream
        // Newly found, or another program than before: nothing is known of what it holds.
        if (!spoke && this.#speaks) for (const path of this.#options.paths) this.#untold.add(path)
      }
      this.#checked(isServing)
    } catch {
      // What is wrong shows in the status: unhealthy, and when that was found.
      this.#checked(false)
    }
  }

  async #tell(): Promise<void> {
    if (this.#protocol === 'unknown') await this.probe()
    if (!this.#speaks) {
      // An unreachable one is told once it is found; others do not understand.
      if (this.#protocol !== 'unknown') this.#untold.clear()
      return
    }
    for (const path of this.#untold) {
      this.#untold.delete(path)
      if (this.#unseen.delete(path)) await this.#look(path)
      try {
        await this.#peer.notify(path)
        this.#checked(true)
        this.checks.due(path)
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

  /** Takes over what is newer there, while it still is. */
  async #look(path: string): Promise<void> {
    const { compare, logger } = this.#options
    try {
      await compare(this.#peer, this.address, path)
    } catch (error) {
      logger.debug('a 2.0 node could not be compared with', {
        node: this.address,
        path,
        error: errorText(error),
      })
    }
  }

  #checked(isHealthy: boolean): void {
    if (!isHealthy) for (const path of this.#options.paths) this.#unseen.add(path)
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
