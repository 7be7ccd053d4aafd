/** Options of the client: defaults and checks, resolved once. */

import { StateError } from '../core/errors.ts'
import { parseExact } from '../core/json/json.ts'
import { parseWithJsonNumbers } from '../core/json/number.ts'
import { type BackoffOptions, resolveBackoff } from '../core/ports/backoff.ts'
import type { Random, TimeSource } from '../core/ports/time.ts'
import type { Transport } from '../core/ports/transport.ts'
import { type BaseUrl, parseBaseUrl } from './key-url.ts'
import { PLATFORM_TIME } from './platform-time.ts'
import type { WebSocketConstructor } from './web-socket-transport.ts'

export interface ClientOptions {
  /** Where the server is: `http://host:port` or `https://…`, with a path prefix if it has one. */
  readonly url: string
  /** Makes REST calls. Default: the platform's `fetch`. */
  readonly fetch?: typeof globalThis.fetch | undefined
  /** Opens sockets. Default: the platform's `WebSocket`. Node before 22 has none: pass the one of `ws`. */
  readonly WebSocket?: WebSocketConstructor | undefined
  /** Replaces `WebSocket` altogether. Default: none. */
  readonly transport?: Transport | undefined
  /**
   * Bearer token, or a function asked before each request and dial. Sent as `Authorization` on
   * REST and as subprotocols `bearer, <token>` on sockets. Default: none.
   */
  readonly token?: string | (() => string) | undefined
  /** Subprotocols to offer on sockets, after those of `token`. Default: none. */
  readonly protocols?: readonly string[] | undefined
  /** Further headers of every request; browsers cannot send them on sockets. Default: none. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Milliseconds one REST attempt may take, body included. Default 10 000; 0: no limit. */
  readonly requestTimeoutMs?: number | undefined
  /**
   * How often a REST call that met a network failure, a timeout or a 5xx answer is tried again.
   * Never a `push`, which might then be stored twice. Default 0.
   */
  readonly retries?: number | undefined
  /** Delays between those attempts. Default: 100 ms doubling to 5 s, with jitter. */
  readonly retryBackoff?: Partial<BackoffOptions> | undefined
  /** Milliseconds a socket may take to open. Default 5 000. */
  readonly connectTimeoutMs?: number | undefined
  /** Delays before a lost socket is dialled again. Default: 300 ms doubling to 10 s, with jitter. */
  readonly reconnectBackoff?: Partial<BackoffOptions> | undefined
  /**
   * True: every number that JavaScript would spell differently arrives as `JsonNumber` (integers
   * as `bigint`). False: only unsafe integers are kept exact, as `bigint`. Default false.
   */
  readonly exactNumbers?: boolean | undefined
  /** Clock and timers. Default: the platform's clock and timers. */
  readonly time?: TimeSource | undefined
  /** Jitter of delays. Default `Math.random`. */
  readonly random?: Random | undefined
}

export interface ResolvedClientOptions {
  readonly base: BaseUrl
  readonly fetch: typeof globalThis.fetch
  readonly WebSocket: WebSocketConstructor | undefined
  readonly transport: Transport | undefined
  /** The present token, if there is one. */
  readonly token: () => string | undefined
  readonly protocols: readonly string[]
  readonly headers: Readonly<Record<string, string>>
  readonly requestTimeoutMs: number
  readonly retries: number
  readonly retryBackoff: BackoffOptions
  readonly connectTimeoutMs: number
  readonly reconnectBackoff: BackoffOptions
  readonly parse: (text: string) => unknown
  readonly time: TimeSource
  readonly random: Random
}

const NAMES: Readonly<Record<keyof ClientOptions, true>> = {
  url: true,
  fetch: true,
  WebSocket: true,
  transport: true,
  token: true,
  protocols: true,
  headers: true,
  requestTimeoutMs: true,
  retries: true,
  retryBackoff: true,
  connectTimeoutMs: true,
  reconnectBackoff: true,
  exactNumbers: true,
  time: true,
  random: true,
}

/** @throws StateError `invalid_option` naming the option, its value and what is allowed. */
export function resolveClientOptions(options: ClientOptions): ResolvedClientOptions {
  for (const name of Object.keys(options)) {
    if (!Object.hasOwn(NAMES, name)) {
      throw new StateError('invalid_option', `unknown client option ${JSON.stringify(name)}`)
    }
  }
  const { token } = options
  return Object.freeze({
    base: parseBaseUrl(options.url),
    // Called through a closure, because browsers refuse a detached `fetch` with another `this`.
    fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
    WebSocket: options.WebSocket,
    transport: options.transport,
    token: () => checkedToken(typeof token === 'function' ? token() : token),
    protocols: Object.freeze([...(options.protocols ?? [])]),
    headers: Object.freeze({ ...options.headers }),
    requestTimeoutMs: atLeast('requestTimeoutMs', options.requestTimeoutMs ?? 10_000, 0),
    retries: atLeast('retries', options.retries ?? 0, 0),
    retryBackoff: resolveBackoff({ initialMs: 100, maxMs: 5_000, ...options.retryBackoff }),
    connectTimeoutMs: atLeast('connectTimeoutMs', options.connectTimeoutMs ?? 5_000, 1),
    reconnectBackoff: resolveBackoff(options.reconnectBackoff ?? {}),
    parse: options.exactNumbers === true ? parseWithJsonNumbers : parseExact,
    time: options.time ?? PLATFORM_TIME,
    random: options.random ?? Math.random,
  })
}

/** A token travels as a subprotocol, whose characters RFC 7230 limits. It is never shown. */
function checkedToken(token: string | undefined): string | undefined {
  if (token === undefined || /^[\w!#$%&'*+.^`|~-]+$/.test(token)) return token
  throw new StateError(
    'invalid_option',
    "token must be of letters, digits and !#$%&'*+-.^_`|~ to travel as a subprotocol",
  )
}

function atLeast(name: string, value: number, least: number): number {
  if (Number.isFinite(value) && value >= least) return value
  throw new StateError('invalid_option', `${name} is ${value}; it must be at least ${least}`)
}
