/** Options of a server: meaning, unit and default of each, resolved once. */

import { StateError } from '../../core/errors.ts'
import { isHost } from '../../core/host-port.ts'
import { MAX_JSON_DEPTH } from '../../core/json/bounds.ts'
import { assertKey } from '../../core/keys/key.ts'
import type { Logger } from '../../core/ports/logger.ts'
import { SILENT_LOGGER } from '../../core/ports/logger.ts'
import type { Durability, StorageAdapter } from '../../core/ports/storage-adapter.ts'
import type { TimeSource } from '../../core/ports/time.ts'
import type { Transport } from '../../core/ports/transport.ts'
import { ADMISSION_RANGES, type AdmissionOptions, resolveAdmission } from '../admission/options.ts'
import { createWsTransport } from '../dial/ws-transport.ts'
import { assertPageRules } from '../doors/page-guard.ts'
import { newNodeId } from '../process/node-id.ts'
import { createSystemTime } from '../process/system-time.ts'
import { memoryLimits } from './memory-limits.ts'
import type { ServerPlugin } from './plugin.ts'
import type { TlsOptions } from './tls.ts'

/** Those of connections are with `AdmissionOptions`. */
export interface ServerOptions extends AdmissionOptions {
  /** Where the data is kept. */
  readonly storage: StorageAdapter
  /** Address to listen on, IPv4, IPv6 or a name. Default `127.0.0.1`. */
  readonly host?: string
  /** TCP port. Default 8800; 0 takes any free one. */
  readonly port?: number
  /** Name shown to people. Default `ooo`. */
  readonly name?: string
  /** True to serve only the paths in `open`. Default false. */
  readonly static?: boolean
  /**
   * `true`: whoever reaches the node may read and write, also from other machines. Or paths opened in static
   * mode, for reads, writes and deletes by everybody. Without either, a node that listens beyond loopback needs
   * middleware to open. Default none.
   */
  readonly open?: boolean | readonly string[]
  /** Durability of writes that name none. Default: the adapter's own default. */
  readonly durability?: Durability
  /**
   * Bytes of records kept in memory; what is read beyond them comes from the storage. Default: all
   * records are kept. 0 keeps none.
   */
  readonly cacheBytes?: number
  /** Milliseconds a POST, PATCH or DELETE may take; also the longest drain at close. Default 10 000. */
  readonly deadlineMs?: number
  /**
   * Milliseconds for which a node that closes says so first: it takes no new connections, and each answer ends its
   * own (RFC 9112, section 9.6). It is over once every connection used within that time has ended. Default 0: a
   * client that sends on a kept connection at the very moment finds it closed. `ooo serve` takes 500.
   */
  readonly closeNoticeMs?: number
  /** Largest request body, bytes. Default 10 MiB, as is 0; negative for no limit. */
  readonly maxBodyBytes?: number
  /**
   * Most bytes of request bodies that are held at a time, until their requests are answered; more is refused with
   * 503, but for a single one. Default: a quarter of the heap, at least 16 and at most 256 MiB.
   */
  readonly maxBodiesBytes?: number
  /**
   * Bytes of all answers that clients have not read, beyond which those who take nothing are cut, or new ones get
   * 503. Default: as for `maxBodiesBytes`.
   */
  readonly maxAnswerBytes?: number
  /**
   * Largest value that is written, bytes of its JSON text, by whatever way: also the result of a PATCH, and
   * what other nodes send. Default `maxBodyBytes`, from 1 KiB to 64 MiB. Greater values of before are read,
   * deleted and made smaller.
   */
  readonly maxValueBytes?: number
  /**
   * Deepest nesting of JSON that is written, by whatever way. Default 512, at most 1000. Deeper values of before are
   * read, deleted and made less deep; and so with `maxJsonMembers`.
   */
  readonly maxJsonDepth?: number
  /**
   * Most items of arrays and members of objects in one value, a member counted four times. Default: one for
   * each 120 bytes of the heap, at least 500 000 and at most 4 000 000.
   */
  readonly maxJsonMembers?: number
  /**
   * Bytes that subscribers have not read: of full states, beyond which those who hold one longest are closed, and
   * of patches, beyond which those who are behind get a full state later. Default: as for `maxBodiesBytes`.
   */
  readonly maxUnreadBytes?: number
  /** Bytes of full states and patches kept for subscribers to come, in all. Default: half of `maxBodiesBytes`. */
  readonly maxPoolBytes?: number
  /** Milliseconds a request may take to arrive whole. Default 60 000; 0 for no limit. */
  readonly readTimeoutMs?: number
  /** Milliseconds the head of a request may take to arrive. Default 10 000; 0 for no limit. */
  readonly headersTimeoutMs?: number
  /** Milliseconds an HTTP exchange may go on without a byte either way. Default 60 000; 0 for no limit. */
  readonly writeTimeoutMs?: number
  /** Milliseconds a kept connection may wait for its next request. Default 10 000; 0 keeps none. */
  readonly idleTimeoutMs?: number
  /** Whether answers are compressed for clients that take it. Default true. */
  readonly compression?: boolean
  /** Serves HTTPS and WSS. Default: plain HTTP and WS. */
  readonly tls?: TlsOptions
  /**
   * Origins of web pages that are served beside those of this node's own host and loopback: one `*` wildcard
   * each, which WebSockets do not understand. `*` alone: every page, under every host name. `null` for
   * pages without an origin. Default none.
   */
  readonly allowedOrigins?: readonly string[]
  /**
   * Names in the `Host` header that are served beside addresses, names that nobody can register (without a
   * dot, or below `.localhost`, `.local`, `.internal`, `.svc`, `.cluster.local`, `.home.arpa`), `host`, and the names
   * by which the cluster calls this node. Default none.
   */
  readonly allowedHosts?: readonly string[]
  /** Methods that other origins may use. Default GET, POST, DELETE, PUT, PATCH; HEAD always is allowed. */
  readonly allowedMethods?: readonly string[]
  /**
   * Request headers that other origins may send. Default Authorization, Content-Type, If-Match,
   * If-None-Match. The headers any page may send need no mention.
   */
  readonly allowedHeaders?: readonly string[]
  /** Response headers that pages of other origins may read. Default none. */
  readonly exposedHeaders?: readonly string[]
  /** Keys and globs whose changes are not sent to subscribers; their first snapshot has them. Default none. */
  readonly noBroadcastKeys?: readonly string[]
  /**
   * Hosts to which proxies that find a node by its record may go (`proxy.routeNodeFilter`), beside members of
   * the cluster: host names or IP addresses. Default: none.
   */
  readonly proxyHosts?: readonly string[]
  /**
   * Milliseconds a write waits for the lock of its key while another holds it; then it is refused with
   * 423. Default 5000; 0 for not at all.
   */
  readonly lockWaitMs?: number
  /** Milliseconds a read waits for its `beforeRead` hooks; then it goes on. Default 5000; 0 for no limit. */
  readonly beforeReadTimeoutMs?: number
  /** True to send subscribers the full state at each change, never a patch. Default false. */
  readonly noPatch?: boolean
  /** Accepted for older configurations and reported to tools: patches are preferred anyway. Default false. */
  readonly forcePatch?: boolean
  /** Milliseconds all hooks of one close may take together; later ones are skipped. Default 0: no limit. */
  readonly closeCallbackBudgetMs?: number
  /** Milliseconds between two frames of the clock socket. Default 1000. */
  readonly tickMs?: number
  /** Milliseconds between two pings to a socket. Default 60 000. */
  readonly pingIntervalMs?: number
  /** Milliseconds of silence after which a socket is dropped. Default 150 000. */
  readonly pongTimeoutMs?: number
  /** Milliseconds a socket's peer may take none of what waits for it before it is dropped. Default 15 000. */
  readonly wsWriteTimeoutMs?: number
  /** Unread bytes per subscriber beyond which it gets a snapshot later, not each patch. Default 1 MiB. */
  readonly maxBufferedBytes?: number
  /** Milliseconds a subscriber that is behind may take nothing before it is closed. Default 15 000. */
  readonly slowConsumerTimeoutMs?: number
  /** Subscription pools without users whose version is remembered. Default 1000; 0 for none. */
  readonly maxIdlePools?: number
  /**
   * Processes that hold the connections of subscribers, so that fan-out uses more than one core; requests
   * stay in this one. Default 0: everything in this process. Connections over TLS always are.
   */
  readonly workers?: number
  /** Folder of the built web UI. Default: none, and `/` is a plain page. */
  readonly uiDir?: string
  /** What adds routes and replication to the node: `cluster`, `backupRoutes`, `sharedTables`. Default none. */
  readonly plugins?: readonly ServerPlugin[]
  /** Where log lines go. Default: silent. */
  readonly logger?: Logger
  /** Clocks and timers. Default: the machine's clocks. */
  readonly time?: TimeSource
  /** Opens the connections of plugins to other nodes. Default: WebSocket over TCP. */
  readonly transport?: Transport
  /** Makes the node id and the epoch. Default: random, letters and digits. */
  readonly newId?: () => string
}

