/** Options of the cluster engine: what is replicated, from where, and within which limits. */
import type { Agent } from 'node:http'
import { CREDENTIAL_RULE, isCredential } from '../../src/core/credential.ts'
import { StateError } from '../../src/core/errors.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import { SILENT_LOGGER } from '../../src/core/ports/logger.ts'
import type { Random } from '../../src/core/ports/time.ts'
import type { Bus } from '../../src/fanout/bus.ts'
import { type ElectedOptions, type LeaderOptions, resolveLeader } from '../election/options.ts'
import { ListedNodes } from '../members/listed-nodes.ts'
import type { ScopeOptions } from '../members/placement.ts'
import type { NodeDoor } from '../members/token.ts'

export interface ClusterOptions {
  /** What is replicated. The first scope that matches a key decides who leads it. */
  readonly keys: readonly ScopeOptions[]
  /** `host:port`, `http://…` or `https://…` of the leader. Default none, and this node leads. */
  readonly clusterUrl?: string
  /** Glob under which followers show where they are; clients read it only. Default `nodes/*`. */
  readonly nodesKey?: string
  /** Clients may write below `nodesKey`: it is the application's, and the engine keeps off it. Default false. */
  readonly nodesWritable?: boolean
  /**
   * Nodes of protocol 2.0 that may join, such as `10.0.0.7:8800=items/*,rw`: an address, paths (default: all)
   * and `rw` (the default) or `ro`, which takes nothing from it. No other address is called. Default: none.
   */
  readonly pivot2?: readonly string[]
  /**
   * How nodes find out who leads what has no leader of its own: `static` by `clusterUrl`, or all of them
   * by a lease. Default `static`.
   */
  readonly leader?: LeaderOptions
  /** Where other nodes reach this one. Default: the address the server listens on. */
  readonly advertise?: { readonly host: string; readonly port: number }
  /** Secret that every peer must show. Default: none, and only nodes of this machine may join. */
  readonly token?: string
  /** True: without a token, nodes of other machines may join too. Default false. */
  readonly openCluster?: boolean
  /** Name shown to people. Default: the node id. */
  readonly name?: string
  /**
   * How far in the future a stamp from elsewhere may lie, milliseconds. A follower's write beyond is
   * refused, and stamped again in leader time. Default 60 000; 0 takes none that is ahead at all.
   */
  readonly maxClockDriftMs?: number
  /**
   * How long a deletion is remembered at least, milliseconds for which the node was up; followers away for
   * longer are compared with. The leader's counts. Default 604 800 000 (7 days); 0: forever.
   */
  readonly tombstoneRetentionMs?: number
  /** Jitter of reconnect delays. Default `Math.random`. */
  readonly random?: Random
  /**
   * Whether conditional writes and batches of keys that another node leads are passed on to it. False:
   * they are refused, naming it. Default true.
   */
  readonly forward?: boolean
  /**
   * Certificate authorities trusted for `https://` leaders when writes are passed on or asked after, PEM.
   * Default: the usual ones.
   */
  readonly ca?: string | readonly string[]
  /**
   * Gives the agent for requests to a leader that is reached through a proxy; see `ProxyAgents`, which the
   * server's transport takes too. Default: leaders are reached directly.
   */
  readonly agentFor?: (url: string) => Agent | undefined
  /**
   * Carries live changes from leaders to followers, once for all of them; `redisBus` of
   * `ooo-cluster/redis` makes one. It is this node's own from then on, and closed with it. Default: none.
   */
  readonly bus?: Bus
  /** Where log lines go. Default: silent. */
  readonly logger?: Logger
  /** Limits and intervals, each by its name. Default: those of the next table. */
  readonly limits?: Partial<ClusterLimits>
}

export interface ClusterLimits {
  /** An idle leader says it is alive this often, milliseconds. Default 10 000. */
  readonly beatIntervalMs: number
  /** A peer that stays silent for this many beat intervals is dropped. Default 3. */
  readonly maxSilentBeats: number
  /** First delay before a follower dials again, milliseconds. Default 100. */
  readonly reconnectInitialMs: number
  /** Greatest delay before a follower dials again, milliseconds. Default 3 000. */
  readonly reconnectMaxMs: number
  /** Bytes a leader sends to one follower beyond what it has acknowledged. Default 1 MiB. */
  readonly windowBytes: number
  /** A message is cut after the record with which it passes this many bytes. Default 256 KiB. */
  readonly messageBytes: number
  /**
   * Values of more than this many bytes travel in pieces of that size, between which other changes pass.
   * Default 64 KiB.
   */
  readonly pieceBytes: number
  /** UTF-16 units of values that have come in part, of all peers together; more have to wait. Default 64 Mi. */
  readonly maxPartialUnits: number
  /** What came of a value before its connection broke is kept so long, milliseconds. Default 600 000. */
  readonly partialKeepMs: number
  /** Most records in one message. Default 500. */
  readonly messageRecords: number
  /** Pushes a follower may have unanswered. Default 4. */
  readonly maxPushesInFlight: number
  /** A follower compares what it holds with its leader this often, milliseconds. Default 60 000; 0: never. */
  readonly compareIntervalMs: number
  /** Largest stream message accepted, bytes. Default 64 MiB: twice the largest value, escaped. */
  readonly maxMessageBytes: number
  /** Followers' streams served at once; one more is refused. Default 1000. */
  readonly maxStreams: number
  /** A stream on which no message came for so long is ended, milliseconds. Default 10 000. */
  readonly helloTimeoutMs: number
  /**
   * Bytes that may wait for a peer that does not read before one more message ends the stream.
   * Default 72 MiB: the largest message and the window.
   */
  readonly maxBufferedBytes: number
  /**
   * Bytes of records received on one stream and not yet stored before one more message ends it.
   * Default 256 MiB: as many of the largest messages as pushes may be unanswered.
   */
  readonly maxPendingBytes: number
  /** Values kept in the conflict log of each scope that is led here. Default 1000. */
  readonly conflictEntries: number
  /** A value in the conflict log is dropped after so long of being up, milliseconds. Default 30 days. */
  readonly conflictAgeMs: number
  /**
   * On the bus a leader says this often how far its log is, milliseconds; what was lost there is noticed
   * within this time, and a bus that is silent for `maxSilentBeats` of them is left. Default 1000.
   */
  readonly busMarkIntervalMs: number
  /** Records of one message on the bus, bytes; followers fetch what is larger. Default 256 KiB. */
  readonly busMessageBytes: number
  /**
   * Bytes taken from the bus and not stored yet, or waiting for what was lost; a follower with more goes
   * back to its stream. Default 4 MiB.
   */
  readonly busPendingBytes: number
}

