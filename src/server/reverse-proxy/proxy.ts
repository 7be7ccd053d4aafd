/**
 * Proxy routes: paths of this server that are answered by another one, over HTTP and WebSocket. They may
 * be registered before `open` and while serving, and outlive `close`.
 */
import { ERROR_TABLE } from '../../core/errors.ts'
import type { Logger } from '../../core/ports/logger.ts'
import type { Random, TimeSource } from '../../core/ports/time.ts'
import { type FanoutCounters, newFanoutCounters } from '../../fanout/frames/subscriber.ts'
import { UnreadLedger } from '../../fanout/frames/unread-ledger.ts'
import type { Sockets } from '../connections/sockets.ts'
import { compileTemplate } from '../routing/path-template.ts'
import type { Router } from '../routing/router.ts'
import type { ProxyNodeFilter, ProxyRoute } from './config.ts'
import { resolveProxyRoute } from './config.ts'
import { type NodeFinder, nodeFilterRoute, nodeListFilterRoute } from './node-filter.ts'
import { globTemplate, listBase } from './path.ts'
import { type ProxyRuntime, RegisteredProxy } from './route.ts'
import type { UpstreamCounters } from './upstream.ts'

export type {
  ProxyCapabilities,
  ProxyNodeFilter,
  ProxyRequest,
  ProxyResolver,
  ProxyRoute,
  ProxyRouteOptions,
  ProxySubscribeOptions,
  ProxyTarget,
} from './config.ts'

/** A proxy route as tools see it, in the field order of `?api=proxies`. */
export interface ProxyDescription {
  readonly localPath: string
  readonly type: 'single' | 'list' | 'vars'
  readonly canRead: boolean
  readonly canWrite: boolean
  readonly canDelete: boolean
  /** Absent when empty. */
  readonly description?: string
}

/** Counters since the proxies were made, and gauges of this moment. */
export interface ProxyMetrics extends Readonly<UpstreamCounters>, Readonly<FanoutCounters> {
  readonly routes: number
  readonly requests: number
  readonly upstreams: number
  readonly subscribers: number
}

/** What proxies need of the server they belong to while it is open. */
export interface ProxyHost {
  readonly sockets: Sockets
  /** Bytes. */
  readonly maxBodyBytes: number
  /** Limits of a slow local subscriber, as those of the hub. */
  readonly maxBufferedBytes: number
  readonly maxUnreadBytes: number
  readonly slowConsumerTimeoutMs: number
  readonly time: TimeSource
  readonly logger: Logger
  /** How the nodes of node filters are found; static mode does not apply. */
  readonly nodes: NodeFinder
  /** Default: Math.random. */
  readonly random?: Random
}

/** Close code for a server that shuts down (RFC 6455 section 7.4.1). */
const GOING_AWAY = 1001

interface Registration {
  readonly type: ProxyDescription['type']
  readonly proxy: RegisteredProxy
}

export class Proxies {
  readonly #router: Router
  readonly #registrations = new Set<Registration>()
  readonly #upstreams: UpstreamCounters = { lost: 0, invalidFrames: 0, givenUp: 0 }
  readonly #counters: FanoutCounters = newFanoutCounters()
  #host: ProxyHost | undefined
  #runtime: ProxyRuntime | undefined

  constructor(router: Router) {
    this.#router = router
  }

  /**
   * Forwards a key or a glob: each segment `*` stands for one segment, a last one for anything, also with
   * `/`. Returns what takes the route out again; it ends the sockets the route serves.
   * @throws StateError `invalid_option`, as do the other kinds.
   */
  route(route: ProxyRoute): () => void {
    return this.#register('single', route, [globTemplate])
  }

  /** Forwards a glob, and the literal path without its last `/*` for the list itself. */
  routeList(route: ProxyRoute): () => void {
    return this.#register('list', route, [globTemplate, listBase])
  }

  /** Forwards a router template, such as `rooms/{room}/{rest:.*}`; the resolver is given the variables. */
  routeWithVars(route: ProxyRoute): () => void {
    return this.#register('vars', route, [(template) => template])
  }

  /**
   * Forwards `localKey` to `remoteKey` on the node that has the id in the path: a member of the cluster, or one
   * whose record is in `nodesKey` and whose host is among the server's `proxyHosts`; others are refused.
   */
  routeNodeFilter(filter: ProxyNodeFilter): () => void {
    return this.route(nodeFilterRoute(filter, this.#nodes))
  }

  /** As routeNodeFilter for a list per node: what follows the id goes behind `remoteKey`. */
  routeNodeListFilter(filter: ProxyNodeFilter): () => void {
    return this.routeList(nodeListFilterRoute(filter, this.#nodes))
  }

  /** Every registration, first registered first. */
  describe(): ProxyDescription[] {
    return [...this.#registrations].map(({ type, proxy: { route } }) => ({
      localPath: route.localPath,
      type,
      canRead: route.capabilities.read,
      canWrite: route.capabilities.write,
      canDelete: route.capabilities.delete,
      ...(route.description === '' ? {} : { description: route.description }),
    }))
  }

  metrics(): ProxyMetrics {
    const gauges = { requests: 0, upstreams: 0, subscribers: 0 }
    for (const { proxy } of this.#registrations) {
      gauges.requests += proxy.requestCount
      gauges.upstreams += proxy.upstreamCount
      gauges.subscribers += proxy.subscriberCount
    }
    return {
      ...this.#upstreams,
      ...this.#counters,
      routes: this.#registrations.size,
      ...gauges,
    }
  }

  /** The server opens: from now on requests are forwarded. */
  open(host: ProxyHost): void {
    const { maxBufferedBytes, slowConsumerTimeoutMs, maxUnreadBytes } = host
    this.#host = host
    this.#runtime = {
      sockets: host.sockets,
      maxBodyBytes: host.maxBodyBytes,
      time: host.time,
      logger: host.logger,
      random: host.random ?? Math.random,
      limits: { maxBufferedBytes, slowConsumerTimeoutMs },
      counters: this.#counters,
      unread: new UnreadLedger(maxUnreadBytes),
      upstreams: this.#upstreams,
    }
  }

  /**
   * The server closes: sockets from and to other servers end, and later requests are refused. Exchanges
   * under way go on. Idempotent.
   */
  close(): void {
    this.#host = undefined
    this.#runtime = undefined
    for (const { proxy } of this.#registrations) {
      proxy.release(GOING_AWAY, 'server is closing')
    }
  }

  readonly #nodes: NodeFinder = {
    list: (glob) => this.#host?.nodes.list(glob) ?? Promise.resolve([]),
    member: (id) => this.#host?.nodes.member(id),
    mayReach: (host) => this.#host?.nodes.mayReach(host) ?? false,
  }

  #register(
    type: ProxyDescription['type'],
    route: ProxyRoute,
    templates: readonly ((localPath: string) => string | undefined)[],
  ): () => void {
    const resolved = resolveProxyRoute(route)
    const compiled = templates.flatMap((template) => {
      const text = template(resolved.localPath)
      return text === undefined ? [] : [compileTemplate(`/${text}`)]
    })
    const proxy = new RegisteredProxy(resolved, () => this.#runtime)
    const registration: Registration = { type, proxy }
    const unregister = compiled.map((template) =>
      this.#router.add(proxy.row(template.text), template),
    )
    this.#registrations.add(registration)
    return () => {
      for (const remove of unregister) remove()
      this.#registrations.delete(registration)
      proxy.release(ERROR_TABLE.unreachable.closeCode, 'proxy: the route was removed')
    }
  }
}