/** Options that stay without a value when none was given. */
type OptionalSetting = 'durability' | 'cacheBytes' | 'uiDir' | 'tls'

export type ResolvedServerOptions = Readonly<
  Required<Omit<ServerOptions, OptionalSetting | 'open'>> & Pick<ServerOptions, OptionalSetting>
> & {
  /** Paths opened in static mode. */
  readonly open: readonly string[]
  /** Whether the owner has said that everybody may read and write. */
  readonly isOpen: boolean
}

const DEFAULT_MAX_BODY_BYTES = 10 * 1024 * 1024
/** What nodes write themselves, such as where each is, has to fit. */
const LEAST_VALUE_BYTES = 1024
/** The most that a node may be told to take as one value. */
const GREATEST_VALUE_BYTES = 64 * 1024 * 1024
const MAX_PORT = 65_535
/** Timers hold no more. */
const MAX_TIMER_MS = 2_147_483_647
const DEFAULT_METHODS: readonly string[] = ['GET', 'POST', 'DELETE', 'PUT', 'PATCH']
const DEFAULT_HEADERS: readonly string[] = [
  'Authorization',
  'Content-Type',
  'If-Match',
  'If-None-Match',
]

/** Numbers with a range: smallest and greatest value. */
const RANGES = {
  port: [0, MAX_PORT],
  deadlineMs: [1],
  closeNoticeMs: [0, MAX_TIMER_MS],
  readTimeoutMs: [0],
  headersTimeoutMs: [0],
  writeTimeoutMs: [0],
  idleTimeoutMs: [0],
  closeCallbackBudgetMs: [0],
  lockWaitMs: [0, MAX_TIMER_MS],
  beforeReadTimeoutMs: [0, MAX_TIMER_MS],
  tickMs: [1],
  pingIntervalMs: [1],
  pongTimeoutMs: [1],
  wsWriteTimeoutMs: [1],
  maxBufferedBytes: [0],
  slowConsumerTimeoutMs: [1],
  maxIdlePools: [0],
  maxBodiesBytes: [1],
  maxAnswerBytes: [1],
  maxJsonDepth: [1, MAX_JSON_DEPTH],
  maxJsonMembers: [1],
  maxUnreadBytes: [1],
  maxPoolBytes: [0],
  workers: [0, 64],
  maxValueBytes: [LEAST_VALUE_BYTES, GREATEST_VALUE_BYTES],
  ...ADMISSION_RANGES,
} as const

