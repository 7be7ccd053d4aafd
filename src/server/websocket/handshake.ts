/** The opening handshake of subscribers (RFC 6455 section 4.2.2), and the terms of their connections. */
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { StateError } from '../../core/errors.ts'

/** Largest message taken from a subscriber, bytes; nothing it says is read anyway. */
export const MAX_SUBSCRIBER_MESSAGE_BYTES: number = 64 * 1024

/** Milliseconds a peer has to answer a close frame before it is dropped. */
export const CLOSE_GRACE_MS = 1000

/** The one subprotocol taken up: a token follows it among those offered. */
const BEARER = 'bearer'
const KEY_SUFFIX = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
/** A token (RFC 9110 section 5.6.2). */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

/**
 * The answer to a well-formed request: 101, without extensions.
 * @throws StateError `invalid_message` for an offer of subprotocols that is not a list of distinct tokens
 */
export function openingOf(request: IncomingMessage): string {
  const takesBearer = readOffer(request.headers['sec-websocket-protocol']).has(BEARER)
  const accept = createHash('sha1')
    .update(`${request.headers['sec-websocket-key']}${KEY_SUFFIX}`)
    .digest('base64')
  const lines = [
    'HTTP/1.1 101 Switching Protocols',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${accept}`,
    ...(takesBearer ? [`Sec-WebSocket-Protocol: ${BEARER}`] : []),
  ]
  return `${lines.join('\r\n')}\r\n\r\n`
}

/** Whether the connection can be written to and read; if not it is ended. */
export function isUsable(socket: Socket): boolean {
  if (socket.writable && socket.readable) return true
  socket.destroy()
  return false
}

function readOffer(header: string | undefined): ReadonlySet<string> {
  if (header === undefined) return new Set()
  const offers = header.split(',').map((offer) => offer.trim())
  const distinct = new Set(offers)
  if (distinct.size !== offers.length || !offers.every((offer) => TOKEN.test(offer))) {
    throw new StateError('invalid_message', 'Invalid Sec-WebSocket-Protocol header')
  }
  return distinct
}
