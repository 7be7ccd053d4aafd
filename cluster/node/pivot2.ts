/**
 * Speaks protocol 2.0 beside the stream: serves its routes, tells its nodes what changed, and follows
 * leaders that have nothing else. Stands outside of the engine: it sees a leader's dials fail, and the
 * store's commits. With a cluster token it follows nobody by 2.0, which can not show one.
 */
import type { IncomingMessage } from 'node:http'
import type { HybridClock } from '../../src/core/data/clock.ts'
import type { Commit } from '../../src/core/data/entry.ts'
import { onceAMinute } from '../../src/core/ports/once-a-minute.ts'
import type { TimeSource } from '../../src/core/ports/time.ts'
import type { SocketHandlers, Transport } from '../../src/core/ports/transport.ts'
import type { PluginHost } from '../../src/server/contract/plugin.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { ResolvedClusterOptions } from '../config/options.ts'
import type { Pivot2Listing } from '../members/listed-nodes.ts'
import { hostAndPort, nodeAddress } from '../members/membership.ts'
import type { Placement } from '../members/placement.ts'
import { streamUrl } from '../members/placement.ts'
import { type NodeDoor, requireMember, requireToken } from '../members/token.ts'
import { PivotLink, type PivotLinkStatus } from '../pivot2/link/link.ts'
import { ActivityTable } from '../pivot2/nodes/activity.ts'
import { compareWithNode, type NodeLook } from '../pivot2/nodes/compare.ts'
import { Doors } from '../pivot2/nodes/doors.ts'
import type { LookAt, PivotNodeStatus } from '../pivot2/nodes/node.ts'
import { PivotNodes } from '../pivot2/nodes/nodes.ts'
import {
  originatorOf,
  type PivotRoutesOptions,
  routePivot,
  sourceOf,
} from '../pivot2/nodes/routes.ts'
import { HeldByPeer } from '../pivot2/peer/held.ts'
import { PivotHttp } from '../pivot2/peer/http.ts'
import { sameDisk } from '../pivot2/peer/same-disk.ts'
import { isOfScope, PIVOT_PROTOCOL, type PivotScope, pivotScope } from '../pivot2/peer/wire.ts'
import type { ClusterEngine } from './engine.ts'
import type { ClusterStatus } from './engine-status.ts'
import type { LinkReport } from './monitor.ts'
import { localTime, type PivotInfo, type PivotNode } from './pivot-info.ts'

export interface Pivot2Options {
  readonly options: ResolvedClusterOptions
  readonly placement: Placement
  /** Open. */
  readonly store: ReplicationStore
  readonly clock: HybridClock
  readonly time: TimeSource
  readonly transport: Transport
  /** The nodes as `GET /?api=pivot` tells them. */
  readonly nodes: () => Promise<readonly PivotNode[]>
}

/** A link that follows by 2.0, as people are shown it. */
export type PivotLinkReport = LinkReport & { readonly protocol: typeof PIVOT_PROTOCOL }

export class Pivot2 {
  readonly #options: Pivot2Options
  readonly #http: PivotHttp
  readonly #links: ReadonlyMap<string, PivotLink>
  readonly #nodes: PivotNodes
  readonly #doors: Doors
  readonly #activity: ActivityTable
  /** Scopes that this node leads. */
  readonly #led: readonly PivotScope[]
  readonly #routes: PivotRoutesOptions
  #stopListening: (() => void) | undefined

