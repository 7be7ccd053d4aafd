/** The cluster token: shown by peers in a header, compared in constant time. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { StateError } from '../src/core/errors.ts'
import { TOKEN_HEADER } from '../src/core/protocol.ts'

/** @throws StateError `unauthorized` unless no token is required or the request shows it. */
export function requireToken(request: IncomingMessage, token: string | undefined): void {
  if (token === undefined) return
  const shown = request.headers[TOKEN_HEADER]
  if (typeof shown === 'string' && timingSafeEqual(digest(shown), digest(token))) return
  throw new StateError('unauthorized', 'cluster: the cluster token is missing or wrong')
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
