/** Options of a server: meaning, unit and default of each, resolved once. */

import { StateError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import { SILENT_LOGGER } from '../core/logger.ts'
import type { TimeSource } from '../core/time.ts'
import type { Transport } from '../core/transport.ts'
import type { Durability, StorageAdapter } from '../storage-adapter.ts'
import { newNodeId } from './node-id.ts'
import type { ServerPlugin } from './plugin.ts'
import { createSystemTime } from './system-time.ts'
import { createWsTransport } from './ws-transport.ts'

export interface ServerOptions {
  readonly storage: StorageAdapter
  /** Address to listen on, IPv4, IPv6 or a name. Default `127.0.0.1`. */
  readonly host?: string
  /** TCP port. Default 8800; 0 takes any free one. */
  readonly port?: number
  /** Name shown to people. Default `ooo`. */
  readonly name?: string
  /** True to serve only the paths in `open`. Default false. */
  readonly static?: boolean
  /** Paths opened in static mode, for reads, writes and deletes. Default none. */
  readonly open?: readonly string[]
  /** Durability of writes. Default: the adapter's own default. */
  readonly durability?: Durability
  /** Milliseconds a POST, PATCH or DELETE may take; also the longest drain at close. Default 10 000. */
  readonly deadlineMs?: number
  /** Largest request body, bytes. Default 10 MiB, as is 0; negative for no limit. */
  readonly maxBodyBytes?: number
  /** Origins for CORS (one `*` wildcard each) and WebSockets. Default `['*']`, as is an empty list. */
  readonly allowedOrigins?: readonly string[]
  /** Milliseconds between two frames of the clock socket. Default 1000. */
  readonly tickMs?: number
  /** Milliseconds between two pings to a socket. Default 60 000. */
  readonly pingIntervalMs?: number
  /** Milliseconds of silence after which a socket is dropped. Default 150 000. */
  readonly pongTimeoutMs?: number
  /** Unread bytes per subscriber beyond which it gets a snapshot later, not each patch. Default 1 MiB. */
  readonly maxBufferedBytes?: number
  /** Milliseconds a subscriber that is behind may take nothing before it is closed. Default 15 000. */
  readonly slowConsumerTimeoutMs?: number
  /** Subscription pools without users whose version is remembered. Default 1000; 0 for none. */
  readonly maxIdlePools?: number
  /** Folder of the built web UI. Default: none, and `/` is a plain page. */
  readonly uiDir?: string
  readonly plugins?: readonly ServerPlugin[]
  /** Default: silent. */
  readonly logger?: Logger
  /** Default: the machine's clocks. */
  readonly time?: TimeSource
  /** Opens the connections of plugins to other nodes. Default: WebSocket over TCP. */
  readonly transport?: Transport
  /** Makes the node id and the epoch. Default: random, letters and digits. */
  readonly newId?: () => string
}

/** Options that stay without a value when none was given. */
type OptionalSetting = 'durability' | 'uiDir'

export type ResolvedServerOptions = Readonly<
  Required<Omit<ServerOptions, OptionalSetting>> & Pick<ServerOptions, OptionalSetting>
>

const DEFAULT_MAX_BODY_BYTES = 10 * 1024 * 1024
const MAX_PORT = 65_535

/** Fills in defaults, checks ranges and refuses unknown names. @throws StateError `invalid_option`. */
export function resolveServerOptions(options: ServerOptions): ResolvedServerOptions {
  const maxBodyBytes = options.maxBodyBytes ?? 0
  const allowedOrigins = options.allowedOrigins ?? []
  const resolved: ResolvedServerOptions = {
    storage: options.storage,
    host: options.host ?? '127.0.0.1',
    port: options.port ?? 8800,
    name: options.name ?? 'ooo',
    static: options.static ?? false,
    open: [...(options.open ?? [])],
    deadlineMs: options.deadlineMs ?? 10_000,
    maxBodyBytes: bodyCap(maxBodyBytes),
    allowedOrigins: allowedOrigins.length === 0 ? ['*'] : [...allowedOrigins],
    tickMs: options.tickMs ?? 1000,
    pingIntervalMs: options.pingIntervalMs ?? 60_000,
    pongTimeoutMs: options.pongTimeoutMs ?? 150_000,
    maxBufferedBytes: options.maxBufferedBytes ?? 1024 * 1024,
    slowConsumerTimeoutMs: options.slowConsumerTimeoutMs ?? 15_000,
    maxIdlePools: options.maxIdlePools ?? 1000,
    plugins: [...(options.plugins ?? [])],
    logger: options.logger ?? SILENT_LOGGER,
    time: options.time ?? createSystemTime(),
    transport: options.transport ?? createWsTransport(),
    newId: options.newId ?? newNodeId,
    ...(options.durability === undefined ? {} : { durability: options.durability }),
    ...(options.uiDir === undefined ? {} : { uiDir: options.uiDir }),
  }
  assertKnown(options, resolved)
  assertRange('port', resolved.port, 0, MAX_PORT)
  assertRange('deadlineMs', resolved.deadlineMs, 1)
  assertRange('tickMs', resolved.tickMs, 1)
  assertRange('pingIntervalMs', resolved.pingIntervalMs, 1)
  assertRange('pongTimeoutMs', resolved.pongTimeoutMs, 1)
  assertRange('maxBufferedBytes', resolved.maxBufferedBytes, 0)
  assertRange('slowConsumerTimeoutMs', resolved.slowConsumerTimeoutMs, 1)
  assertRange('maxIdlePools', resolved.maxIdlePools, 0)
  return Object.freeze(resolved)
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
