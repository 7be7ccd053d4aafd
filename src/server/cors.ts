/** Cross-origin rules: which pages may read answers (CORS) and open WebSockets. */
import type { IncomingMessage, ServerResponse } from 'node:http'

const METHODS: readonly string[] = ['GET', 'POST', 'DELETE', 'PUT', 'PATCH', 'HEAD', 'OPTIONS']
const HEADERS: readonly string[] = ['authorization', 'content-type', 'accept', 'origin']

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
  allowedOrigins: readonly string[],
): void {
  const method = request.headers['access-control-request-method'] ?? ''
  const headers = request.headers['access-control-request-headers'] ?? ''
  const names = headers.split(',').map((name) => name.trim().toLowerCase())
  const allowOrigin = corsOrigin(request, allowedOrigins)
  response.setHeader(
    'Vary',
    'Origin, Access-Control-Request-Method, Access-Control-Request-Headers',
  )
  const acceptable =
    METHODS.includes(method.toUpperCase()) &&
    names.every((name) => name === '' || HEADERS.includes(name))
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
  allowedOrigins: readonly string[],
): void {
  response.appendHeader('Vary', 'Origin')
  const allowOrigin = corsOrigin(request, allowedOrigins)
  if (allowOrigin !== undefined) response.setHeader('Access-Control-Allow-Origin', allowOrigin)
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

function matchesOrigin(allowed: string, origin: string): boolean {
  const star = allowed.indexOf('*')
  if (star === -1) return allowed === origin
  const head = allowed.slice(0, star)
  const tail = allowed.slice(star + 1)
  return (
    origin.length >= head.length + tail.length && origin.startsWith(head) && origin.endsWith(tail)
  )
}
