/** Cross-origin rules: which pages may read answers (CORS) and open WebSockets. */
import type { IncomingMessage, ServerResponse } from 'node:http'

/** What pages of other origins may do. */
export interface CorsRules {
  /** Each may hold one `*` wildcard. */
  readonly allowedOrigins: readonly string[]
  readonly allowedMethods: readonly string[]
  readonly allowedHeaders: readonly string[]
  readonly exposedHeaders: readonly string[]
}

/** Methods and headers that are not worth asking about: any page may use them (Fetch standard, 2.2). */
const SIMPLE_METHODS: readonly string[] = ['HEAD', 'OPTIONS']
const SIMPLE_HEADERS: readonly string[] = [
  'accept',
  'accept-language',
  'content-language',
  'origin',
]

/** True for the `OPTIONS` a browser sends ahead of a cross-origin request. */
export function isPreflight(request: IncomingMessage): boolean {
  return (
    request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined
  )
}

/** Answers a preflight: always 204, with the allow headers only when everything asked for is allowed. */
export function answerPreflight(
  request: IncomingMessage,
  response: ServerResponse,
  rules: CorsRules,
): void {
  const method = request.headers['access-control-request-method'] ?? ''
  const headers = request.headers['access-control-request-headers'] ?? ''
  const names = headers.split(',').map((name) => name.trim().toLowerCase())
  const allowOrigin = corsOrigin(request, rules.allowedOrigins)
  response.setHeader(
    'Vary',
    'Origin, Access-Control-Request-Method, Access-Control-Request-Headers',
  )
  const acceptable =
    isListed(method, rules.allowedMethods, SIMPLE_METHODS) &&
    names.every((name) => name === '' || isListed(name, rules.allowedHeaders, SIMPLE_HEADERS))
  if (allowOrigin !== undefined && acceptable) {
    response.setHeader('Access-Control-Allow-Origin', allowOrigin)
    response.setHeader('Access-Control-Allow-Methods', method.toUpperCase())
    if (headers !== '') response.setHeader('Access-Control-Allow-Headers', headers)
  }
  response.writeHead(204)
  response.end()
}

/** Sets the CORS headers of an actual request. */
export function applyCors(
  request: IncomingMessage,
  response: ServerResponse,
  rules: CorsRules,
): void {
  response.appendHeader('Vary', 'Origin')
  const allowOrigin = corsOrigin(request, rules.allowedOrigins)
  if (allowOrigin === undefined) return
  response.setHeader('Access-Control-Allow-Origin', allowOrigin)
  if (rules.exposedHeaders.length > 0) {
    response.setHeader('Access-Control-Expose-Headers', rules.exposedHeaders.join(', '))
  }
}

/**
 * Whether a WebSocket handshake may go on: no origin (not a browser), the page's own host, or listed.
 * The wildcards of CORS are not understood here.
 */
export function isSocketOriginAllowed(
  request: IncomingMessage,
  allowedOrigins: readonly string[],
): boolean {
  const { origin, host } = request.headers
  if (origin === undefined || allowedOrigins.includes('*')) return true
  const wanted = origin.toLowerCase()
  if (allowedOrigins.some((allowed) => allowed.toLowerCase() === wanted)) return true
  const authority = /^[a-z][a-z0-9+.-]*:\/\/([^/]*)/.exec(wanted)?.[1]
  return authority !== undefined && authority === host?.toLowerCase()
}

/** The value of `Access-Control-Allow-Origin`, or undefined when the origin is not allowed. */
function corsOrigin(
  request: IncomingMessage,
  allowedOrigins: readonly string[],
): string | undefined {
  const { origin } = request.headers
  if (origin === undefined) return undefined
  if (allowedOrigins.includes('*')) return '*'
  return allowedOrigins.some((allowed) =>
    matchesOrigin(allowed.toLowerCase(), origin.toLowerCase()),
  )
    ? origin
    : undefined
}

/** Names are compared without regard to case. */
function isListed(name: string, ...lists: readonly (readonly string[])[]): boolean {
  const wanted = name.toLowerCase()
  return lists.some((list) => list.some((listed) => listed.toLowerCase() === wanted))
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
