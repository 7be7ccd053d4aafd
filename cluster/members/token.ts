/**
 * The door for nodes, and what goes past the data's own rules. With a token: who shows it, in the header that
 * nodes use or as a bearer token; compared in constant time. Without one: this machine only, or everybody where
 * the cluster was opened by name.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { StateError } from '../../src/core/errors.ts'
import { isLoopback } from '../../src/core/loopback.ts'
import { TOKEN_HEADER } from '../../src/core/wire/protocol.ts'
import { explainClone, isCloneRefusal } from './clone-text.ts'

export interface NodeDoor {
  readonly token: string | undefined
  /** Whether nodes of other machines come in without a token. */
  readonly openCluster: boolean
}

/** @throws StateError `unauthorized` without the token, `forbidden` for other machines where there is none. */
export function requireMember(request: IncomingMessage, { token, openCluster }: NodeDoor): void {
  requireToken(request, token)
  if (token !== undefined || openCluster || isFromHere(request)) return
  throw new StateError(
    'forbidden',
    'cluster: only this machine may do that: the node has no cluster token; give all nodes one (--cluster-token-file), or let everybody in with --open-cluster',
  )
}

/** @throws StateError `unauthorized` unless no token is required or the request shows it. */
export function requireToken(request: IncomingMessage, token: string | undefined): void {
  if (token === undefined || showsToken(request, token)) return
  throw new StateError('unauthorized', 'cluster: the cluster token is missing or wrong')
}

/** Whether the request shows the token: in its header, which nodes use, or as a bearer token. */
export function showsToken(request: IncomingMessage, token: string): boolean {
  return [request.headers[TOKEN_HEADER], bearerOf(request)].some(
    (shown) => typeof shown === 'string' && timingSafeEqual(digest(shown), digest(token)),
  )
}

/** Whether the leader did not take the token of this node, or did not let it in for another reason. */
export function refusalKind(reason: string | undefined): 'token' | 'node' | undefined {
  if (reason === undefined) return undefined
  if (/^Unexpected server response: 401\b/.test(reason)) return 'token'
  const isNode = /^Unexpected server response: 403\b/.test(reason) || isCloneRefusal(reason)
  return isNode ? 'node' : undefined
}

/** The reason of a connection that ended, with what to look at where the leader did not let this node in. */
export function explainRefusal(reason: string): string {
  if (isCloneRefusal(reason)) return explainClone(reason)
  if (/^Unexpected server response: 403\b/.test(reason)) {
    return `${reason}: it has no cluster token and does not let nodes of other machines in (--open-cluster), or is called by a host name that it does not know (--allow-host); its log says which`
  }
  if (!/^Unexpected server response: 401\b/.test(reason)) return reason
  return `${reason}: its cluster token is another one than this node's`
}

/** What a proxy passes on comes from somewhere else. */
function isFromHere({ socket, headers }: IncomingMessage): boolean {
  const isProxied = headers['x-forwarded-for'] !== undefined || headers.forwarded !== undefined
  return !isProxied && isLoopback(socket.remoteAddress ?? '')
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
