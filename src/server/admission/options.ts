/** How many connections a node takes, and how fast: meaning, unit and default of each limit. */
import type { Random } from '../../core/ports/time.ts'
import { openFilesLimit } from '../process/open-files.ts'
import { trustProxies } from './client-address.ts'

export interface AdmissionOptions {
  /**
   * TCP connections of clients, WebSockets included. More are answered 503 with the time to come back.
   * Default 50 000, or less where the system allows fewer open files; 0 for no limit.
   */
  readonly maxConnections?: number
  /**
   * Connections beyond `maxConnections` or `maxConnectionsPerAddress` that are heard, so that other nodes
   * and management are served and the rest is answered; still more are closed without an answer. Default
   * 1024, or an eighth of the files the system allows when that is less; 0 hears none.
   */
  readonly reservedConnections?: number
  /**
   * WebSockets of clients; other nodes are not counted. More are refused with 503. Default nine tenths of
   * `maxConnections`, so that requests find room beside them; 0 for no limit.
   */
  readonly maxSubscribers?: number
  /**
   * Connections of one address, IPv6 by /64. More are answered 429. Through a trusted proxy WebSockets are
   * counted, by the address the proxy names. Default 0: no limit, as many clients may share an address.
   */
  readonly maxConnectionsPerAddress?: number
  /**
   * Addresses and CIDR blocks of reverse proxies whose `X-Forwarded-For` is believed. Connections from them
   * do not count against `maxConnectionsPerAddress`. Default none.
   */
  readonly trustedProxies?: readonly string[]
  /** WebSocket handshakes of clients per second, on average. Default 2000; 0 for no limit. */
  readonly upgradesPerSecond?: number
  /** Handshakes that may come at once after a quiet time. Default 10 000; at least 1. */
  readonly upgradeBurst?: number
  /**
   * Connections that may wait to be accepted. Default 4096; the system may allow fewer
   * (`net.core.somaxconn`), and refuses or drops what comes beyond.
   */
  readonly backlog?: number
  /** Spreads the times at which clients are asked to come back. Default `Math.random`. */
  readonly random?: Random
}

export type ResolvedAdmissionOptions = Readonly<Required<AdmissionOptions>>

/** Smallest and greatest value of each number. */
export const ADMISSION_RANGES = {
  maxConnections: [0],
  reservedConnections: [0],
  maxSubscribers: [0],
  maxConnectionsPerAddress: [0],
  upgradesPerSecond: [0],
  upgradeBurst: [1],
  backlog: [1, 65_535],
} as const

const DEFAULT_MAX_CONNECTIONS = 50_000
const DEFAULT_RESERVED = 1024
/** Open files left to the storage, streams of other nodes and connections to other servers. */
const FILES_FOR_OTHERS = 2048

/** Handshakes per second where nothing else says how fast clients may come. */
export const DEFAULT_UPGRADES_PER_SECOND = 2000

/**
 * Fills in the defaults; numbers are checked by the caller, by `ADMISSION_RANGES`.
 * @param openFiles what the system allows; default: asked of the system
 * @throws StateError `invalid_option` for a trusted proxy that is no address.
 */
export function resolveAdmission(
  options: AdmissionOptions,
  openFiles: number = openFilesLimit() ?? Number.POSITIVE_INFINITY,
): ResolvedAdmissionOptions {
  const reservedConnections = options.reservedConnections ?? defaultReserve(openFiles)
  const maxConnections = options.maxConnections ?? defaultTotal(reservedConnections, openFiles)
  trustProxies(options.trustedProxies ?? [])
  return {
    maxConnections,
    reservedConnections,
    maxSubscribers: options.maxSubscribers ?? Math.floor(maxConnections * 0.9),
    maxConnectionsPerAddress: options.maxConnectionsPerAddress ?? 0,
    trustedProxies: [...(options.trustedProxies ?? [])],
    upgradesPerSecond: options.upgradesPerSecond ?? DEFAULT_UPGRADES_PER_SECOND,
    upgradeBurst: options.upgradeBurst ?? 10_000,
    backlog: options.backlog ?? 4096,
    random: options.random ?? Math.random,
  }
}

function defaultReserve(openFiles: number): number {
  return Math.min(DEFAULT_RESERVED, Math.floor(openFiles / 8))
}

/** A node that runs out of open files can not write its data either: connections leave some. */
function defaultTotal(reserved: number, openFiles: number): number {
  const others = Math.min(FILES_FOR_OTHERS, Math.floor(openFiles / 4))
  return Math.max(1, Math.min(DEFAULT_MAX_CONNECTIONS, openFiles - reserved - others))
}