  constructor(options: Pivot2Options) {
    this.#options = options
    this.#http = new PivotHttp(options.options.agentFor)
    const { store, clock, time, placement } = options
    const { logger, limits } = options.options
    const scopes = placement.scopes.flatMap(({ path }) => pivotScope(path) ?? [])
    const led = new Set(placement.scopes.filter(({ leader }) => !leader).map(({ path }) => path))
    this.#led = scopes.filter(({ path }) => led.has(path))
    this.#doors = new Doors(time, logger)
    this.#nodes = new PivotNodes({
      http: this.#http,
      time,
      logger,
      paths: this.#led.map(({ path }) => path),
      look: (at) => this.#look(at),
      heldBy: (address) => new HeldByPeer(store, address),
      exceed: (path, above) => {
        for (const scope of this.#led) if (scope.path === path) this.#activity.exceed(scope, above)
      },
    })
    this.#activity = new ActivityTable({
      store,
      clock,
      logger,
      scopes,
      isAsked: () => this.#nodes.size > 0,
    })
    this.#links = new Map(this.#makeLinks())
    this.#routes = {
      store,
      clock,
      logger: onceAMinute(logger, time),
      scopes,
      maxBodyBytes: limits.maxMessageBytes,
      activity: (scope) => this.#activity.of(scope),
      admits: ({ path }, remote, writes) => this.#doors.admits(remote, path, { writes }),
      mayTell: async ({ path }, remote) =>
        !led.has(path) || (await this.#nodes.mayTell(remote, path)),
      served: ({ path }, remote, seq) => this.#nodes.served(remote, path, seq),
      spread: (scope) => this.#spread(scope),
      suspect: ({ path }, originator) => this.#nodes.suspect(originator, path),
      pull: (path) => this.#pull(path),
      nodes: () => this.#describeNodes(),
    }
  }

  get routes(): PivotRoutesOptions {
    return this.#routes
  }

  /** The transport for the engine: dials that fail are heard of. */
  get transport(): Transport {
    const { transport } = this.#options
    return {
      dial: (request, opened, handlers) => {
        const link = this.#links.get(request.url)
        if (link === undefined) return transport.dial(request, opened, handlers)
        return transport.dial(request, ...watched(link, opened, handlers))
      },
    }
  }

  /** Before the engine starts. */
  start(): void {
    this.#stopListening = this.#options.store.onCommit((commit) => this.#committed(commit))
    const { pivot2 } = this.#options.options
    pivot2.changed = (listings) => this.list(listings)
    this.list(pivot2.all)
  }

  /** Speaks with these 2.0 nodes from now on; only a node that leads something calls any. */
  list(listings: readonly Pivot2Listing[]): void {
    const { nodesKey } = this.#options.options
    // Nodes of 2.0 sync the records of nodes, too, whatever else they do.
    const all = listings.map((each) =>
      each.paths === undefined ? each : { ...each, paths: [...each.paths, nodesKey] },
    )
    this.#doors.list(all)
    if (this.#led.length > 0) this.#nodes.list(all)
  }

  /** Whether a listed node is at this remote address. */
  isListed(remote: string): boolean {
    return this.#doors.isListed(remote)
  }

  /** Before the engine stops. Waits for what is under way, which is cut. Idempotent. */
  async stop(): Promise<void> {
    this.#stopListening?.()
    await this.#nodes.finish()
    const ended = [...this.#links.values()].map((link) => link.stop())
    this.#http.close()
    await Promise.all([...ended, this.#nodes.stop()])
    await this.#activity.stop()
  }

  /** The engine's status with links that speak 2.0 as they are. */
  view(engine: Pick<ClusterEngine, 'status'>): Pick<ClusterEngine, 'status'> {
    return {
      status: (): ClusterStatus => {
        const status = engine.status()
        return { ...status, links: status.links.map((link) => this.#describeLink(link)) }
      },
    }
  }

  /** The answer of `GET /?api=pivot` with what is known of 2.0 peers. */
  describe(info: PivotInfo): PivotInfo {
    const known = this.#nodes.status()
    const isListed = ({ address }: PivotNode): boolean =>
      known.some((node) => node.address === address)
    const speaks = [...this.#links.values()].some((link) => link.status() !== undefined)
    return {
      ...info,
      nodes:
        info.role === 'pivot'
          ? [...info.nodes.filter((node) => !isListed(node)), ...known.map(describeNode)]
          : info.nodes,
      pivotProtocol: speaks ? PIVOT_PROTOCOL : '',
      pivotCompatible: speaks,
    }
  }

  #makeLinks(): [string, PivotLink][] {
    const { options, placement, store, clock, time } = this.#options
    const { random, limits, logger, token, nodesKey } = options
    if (token !== undefined) return []
    return [...placement.upstreams].flatMap(([leader, paths]) => {
      if (!leader.startsWith('http://')) return []
      const scopes = paths.flatMap((path) => pivotScope(path) ?? [])
      const originator = (): Promise<string | undefined> => this.#ownAddress()
      const link = new PivotLink({
        ...{ leader, scopes, store, clock, time, random, limits, logger, originator, nodesKey },
        http: this.#http,
      })
      return [[streamUrl(leader), link]]
    })
  }

  #describeLink(link: LinkReport): LinkReport {
    const status = this.#links.get(streamUrl(link.url))?.status()
    if (status === undefined) return link
    return reportLink(link, status)
  }

  #committed(commit: Commit): void {
    this.#activity.committed(commit)
    for (const link of this.#links.values()) link.outboxChanged()
    if (this.#nodes.size === 0) return
    const originator = originatorOf(commit.source)
    for (const scope of this.#led) {
      if (commit.changes.some(({ key }) => isOfScope(scope, key))) {
        this.#nodes.notify(scope.path, originator)
      }
    }
  }

  #spread(scope: PivotScope): void {
    this.#activity.raise(scope)
    if (this.#led.includes(scope)) this.#nodes.notify(scope.path, undefined)
  }

  async #look({ peer, address, path, held, servedSeq }: LookAt): Promise<NodeLook> {
    const { store, clock, options } = this.#options
    const scope = this.#led.find((candidate) => candidate.path === path)
    if (scope === undefined) return { isSame: true, latest: 0n }
    const nodes = this.#led.find((candidate) => candidate.path === options.nodesKey)
    const activity = await this.#activity.of(scope)
    return compareWithNode({
      ...{ store, clock, peer, scope, held, servedSeq, activity, source: sourceOf(address) },
      hasSameDisk: (observation) => sameDisk({ store, peer, nodes, held, observation }),
    })
  }

  async #pull(path: string | undefined): Promise<boolean> {
    await Promise.all([...this.#links.values()].map((link) => link.pull(path)))
    return this.#options.placement.upstreams.size > 0
  }

  async #describeNodes(): Promise<string | undefined> {
    if (this.#options.placement.upstreams.size > 0) return undefined
    const nodes = await this.#options.nodes()
    return JSON.stringify(
      nodes.map(({ address, healthy, lastCheck, protocol, compatible }) => {
        return { address, healthy, lastCheck, protocol, compatible }
      }),
    )
  }

  async #ownAddress(): Promise<string | undefined> {
    const { store, options } = this.#options
    const record = await store.get(options.nodesKey.replace('*', store.id))
    const address = record === undefined ? undefined : nodeAddress(record)
    return address === undefined ? undefined : hostAndPort(address.host, address.port)
  }
}

/** Registers the routes of 2.0, behind the door for nodes: those of 2.0 have no token to show, so they are listed. */
export function setupPivot2(
  host: PluginHost,
  door: NodeDoor,
  pivot2: () => Pivot2 | undefined,
): void {
  const authorize = (request: IncomingMessage): void => {
    if (pivot2()?.isListed(request.socket.remoteAddress ?? '') === true)
      requireToken(request, door.token)
    else requireMember(request, door)
  }
  routePivot(host, authorize, () => pivot2()?.routes)
}

function watched(
  link: PivotLink,
  opened: () => void,
  handlers: SocketHandlers,
): [() => void, SocketHandlers] {
  let isOpen = false
  return [
    () => {
      isOpen = true
      link.streamUp()
      opened()
    },
    {
      message: (text) => handlers.message(text),
      close: (info) => {
        if (!isOpen) link.dialFailed()
        handlers.close(info)
      },
    },
  ]
}

function describeNode(node: PivotNodeStatus): PivotNode {
  const { address, healthy, lastCheckMs, protocol } = node
  const lastCheck = lastCheckMs === 0 ? 'Never' : localTime(lastCheckMs)
  const compatible = protocol === PIVOT_PROTOCOL
  return { address, healthy, lastCheck, protocol, compatible, lagRows: null, lagMs: null }
}

function reportLink(link: LinkReport, status: PivotLinkStatus): PivotLinkReport {
  const { isLive, outbox, refused, lastError, lastCheckMs } = status
  return {
    ...link,
    state: isLive ? 'live' : 'offline',
    ...{ outbox, refused, lastError, lastCheckMs },
    lagRows: 0,
    lagMs: isLive ? 0 : link.lagMs,
    protocol: PIVOT_PROTOCOL,
  }
}
