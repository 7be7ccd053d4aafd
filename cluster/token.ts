/** The cluster token: shown by peers in a header, by others as a bearer token, compared in constant time. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { StateError } from '../src/core/errors.ts'
import { TOKEN_HEADER } from '../src/core/protocol.ts'

/** @throws StateError `unauthorized` unless no token is required or the request shows it. */
export function requireToken(request: IncomingMessage, token: string | undefined): void {
  if (token === undefined || showsToken(request, token)) return
  throw new StateError('unauthorized', 'cluster: the cluster token is missing or wrong')
}

/** Whether the request shows the token: in its header, which nodes use, or as a bearer token. */
export function showsToken(request: IncomingMessage, token: string): boolean {
  const wanted = digest(token)
  return [request.headers[TOKEN_HEADER], bearerOf(request)].some(
    (shown) => typeof shown === 'string' && timingSafeEqual(digest(shown), wanted),
  )
}

/** The reason of a connection that ended, with what to look at where the leader did not take the token. */
export function explainRefusal(reason: string): string {
  if (!/^Unexpected server response: 401\b/.test(reason)) return reason
  return `${reason}: its cluster token is another one than this node's`
}

/** Whether only this machine can reach a listener on `host`. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/i.test(host)
}

/** Equal lengths whatever was shown, so the comparison tells nothing about the token's length. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/**
 * The token of `Authorization: Bearer <token>` (RFC 6750), or of the subprotocols `bearer, <token>`, which is how
 * a page hands one to a WebSocket. undefined when there is none.
 */
function bearerOf({ headers }: IncomingMessage): string | undefined {
  const authorization = /^Bearer +(\S.*?) *$/i.exec(headers.authorization ?? '')?.[1]
  if (authorization !== undefined) return authorization
  const [scheme, token, ...others] = (headers['sec-websocket-protocol'] ?? '')
    .split(',')
    .map((offer) => offer.trim())
  return scheme === 'bearer' && others.length === 0 ? token : undefined
}
