/**
 * Which connections a node takes.
 *
 *   connect ──room──▶ plain ──handshake──▶ subscriber
 *      │                └──handshake of another node──▶ peer
 *      └──no room──▶ overLimit ──handshake of another node──▶ peer
 *                         ├──asks for management──▶ answered, then closed
 *                         └──asks for anything else, or for nothing──▶ refused, closed
 *
 * Plain connections and subscribers share `maxConnections`. Peers count for themselves (the cluster limits
 * its streams), so that however many clients come, nodes stay in step and management answers. A refused
 * client is told when to come back, by the length of the queue of those that were refused.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Logger } from '../../core/ports/logger.ts'
import type { TimeSource } from '../../core/ports/time.ts'
import { withRetryHint } from '../../core/retry-hint.ts'
import { addressGroup, clientAddress, type ProxyTrust, trustProxies } from './client-address.ts'
import { ConnectionTable, type TrackedConnection } from './connection-table.ts'
import { DEFAULT_UPGRADES_PER_SECOND, type ResolvedAdmissionOptions } from './options.ts'
import { type AdmissionRefusal, AdmissionRefusals, type RefusalReason } from './refusals.ts'
import { spreadReturn, type TokenBucket, takeToken } from './retry-queue.ts'

export interface AdmissionContext extends ResolvedAdmissionOptions {
  readonly time: TimeSource
  readonly logger: Logger
}

/** Gauges of this moment, and counters since the server opened. */
export interface AdmissionMetrics {
  /** Connections of clients that are no WebSockets. */
  readonly plain: number
  /** WebSockets of clients, those included whose handshake is under way. */
  readonly subscribers: number
  /** WebSockets of other nodes. */
  readonly peers: number
  /** Connections without room that wait to be refused, or are served for management. */
  readonly surplus: number
  /** Handshakes of clients that were let in. */
  readonly admitted: number
  /** Requests and handshakes that were answered with a refusal. */
  readonly refused: Readonly<Record<RefusalReason, number>>
  /** Connections that were closed without an answer: too many, or silent. */
  readonly dropped: number
}

/** Milliseconds that a connection without room has for its request. */
const OVER_LIMIT_TIMEOUT_MS = 3000

export class Admission {
  readonly #context: AdmissionContext
  readonly #refusals: AdmissionRefusals
  readonly #isTrusted: ProxyTrust
  readonly #connections = new ConnectionTable()
  #bucket: TokenBucket
  #admitted = 0
  #dropped = 0

