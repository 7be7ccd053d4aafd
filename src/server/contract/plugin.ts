/**
 * The one seam of the server: a plugin may add routes and sockets, hear committed changes through
 * the store, and take part in start and shutdown. The cluster engine is a plugin.
 */
import type { IncomingMessage } from 'node:http'
import type { HybridClock } from '../../core/data/clock.ts'
import type { Logger } from '../../core/ports/logger.ts'
import type { TimeSource } from '../../core/ports/time.ts'
import type { MessageSocket, SocketHandlers, Transport } from '../../core/ports/transport.ts'
import type { Database } from '../../store/database.ts'
import type { KeyValueStore } from '../../store/key-value-store.ts'
import type { ReplicationStore } from '../../store/replication-store.ts'
import type { LeaderOf } from '../../store/types/store-options.ts'
import type { CredentialCheck } from '../doors/page-guard.ts'
import type { Replication } from './replication.ts'
import type { Route } from './route.ts'

export type { CredentialCheck } from '../doors/page-guard.ts'
export type {
  Holders,
  LeaderAnswer,
  LeaderRequest,
  Replication,
} from './replication.ts'
export type {
  Reply,
  RouteHandler,
  RouteInfo,
  RouteTarget,
  Who,
} from './route.ts'

/** Where the server listens, once it does. */
export interface ServerAddress {
  readonly host: string
  readonly port: number
  /** `http://host:port`, or `https://` with TLS; IPv6 hosts in brackets. */
  readonly url: string
}

/** A route of a plugin. Its path starts with `/_` or `/-/`, which no key can. */
export interface PluginRoute extends Omit<Route, 'upgrade'> {
  /** Takes the WebSockets of the path. */
  readonly socket?: SocketRoute
}

/** Accepts WebSockets. */
export interface SocketRoute {
  /** Runs when the socket is open; returns what hears of its messages and its end. */
  connected(socket: MessageSocket, request: IncomingMessage): SocketHandlers
  /** Largest message accepted, bytes; a larger one closes the socket with 1009. */
  readonly maxMessageBytes: number
}

/** Gives what `GET /?api=<name>` answers: any JSON value, in the field order of its object. */
export type ManagementProvider = () => unknown

/** `host:port` of the member with this id; undefined: there is none. */
export type MemberLocator = (id: string) => string | undefined

/** Says what people should look at, as sentences. Must not throw. */
export type WarningProvider = () => readonly string[]

/**
 * Asked before what comes from outside is written. Throws a StateError to refuse it.
 * @param json compact JSON text of what is to be stored; undefined for a delete.
 */
export type WriteGuard = (keyOrGlob: string, json: string | undefined) => void

/** What the server offers a plugin. */
export interface PluginHost {
  readonly store: KeyValueStore
  /** The same store, with what a plugin that replicates needs of it; it may change with each release. */
  readonly replicationStore: ReplicationStore
  /** Reads, writes that heed locks, locks and watches: what `server.database` is. Works once the storage is open. */
  readonly database: Database
  readonly time: TimeSource
  /** The clock that stamps the store's writes. */
  readonly clock: HybridClock
  readonly logger: Logger
  /** Opens connections to other nodes. */
  readonly transport: Transport
  /** Makes unique ids of letters and digits, as for nodes. */
  newId(): string
  /**
   * Says which keys are pending for a leader. Of several plugins the first that names a leader for a key
   * decides. In `setup` only.
   */
  addLeaderOf(leaderOf: LeaderOf): void
  /** Adds a route ahead of endpoints and data. In `setup` only. */
  route(route: PluginRoute): void
  /**
   * Answers `GET /?api=<name>`: `pivot`, for which the server has an empty answer of its own, or a name
   * that no API has.
   */
  management(name: string, provider: ManagementProvider): void
  /** Adds to the reasons that `GET /-/readyz` tells, which do not make the node unready. */
  warnings(provider: WarningProvider): void
  /** Keeps clients from writing some keys; in-process writes are not asked about. In `setup` only. */
  guardWrites(guard: WriteGuard): void
  /** Tells where members of the cluster are reached, for proxies that name one. In `setup` only. */
  locateMembers(locate: MemberLocator): void
  /**
   * Adds a name, with or without a port: requests whose `Host` it is are served. With `isOwn` it is this
   * node's, and pages of that host are served too. Also while the server is open.
   */
  hostName(authority: string, options: { readonly isOwn: boolean }): void
  /** Adds a check of credentials: a request that passes one is served whatever page or name it comes by. */
  credential(check: CredentialCheck): void
  /**
   * Tells how far writes have got on other nodes, and calls leaders. One plugin only. In `setup` only.
   */
  replicate(replication: Replication): void
}

export interface ServerPlugin {
  readonly name: string
  /** Runs once per `open`, before the storage opens: register routes and store policy here. */
  setup(host: PluginHost): void
  /** Runs when the storage is open and the server listens. A rejection makes `open` fail. */
  start?(address: ServerAddress): void | Promise<void>
  /** First step of `close`, while storage and sockets are still up. */
  stop?(): void | Promise<void>
}
