/** Client connections over `ws`: the Transport of the cluster and the command line. */
import type { LookupFunction, Socket } from 'node:net'
import { WebSocket } from 'ws'
import { errorText } from '../../core/errors.ts'
import type { MessageSocket, SocketHandlers, Transport } from '../../core/ports/transport.ts'
import { refusedHandshake } from '../../core/retry-hint.ts'
import { adaptSocket, listen } from '../websocket/ws-socket.ts'
import type { AgentFor } from './agents.ts'
import { createSharedLookup } from './shared-lookup.ts'

export interface WsTransportOptions {
  /** Milliseconds from dialling to the end of the handshake. Default 5000. */
  readonly handshakeTimeoutMs?: number
  /** Largest message accepted, bytes; a larger one closes the socket with 1009. Default 64 MiB. */
  readonly maxMessageBytes?: number
  /** Milliseconds a close handshake may take before the connection is dropped. Default 2000. */
  readonly closeTimeoutMs?: number
  /** Certificate authorities trusted for `wss://`, PEM, in place of the usual ones; see `loadTrustedCas`. */
  readonly ca?: string | readonly string[]
  /** Looks host names up, for one dial at a time per name. Default: the system's resolver. */
  readonly lookup?: LookupFunction
  /** Gives the agent that reaches a server through a proxy. Default: servers are reached directly. */
  readonly agentFor?: AgentFor
}

/** Close code reported when there was no close frame (RFC 6455 section 7.1.5). */
const ABNORMAL_CLOSURE = 1006

/** A failed dial is reported by `handlers.close`, with the cause as its reason. */
export function createWsTransport(options: WsTransportOptions = {}): Transport {
  const settings = {
    handshakeTimeout: options.handshakeTimeoutMs ?? 5000,
    maxPayload: options.maxMessageBytes ?? 64 * 1024 * 1024,
    closeTimeout: options.closeTimeoutMs ?? 2000,
    perMessageDeflate: false,
    lookup: createSharedLookup(options.lookup),
    ...(options.ca === undefined ? {} : { ca: [options.ca].flat() as string[] }),
  }
  return {
    dial: (request, opened, handlers) => {
      let socket: WebSocket
      try {
        const agent = options.agentFor?.(request.url)
        socket = new WebSocket(request.url, [...(request.protocols ?? [])], {
          ...settings,
          headers: { ...request.headers },
          ...(agent === undefined ? {} : { agent }),
        })
      } catch (error) {
        return deadSocket(errorText(error), handlers)
      }
      let below: Socket | undefined
      socket.on('upgrade', (response) => {
        below = response.socket
      })
      socket.on('open', opened)
      let refusal: string | undefined
      socket.on('unexpected-response', (_request, { statusCode, headers }) => {
        refusal = refusedHandshake(statusCode, (name) => headers[name])
        socket.terminate()
      })
      listen(socket, {
        message: (text) => handlers.message(text),
        close: ({ code, reason }) => handlers.close({ code, reason: refusal ?? reason }),
      })
      return adaptSocket(socket, () => below)
    },
  }
}

/** What a URL or header that cannot be dialled gives: closed, but not before `dial` has returned. */
function deadSocket(reason: string, handlers: SocketHandlers): MessageSocket {
  queueMicrotask(() => handlers.close({ code: ABNORMAL_CLOSURE, reason }))
  return {
    send: () => undefined,
    bufferedBytes: 0,
    close: () => undefined,
    terminate: () => undefined,
  }
}