  constructor(context: AdmissionContext) {
    const { time, upgradesPerSecond, upgradeBurst } = context
    this.#context = context
    this.#refusals = new AdmissionRefusals({
      ...context,
      upgradesPerSecond: upgradesPerSecond || DEFAULT_UPGRADES_PER_SECOND,
    })
    this.#isTrusted = trustProxies(context.trustedProxies)
    this.#bucket = { tokens: upgradeBurst, atNs: time.monotonicNs() }
  }

  metrics(): AdmissionMetrics {
    const connections = this.#connections
    return {
      plain: connections.count('plain'),
      subscribers: connections.count('subscriber'),
      peers: connections.count('peer'),
      surplus: connections.count('overLimit'),
      admitted: this.#admitted,
      refused: this.#refusals.counts,
      dropped: this.#dropped,
    }
  }

  /** What people should look at, as sentences. */
  warnings(): readonly string[] {
    const full = this.#fullOfConnections() ?? this.#fullOfSubscribers()
    return full === undefined ? [] : [`new clients are refused: ${full}`]
  }

  /** Takes note of a TCP connection; one that can not even be refused in words is closed. */
  connected(socket: Socket): void {
    const address = this.#addressOfPeer(socket)
    const because = this.#reasonAgainst(address)
    const { reservedConnections, time } = this.#context
    if (because !== undefined && this.#connections.count('overLimit') >= reservedConnections) {
      this.#drop(socket)
      return
    }
    const connection = this.#connections.enter(socket, because, address)
    if (because === undefined) return
    connection.stopTimer = time.after(OVER_LIMIT_TIMEOUT_MS, () => this.#drop(socket))
  }

  /**
   * Judges a request. On a connection without room only management is served, and nothing after it.
   * @param isOfClients whether it asks for what clients use, and not for management
   * @returns what to answer in place of serving it; undefined to serve it
   */
  judgeRequest(
    request: IncomingMessage,
    response: ServerResponse,
    isOfClients: boolean,
  ): AdmissionRefusal | undefined {
    if (this.#connections.count('overLimit') === 0) return undefined
    const connection = this.#connections.find(request.socket)
    if (connection?.because === undefined || connection.kind !== 'overLimit') return undefined
    response.setHeader('Connection', 'close')
    if (isOfClients) return this.#refuseOverLimit(connection.because, request)
    connection.stopTimer()
    return undefined
  }

  /**
   * Judges a handshake, and keeps a place for a client that may come in until its connection ends.
   * @param isPeer whether it asks for what only other nodes ask for, which has its own limits
   * @returns what to answer in place of serving it; undefined to serve it
   */
  judgeUpgrade(request: IncomingMessage, isPeer: boolean): AdmissionRefusal | undefined {
    const connection = this.#connections.find(request.socket)
    if (connection === undefined) return undefined
    if (isPeer) {
      connection.stopTimer()
      return undefined
    }
    if (connection.because !== undefined) return this.#refuseOverLimit(connection.because, request)
    const full = this.#fullOfSubscribers()
    if (full !== undefined) return this.#refusals.refuse('subscribers', full)
    const address = this.#addressBehindProxy(request)
    if (this.#isFull(address)) return this.#refuseAddress(address)
    if (!this.#takeToken()) return this.#refuseRate()
    this.#admitted++
    this.#connections.become(connection, 'subscriber')
    if (address !== undefined) this.#connections.countFor(connection, address)
    return undefined
  }

  /** Another node has shown that it is one: its connection takes no room from clients. */
  welcomePeer(request: IncomingMessage): void {
    const connection = this.#connections.find(request.socket)
    if (connection === undefined) return
    this.#connections.countFor(connection, undefined)
    this.#connections.become(connection, 'peer')
  }

  /**
   * Whose request it is: an address, or a /64 of IPv6; behind a trusted proxy the one that it tells. undefined when
   * only a proxy is known, which stands for any number of clients.
   */
  clientOf({ socket, headers }: IncomingMessage): string | undefined {
    const { remoteAddress } = socket
    if (remoteAddress === undefined) return undefined
    const forwardedFor = [headers['x-forwarded-for'] ?? []].flat().join(',')
    const address = clientAddress(remoteAddress, forwardedFor, this.#isTrusted)
    return address === undefined ? undefined : addressGroup(address)
  }

  /** The reason of the close frame for one of `open` sockets that all end because the server closes. */
  shutdownReason(open: number): string {
    const { upgradesPerSecond, random } = this.#context
    const perSecond = upgradesPerSecond || DEFAULT_UPGRADES_PER_SECOND
    return withRetryHint('server is closing', spreadReturn(open, perSecond, random))
  }

  #reasonAgainst(address: string | undefined): TrackedConnection['because'] {
    if (this.#isFull(address)) return 'address'
    return this.#fullOfConnections() === undefined ? undefined : 'connections'
  }

  #fullOfConnections(): string | undefined {
    const { maxConnections } = this.#context
    const taken = this.#connections.count('plain') + this.#connections.count('subscriber')
    if (maxConnections === 0 || taken < maxConnections) return undefined
    return `${taken} connections are open, the limit is ${maxConnections}`
  }

  #fullOfSubscribers(): string | undefined {
    const { maxSubscribers } = this.#context
    const taken = this.#connections.count('subscriber')
    if (maxSubscribers === 0 || taken < maxSubscribers) return undefined
    return `${taken} subscribers are connected, the limit is ${maxSubscribers}`
  }

  #isFull(address: string | undefined): boolean {
    const { maxConnectionsPerAddress } = this.#context
    if (maxConnectionsPerAddress === 0 || address === undefined) return false
    return this.#connections.countOf(address) >= maxConnectionsPerAddress
  }

  #takeToken(): boolean {
    const { upgradesPerSecond: perSecond, upgradeBurst: burst, time } = this.#context
    if (perSecond === 0) return true
    const bucket = takeToken(this.#bucket, { perSecond, burst }, time.monotonicNs())
    if (bucket !== undefined) this.#bucket = bucket
    return bucket !== undefined
  }

  #refuseOverLimit(because: RefusalReason, { socket }: IncomingMessage): AdmissionRefusal {
    if (because === 'address') return this.#refuseAddress(this.#addressOfPeer(socket))
    // There may be room again by now; this connection was promised none.
    const { maxConnections } = this.#context
    return this.#refusals.refuse(
      'connections',
      this.#fullOfConnections() ?? `${maxConnections} connections were open, which is the limit`,
    )
  }

  #refuseAddress(address: string | undefined): AdmissionRefusal {
    const { maxConnectionsPerAddress: limit } = this.#context
    return this.#refusals.refuse(
      'address',
      `${limit} connections from ${address ?? 'one address'} are open, which is the limit`,
    )
  }

  #refuseRate(): AdmissionRefusal {
    const { upgradesPerSecond } = this.#context
    return this.#refusals.refuse(
      'rate',
      `more than ${upgradesPerSecond} new subscribers a second, which is the limit`,
    )
  }

  #drop(socket: Socket): void {
    this.#dropped++
    socket.destroy()
  }

  /** undefined where addresses are not limited, and for a proxy. */
  #addressOfPeer({ remoteAddress }: Socket): string | undefined {
    const { maxConnectionsPerAddress } = this.#context
    if (maxConnectionsPerAddress === 0 || remoteAddress === undefined) return undefined
    return this.#isTrusted(remoteAddress) ? undefined : addressGroup(remoteAddress)
  }

  /** undefined where addresses are not limited, and for a client that came without a proxy. */
  #addressBehindProxy(request: IncomingMessage): string | undefined {
    const { remoteAddress } = request.socket
    if (this.#context.maxConnectionsPerAddress === 0 || remoteAddress === undefined)
      return undefined
    return this.#isTrusted(remoteAddress) ? this.clientOf(request) : undefined
  }
}
