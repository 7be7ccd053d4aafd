/** What pages of other origins are told (CORS), once the page guard has decided that they are served. */
import type { IncomingMessage, ServerResponse } from 'node:http'

/** What pages of other origins that are served may do. */
export interface CorsRules {
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

/** Answers the preflight of a page that is served: always 204, with the allow headers only when everything asked for is allowed. */
export function answerPreflight(
  request: IncomingMessage,
  response: ServerResponse,
  rules: CorsRules,
  allowOrigin: string | undefined,
): void {
  const method = request.headers['access-control-request-method'] ?? ''
  const headers = request.headers['access-control-request-headers'] ?? ''
  const names = headers.split(',').map((name) => name.trim().toLowerCase())
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

/** Sets the CORS headers of an actual request. @param allowOrigin undefined: no page asks */
export function applyCors(
  response: ServerResponse,
  rules: CorsRules,
  allowOrigin: string | undefined,
): void {
  response.appendHeader('Vary', 'Origin')
  if (allowOrigin === undefined) return
  response.setHeader('Access-Control-Allow-Origin', allowOrigin)
  if (rules.exposedHeaders.length > 0) {
    response.setHeader('Access-Control-Expose-Headers', rules.exposedHeaders.join(', '))
  }
}

/** Names are compared without regard to case. */
function isListed(name: string, ...lists: readonly (readonly string[])[]): boolean {
  const wanted = name.toLowerCase()
  return lists.some((list) => list.some((listed) => listed.toLowerCase() === wanted))
}