/** Fills in defaults, checks ranges and refuses unknown names. @throws StateError `invalid_option`. */
export function resolveServerOptions(options: ServerOptions): ResolvedServerOptions {
  const resolved: ResolvedServerOptions = {
    ...limitsOf(options),
    ...resolveAdmission(options),
    storage: options.storage,
    host: options.host ?? '127.0.0.1',
    port: options.port ?? 8800,
    name: options.name ?? 'ooo',
    static: options.static ?? false,
    ...openingOf(options),
    maxBodyBytes: bodyCap(options.maxBodyBytes ?? 0),
    compression: options.compression ?? true,
    allowedOrigins: [...(options.allowedOrigins ?? [])],
    allowedHosts: [...(options.allowedHosts ?? [])],
    allowedMethods: [...(options.allowedMethods ?? DEFAULT_METHODS)],
    allowedHeaders: [...(options.allowedHeaders ?? DEFAULT_HEADERS)],
    exposedHeaders: [...(options.exposedHeaders ?? [])],
    noBroadcastKeys: [...(options.noBroadcastKeys ?? [])],
    proxyHosts: (options.proxyHosts ?? []).map((host) => host.toLowerCase()),
    noPatch: options.noPatch ?? false,
    forcePatch: options.forcePatch ?? false,
    plugins: [...(options.plugins ?? [])],
    logger: options.logger ?? SILENT_LOGGER,
    time: options.time ?? createSystemTime(),
    transport: options.transport ?? createWsTransport(),
    newId: options.newId ?? newNodeId,
    ...(options.durability === undefined ? {} : { durability: options.durability }),
    ...(options.cacheBytes === undefined ? {} : { cacheBytes: options.cacheBytes }),
    ...(options.uiDir === undefined ? {} : { uiDir: options.uiDir }),
    ...(options.tls === undefined ? {} : { tls: Object.freeze({ ...options.tls }) }),
  }
  assertKnown(options, resolved)
  assertConsistent(resolved)
  return Object.freeze(resolved)
}

