/**
 * Which web pages a node serves, and under which host names. Every way in asks here first: requests,
 * preflights and WebSocket handshakes, of keys, routes, plugins and the web page.
 *
 * 1. A request with a credential of this node is served, whatever page or name it comes by.
 * 2. `Host` must be a name that no stranger can make lead here (DNS rebinding): an address, a name that
 *    nobody can register, or one that this node was told.
 * 3. A request with an `Origin` comes from a page. The page is served when its host is this node's own or
 *    loopback, whatever scheme and port, or when its origin is listed.
 * 4. What only nodes and operators use is served to no page: routes for `peer` and `listed`.
 */
import type { IncomingMessage } from 'node:http'
import { StateError } from '../../core/errors.ts'
import type { Logger } from '../../core/ports/logger.ts'
import {
  hostNameOf,
  hostNameOfOrigin,
  isHostName,
  isLoopbackName,
  isOriginPattern,
  isUnregistrable,
} from './host-name.ts'
import { RefusalLog } from './refusal-log.ts'
import type { Who } from './who.ts'

/** Says whether a request shows a credential of this node. */
export type CredentialCheck = (request: IncomingMessage) => boolean

export interface PageGuardOptions {
  /** Origins of pages that are served; each may hold one `*`. `*` alone: every page, under every host name. */
  readonly allowedOrigins: readonly string[]
  /** Names beside those below. */
  readonly allowedHosts: readonly string[]
  /** What the node listens on. */
  readonly host: string
  readonly logger: Logger
  /** What plugins tell: this node's names, those by which requests may call it, and its credentials. */
  readonly plugins: {
    readonly ownNames: ReadonlySet<string>
    readonly hostNames: ReadonlySet<string>
    readonly credentials: readonly CredentialCheck[]
  }
}

/** `allowOrigin` is what `Access-Control-Allow-Origin` says; undefined: nothing, as no page asks. */
export type PageVerdict =
  | { readonly kind: 'served'; readonly allowOrigin: string | undefined }
  | { readonly kind: 'refused'; readonly status: 403; readonly text: string }

/** What is asked for: a route. */
export interface AskedRoute {
  readonly path: string
  readonly who: Who
}

/** The wildcards of CORS are not understood for WebSockets. */
export type RequestKind = 'request' | 'socket'

const NO_PAGE: PageVerdict = { kind: 'served', allowOrigin: undefined }
/** Longest origin or name repeated in an answer or a log line, characters. */
const MAX_SHOWN = 200

export class PageGuard {
  readonly #options: PageGuardOptions
  readonly #hosts: ReadonlySet<string>
  readonly #servesAll: boolean
  readonly #log: RefusalLog

