/**
 * The head of an exchange with a target. Of the caller's headers only the body's length goes on; of the
 * target's, all but those that belong to one connection, and those of CORS, which are this server's to
 * decide.
 */
import * as http from 'node:http'
import * as https from 'node:https'
import type { ResolvedProxyRoute } from './config.ts'
import type { ResolvedTarget } from './target.ts'

/** Headers of one connection, not of the message (RFC 9110 section 7.6.1). */
const CONNECTION_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** Connections kept for later requests, of one route; an unused one is closed after 4 s. */
export function createAgent(route: ResolvedProxyRoute): http.Agent {
  // Shorter than common servers keep theirs, so that a request does not meet a connection just closed.
  const options = { keepAlive: true, maxFreeSockets: 16, timeout: 4000 }
  return route.subscribe.protocol === 'wss'
    ? new https.Agent({ ...options, ...(route.ca === undefined ? {} : { ca: [...route.ca] }) })
    : new http.Agent(options)
}

/** Starts the request; its body is still to be written and ended. */
export function openRequest(
  request: http.IncomingMessage,
  route: ResolvedProxyRoute,
  target: ResolvedTarget,
  agent: http.Agent,
): http.ClientRequest {
  const method = request.method ?? 'GET'
  const headers: http.OutgoingHttpHeaders = {}
  if (method === 'POST' || method === 'PATCH') {
    headers['Content-Type'] = 'application/json'
    const length = request.headers['content-length']
    if (length === undefined) headers['Transfer-Encoding'] = 'chunked'
    else headers['Content-Length'] = length
  }
  const { request: open } = target.isSecure ? https : http
  return open({
    agent,
    method,
    host: target.hostname,
    port: target.port,
    path: target.path,
    headers: { ...headers, ...route.headers },
  })
}

/**
 * Begins the answer as the target began its own.
 * @throws what Node throws for a status or header that cannot be sent
 */
export function copyHead(incoming: http.IncomingMessage, response: http.ServerResponse): void {
  const dropped = new Set(CONNECTION_HEADERS)
  for (const name of (incoming.headers.connection ?? '').split(',')) {
    dropped.add(name.trim().toLowerCase())
  }
  for (const [name, values] of Object.entries(incoming.headersDistinct)) {
    if (values === undefined || dropped.has(name) || name.startsWith('access-control-')) continue
    if (name === 'vary') response.appendHeader(name, values)
    else response.setHeader(name, values.length === 1 ? (values[0] ?? '') : values)
  }
  response.writeHead(incoming.statusCode ?? 502, incoming.statusMessage ?? '')
}
