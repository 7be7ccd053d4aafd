/** Options of the cluster engine: what is replicated, from where, and within which limits. */
import { StateError } from '../src/core/errors.ts'
import type { Logger } from '../src/core/logger.ts'
import { SILENT_LOGGER } from '../src/core/logger.ts'
import type { Random } from '../src/core/time.ts'

/** One replicated key path. */
export interface ScopeOptions {
  /** A key (`settings`) or a glob (`items/*`, `users/*` + `/posts/*`). */
  readonly path: string
  /** Leader of this scope, when it is another one than `ClusterOptions.clusterUrl`. */
  readonly clusterUrl?: string
  /** True: this node leads the scope although it follows `clusterUrl` for others. */
  readonly local?: boolean
}

export interface ClusterOptions {
  /** What is replicated. The first scope that matches a key decides who leads it. */
  readonly keys: readonly ScopeOptions[]
  /** `host:port`, `http://…` or `https://…` of the leader. Absent: this node leads. */
  readonly clusterUrl?: string
  /** Glob under which followers register; replicated like the rest. Default `nodes/*`. */
  readonly nodesKey?: string
  /** Where other nodes reach this one. Default: the address the server listens on. */
  readonly advertise?: { readonly host: string; readonly port: number }
  /** Secret that every peer must show. Default: none, any peer may join. */
  readonly token?: string
  /** Name shown to people. Default: the node id. */
  readonly name?: string
  /** Jitter of reconnect delays. Default `Math.random`. */
  readonly random?: Random
  /** Default: silent. */
  readonly logger?: Logger
  /** Limits and intervals; see ClusterLimits. */
  readonly limits?: Partial<ClusterLimits>
}

export interface ClusterLimits {
  /** An idle leader says it is alive this often, milliseconds. Default 10 000. */
  readonly beatIntervalMs: number
  /** A peer that stays silent for this many beat intervals is dropped. Default 3. */
  readonly maxSilentBeats: number
  /** First and greatest delay before a follower dials again, milliseconds. Default 100, 3 000. */
  readonly reconnectInitialMs: number
  readonly reconnectMaxMs: number
  /** Bytes a leader sends to one follower beyond what it has acknowledged. Default 1 MiB. */
  readonly windowBytes: number
  /** A message is cut after the record with which it passes this many bytes. Default 256 KiB. */
  readonly messageBytes: number
  /** Most records in one message. Default 500. */
  readonly messageRecords: number
  /** Pushes a follower may have unanswered. Default 4. */
  readonly maxPushesInFlight: number
  /** Largest stream message accepted, bytes. Default 64 MiB: twice the largest value, escaped. */
  readonly maxMessageBytes: number
}

export const DEFAULT_LIMITS: ClusterLimits = Object.freeze({
  beatIntervalMs: 10_000,
  maxSilentBeats: 3,
  reconnectInitialMs: 100,
  reconnectMaxMs: 3_000,
  windowBytes: 1024 * 1024,
  messageBytes: 256 * 1024,
  messageRecords: 500,
  maxPushesInFlight: 4,
  maxMessageBytes: 64 * 1024 * 1024,
})

/** Options with every default in place. */
export interface ResolvedClusterOptions {
  readonly keys: readonly ScopeOptions[]
  readonly clusterUrl: string | undefined
  readonly nodesKey: string
  readonly advertise: { readonly host: string; readonly port: number } | undefined
  readonly token: string | undefined
  readonly name: string | undefined
  readonly random: Random
  readonly logger: Logger
  readonly limits: ClusterLimits
}

/** @throws StateError `invalid_option` naming the limit that is out of range. */
export function resolveClusterOptions(options: ClusterOptions): ResolvedClusterOptions {
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isFinite(value) || value < 1) {
      throw new StateError('invalid_option', `cluster: ${name} is ${value}, it must be at least 1`)
    }
  }
  return Object.freeze({
    keys: options.keys,
    clusterUrl: options.clusterUrl,
    nodesKey: options.nodesKey ?? 'nodes/*',
    advertise: options.advertise,
    token: options.token,
    name: options.name,
    random: options.random ?? Math.random,
    logger: options.logger ?? SILENT_LOGGER,
    limits: Object.freeze(limits),
  })
}