  constructor(options: PageGuardOptions) {
    const { allowedHosts, allowedOrigins, host, logger } = options
    this.#options = options
    this.#hosts = new Set(
      [...allowedHosts.map((name) => hostNameOf(name)), hostNameOf(host)].flatMap(
        (name) => name ?? [],
      ),
    )
    this.#servesAll = allowedOrigins.includes('*')
    this.#log = new RefusalLog(logger)
  }

  judge(request: IncomingMessage, kind: RequestKind, { path, who }: AskedRoute): PageVerdict {
    const { origin } = request.headers
    if ((who === 'peer' || who === 'listed') && isOfPage(request)) {
      return this.#refuseClosed(origin ?? 'the node itself', path)
    }
    if (this.#servesAll) {
      return origin === undefined ? NO_PAGE : { kind: 'served', allowOrigin: '*' }
    }
    const { credentials } = this.#options.plugins
    if (credentials.some((check) => check(request))) return { kind: 'served', allowOrigin: origin }
    // Every browser says an origin when it opens a WebSocket (RFC 6455 section 10.2), so this is no page's.
    const isOfNode = who === 'peer' && kind === 'socket' && origin === undefined
    if (who !== 'anyone' && !isOfNode && !this.#isOwnHost(request)) {
      return this.#refuseHost(request.headers.host ?? '')
    }
    if (origin === undefined) return NO_PAGE
    if (this.#isServed(origin, request, kind)) return { kind: 'served', allowOrigin: origin }
    // A preflight can show no credential; what is asked for then is judged by the one it shows.
    if (credentials.length > 0 && asksToAuthorize(request)) {
      return { kind: 'served', allowOrigin: origin }
    }
    return this.#refuseOrigin(origin)
  }

  #isOwnHost({ headers: { host } }: IncomingMessage): boolean {
    // Only what is no browser says none (HTTP/1.0).
    if (host === undefined || host === '') return true
    const name = hostNameOf(host)
    if (name === undefined) return false
    return (
      isUnregistrable(name) || this.#isOwnName(name) || this.#options.plugins.hostNames.has(name)
    )
  }

  #isServed(origin: string, request: IncomingMessage, kind: RequestKind): boolean {
    const wanted = origin.toLowerCase()
    const { allowedOrigins } = this.#options
    const matches = kind === 'request' ? matchesOrigin : isSameText
    if (allowedOrigins.some((allowed) => matches(allowed.toLowerCase(), wanted))) return true
    const name = hostNameOfOrigin(origin)
    if (name === undefined) return false
    return (
      isLoopbackName(name) ||
      name === hostNameOf(request.headers.host ?? '') ||
      this.#isOwnName(name)
    )
  }

  #isOwnName(name: string): boolean {
    return this.#hosts.has(name) || this.#options.plugins.ownNames.has(name)
  }

  #refuseOrigin(origin: string): PageVerdict {
    const shown = origin.slice(0, MAX_SHOWN)
    const advice = `--allow-origin ${shown} (allowedOrigins in a program) allows it`
    this.#log.refused('origin', shown, advice)
    return refused(`pages of the origin ${shown} may not use this node; ${advice}`)
  }

  #refuseHost(host: string): PageVerdict {
    const shown = (hostNameOf(host) ?? host).slice(0, MAX_SHOWN)
    const advice = `--allow-host ${shown} (allowedHosts in a program) allows it`
    this.#log.refused('host', shown, advice)
    return refused(`this node is not known by the host name ${shown}; ${advice}`)
  }

  #refuseClosed(origin: string, path: string): PageVerdict {
    const shown = origin.slice(0, MAX_SHOWN)
    const advice = `no page may use ${path}, and no option allows it`
    this.#log.refused('origin', shown, advice)
    return refused(`${advice}; the request comes from a page of ${shown}`)
  }
}

/** @throws StateError `invalid_option` for what would silently match nothing. */
export function assertPageRules({
  allowedOrigins,
  allowedHosts,
}: Pick<PageGuardOptions, 'allowedOrigins' | 'allowedHosts'>): void {
  const origin = allowedOrigins.find((listed) => !isOriginPattern(listed))
  if (origin !== undefined) {
    throw new StateError(
      'invalid_option',
      `ooo: allowedOrigins: "${origin}" is no origin such as https://app.example, "*" or "null"`,
    )
  }
  const host = allowedHosts.find((listed) => !isHostName(listed))
  if (host === undefined) return
  throw new StateError('invalid_option', `ooo: allowedHosts: "${host}" is no name of a host`)
}

function refused(sentence: string): PageVerdict {
  return { kind: 'refused', status: 403, text: `Forbidden: ${sentence}\n` }
}

/** A page also asks without an origin, for what is its own or only shown; newer browsers tell that otherwise. */
function isOfPage({ headers }: IncomingMessage): boolean {
  return headers.origin !== undefined || (headers['sec-fetch-site'] ?? 'none') !== 'none'
}

function asksToAuthorize({ method, headers }: IncomingMessage): boolean {
  if (method !== 'OPTIONS') return false
  const asked = headers['access-control-request-headers'] ?? ''
  return asked.split(',').some((name) => name.trim().toLowerCase() === 'authorization')
}

function isSameText(allowed: string, origin: string): boolean {
  return allowed === origin
}

function matchesOrigin(allowed: string, origin: string): boolean {
  const star = allowed.indexOf('*')
  if (star === -1) return allowed === origin
  const head = allowed.slice(0, star)
  const tail = allowed.slice(star + 1)
  return (
    origin.length >= head.length + tail.length && origin.startsWith(head) && origin.endsWith(tail)
  )
}