export const DEFAULT_LIMITS: ClusterLimits = Object.freeze({
  beatIntervalMs: 10_000,
  maxSilentBeats: 3,
  reconnectInitialMs: 100,
  reconnectMaxMs: 3_000,
  windowBytes: 1024 * 1024,
  messageBytes: 256 * 1024,
  pieceBytes: 64 * 1024,
  maxPartialUnits: 64 * 1024 * 1024,
  partialKeepMs: 600_000,
  messageRecords: 500,
  maxPushesInFlight: 4,
  compareIntervalMs: 60_000,
  maxMessageBytes: 64 * 1024 * 1024,
  maxStreams: 1000,
  helloTimeoutMs: 10_000,
  maxBufferedBytes: 72 * 1024 * 1024,
  maxPendingBytes: 256 * 1024 * 1024,
  conflictEntries: 1000,
  conflictAgeMs: 30 * 24 * 60 * 60 * 1000,
  busMarkIntervalMs: 1000,
  busMessageBytes: 256 * 1024,
  busPendingBytes: 4 * 1024 * 1024,
})

/** Options with every default in place. */
export interface ResolvedClusterOptions {
  readonly keys: readonly ScopeOptions[]
  readonly clusterUrl: string | undefined
  /** undefined: by `clusterUrl`. */
  readonly leader: ElectedOptions | undefined
  readonly nodesKey: string
  readonly nodesWritable: boolean
  readonly pivot2: ListedNodes
  readonly advertise: { readonly host: string; readonly port: number } | undefined
  readonly token: string | undefined
  readonly openCluster: boolean
  readonly name: string | undefined
  readonly maxClockDriftMs: number
  readonly tombstoneRetentionMs: number
  readonly random: Random
  readonly forward: boolean
  readonly ca: readonly string[] | undefined
  readonly agentFor: ((url: string) => Agent | undefined) | undefined
  readonly bus: Bus | undefined
  readonly logger: Logger
  readonly limits: ClusterLimits
}

/** @throws StateError `invalid_option` naming the limit that is out of range. */
export function resolveClusterOptions(options: ClusterOptions): ResolvedClusterOptions {
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  for (const [name, value] of Object.entries(limits)) {
    if (name === 'compareIntervalMs' && value === 0) continue
    if (!Number.isFinite(value) || value < 1) {
      throw new StateError('invalid_option', `cluster: ${name} is ${value}, it must be at least 1`)
    }
  }
  return Object.freeze({
    keys: options.keys,
    clusterUrl: options.clusterUrl,
    leader: resolveLeader(options.leader, options.clusterUrl),
    nodesKey: options.nodesKey ?? 'nodes/*',
    nodesWritable: options.nodesWritable ?? false,
    pivot2: new ListedNodes(options.pivot2 ?? [], options.token),
    advertise: options.advertise,
    ...doorOf(options),
    name: options.name,
    maxClockDriftMs: fromZero('maxClockDriftMs', options.maxClockDriftMs ?? 60_000),
    tombstoneRetentionMs: fromZero(
      'tombstoneRetentionMs',
      options.tombstoneRetentionMs ?? DEFAULT_RETENTION_MS,
    ),
    random: options.random ?? Math.random,
    forward: options.forward ?? true,
    ca: options.ca === undefined ? undefined : [options.ca].flat(),
    agentFor: options.agentFor,
    bus: options.bus,
    logger: options.logger ?? SILENT_LOGGER,
    limits: Object.freeze(limits),
  })
}

function doorOf({ token, openCluster = false }: ClusterOptions): NodeDoor {
  if (token === undefined) return { token, openCluster }
  if (!isCredential(token)) {
    throw new StateError('invalid_option', `cluster: token: it must be ${CREDENTIAL_RULE}`)
  }
  if (!openCluster) return { token, openCluster }
  throw new StateError('invalid_option', 'cluster: token and openCluster exclude each other')
}

/** 7 days. */
const DEFAULT_RETENTION_MS = 7 * 24 * 3_600_000

/** Ten years: far beyond any use, and far from what a stamp can hold. */
const MAX_MS = 315_360_000_000

function fromZero(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 0 && value <= MAX_MS) return value
  throw new StateError(
    'invalid_option',
    `cluster: ${name} is ${value}, it must be a whole number from 0 to ${MAX_MS}`,
  )
}