function openingOf({
  open = [],
  static: isStatic = false,
}: ServerOptions): Pick<ResolvedServerOptions, 'open' | 'isOpen'> {
  return typeof open === 'boolean'
    ? { open: [], isOpen: open }
    : { open: [...open], isOpen: isStatic && open.length > 0 }
}

type Limit = Exclude<keyof typeof RANGES, 'port' | keyof typeof ADMISSION_RANGES>

function limitsOf(options: ServerOptions): Readonly<Record<Limit, number>> {
  return {
    deadlineMs: options.deadlineMs ?? 10_000,
    closeNoticeMs: options.closeNoticeMs ?? 0,
    readTimeoutMs: options.readTimeoutMs ?? 60_000,
    headersTimeoutMs: options.headersTimeoutMs ?? 10_000,
    writeTimeoutMs: options.writeTimeoutMs ?? 60_000,
    idleTimeoutMs: options.idleTimeoutMs ?? 10_000,
    closeCallbackBudgetMs: options.closeCallbackBudgetMs ?? 0,
    lockWaitMs: options.lockWaitMs ?? 5000,
    beforeReadTimeoutMs: options.beforeReadTimeoutMs ?? 5000,
    tickMs: options.tickMs ?? 1000,
    pingIntervalMs: options.pingIntervalMs ?? 60_000,
    pongTimeoutMs: options.pongTimeoutMs ?? 150_000,
    wsWriteTimeoutMs: options.wsWriteTimeoutMs ?? 15_000,
    maxBufferedBytes: options.maxBufferedBytes ?? 1024 * 1024,
    slowConsumerTimeoutMs: options.slowConsumerTimeoutMs ?? 15_000,
    maxIdlePools: options.maxIdlePools ?? 1000,
    ...memoryLimits(options),
    workers: options.workers ?? 0,
    maxValueBytes: options.maxValueBytes ?? valueCap(bodyCap(options.maxBodyBytes ?? 0)),
  }
}

function assertConsistent(resolved: ResolvedServerOptions): void {
  if (resolved.deadlineMs < 0) {
    throw new StateError('invalid_option', 'ooo: Deadline cannot be negative')
  }
  for (const [name, [min, max]] of Object.entries(RANGES)) {
    assertRange(name, resolved[name as keyof typeof RANGES], min, max)
  }
  if (resolved.cacheBytes !== undefined) assertRange('cacheBytes', resolved.cacheBytes, 0)
  if (resolved.forcePatch && resolved.noPatch) {
    throw new StateError('invalid_option', 'ooo: ForcePatch and NoPatch cannot both be enabled')
  }
  for (const key of resolved.noBroadcastKeys) assertKey(key)
  assertPageRules(resolved)
  for (const host of resolved.proxyHosts) {
    if (isHost(host)) continue
    throw new StateError('invalid_option', `ooo: proxyHosts has "${host}", which is no host name`)
  }
}

/** A misspelt option would otherwise be its default, in silence. */
function assertKnown(options: ServerOptions, resolved: ResolvedServerOptions): void {
  for (const [name, value] of Object.entries(options)) {
    if (name in resolved || value === undefined) continue
    throw new StateError('invalid_option', `ooo: unknown option ${name}`)
  }
}

function bodyCap(bytes: number): number {
  if (bytes === 0) return DEFAULT_MAX_BODY_BYTES
  return bytes < 0 ? Number.POSITIVE_INFINITY : bytes
}

function valueCap(bodyBytes: number): number {
  return Math.max(LEAST_VALUE_BYTES, Math.min(bodyBytes, GREATEST_VALUE_BYTES))
}

function assertRange(
  name: string,
  value: number,
  min: number,
  max = Number.MAX_SAFE_INTEGER,
): void {
  if (Number.isInteger(value) && value >= min && value <= max) return
  throw new StateError(
    'invalid_option',
    `ooo: option ${name} must be an integer from ${min} to ${max}, not ${value}`,
  )
}
