/** One WebSocket connection to a target. */
import { WebSocket } from 'ws'
import { errorText } from '../../core/errors.ts'
import type { TimeSource } from '../../core/ports/time.ts'
import type { ResolvedProxyRoute } from './config.ts'

/** What to dial, and with what. */
export interface LinkTarget {
  readonly url: string
  /** Subprotocols offered: those of the local client, which may hold its token. */
  readonly protocols: readonly string[]
  readonly route: ResolvedProxyRoute
}

export interface LinkHandlers {
  /** A whole message, text or binary. The bytes are never changed. */
  message(bytes: Uint8Array): void
  /** Called once, for any end but `end`'s. `status` when the target answered the handshake otherwise. */
  lost(reason: string, status: number | undefined): void
}

export interface Link {
  /** Ends the connection with a close frame. No handler is called any more. */
  end(): void
  /** Ends the connection at once. No handler is called any more. */
  terminate(): void
}

/** Milliseconds the target may take to answer a close frame. */
const CLOSE_TIMEOUT_MS = 2000
/** Pings without a byte in return after which the target counts as gone. */
const MISSED_PINGS = 3

/** Starts dialling. No handler is called before this has returned. */
export function openLink(target: LinkTarget, time: TimeSource, handlers: LinkHandlers): Link {
  let state: 'open' | 'ended' = 'open'
  const end = (): void => {
    state = 'ended'
    stopPings()
  }
  const lost = (reason: string, status?: number): void => {
    if (state === 'ended') return
    end()
    handlers.lost(reason, status)
  }
  let stopPings = (): void => undefined
  let socket: WebSocket
  try {
    socket = dial(target)
  } catch (error) {
    queueMicrotask(() => lost(errorText(error)))
    return { end, terminate: end }
  }
  let reason = ''
  const pings = { unanswered: 0 }
  const hear = (): void => {
    pings.unanswered = 0
  }
  socket.on('open', () => {
    stopPings = keepAlive(socket, pings, time, target.route.subscribe.pingIntervalMs)
  })
  socket.on('message', (data) => {
    hear()
    if (state === 'open') handlers.message(toBytes(data))
  })
  socket.on('ping', hear)
  socket.on('pong', hear)
  socket.on('unexpected-response', (request, response) => {
    request.destroy()
    lost(`answered ${response.statusCode}`, response.statusCode)
  })
  socket.on('error', (error) => {
    reason = errorText(error)
  })
  socket.on('close', (code) => lost(reason === '' ? `closed with ${code}` : reason))
  return {
    end: () => {
      end()
      if (socket.readyState === WebSocket.OPEN) socket.close(1000)
      else socket.terminate()
    },
    terminate: () => {
      end()
      socket.terminate()
    },
  }
}

function dial({ url, protocols, route }: LinkTarget): WebSocket {
  const { handshakeTimeoutMs, maxMessageBytes } = route.subscribe
  // `closeTimeout` is an option of ws that its type package does not know yet.
  const options = {
    handshakeTimeout: handshakeTimeoutMs,
    maxPayload: maxMessageBytes,
    closeTimeout: CLOSE_TIMEOUT_MS,
    perMessageDeflate: false,
    followRedirects: false,
    headers: { ...route.headers },
    ...(route.ca === undefined ? {} : { ca: [...route.ca] }),
  }
  const socket = new WebSocket(url, [...protocols], options)
  const [first] = protocols
  socket.on('upgrade', (response) => {
    // A server may take up none of the offers (RFC 6455 section 4.2.2), which `ws` does not accept.
    if (first !== undefined) response.headers['sec-websocket-protocol'] ??= first
  })
  return socket
}

/**
 * Pings, and drops a connection over which nothing comes back. What is counted is pings and not time: a
 * pause of this process, in which it read nothing, is not held against the target.
 * @returns what stops it
 */
function keepAlive(
  socket: WebSocket,
  pings: { unanswered: number },
  time: TimeSource,
  intervalMs: number,
): () => void {
  const beat = (): (() => void) =>
    time.after(intervalMs, () => {
      if (pings.unanswered >= MISSED_PINGS) {
        socket.terminate()
        return
      }
      if (socket.readyState === WebSocket.OPEN) {
        socket.ping()
        pings.unanswered++
      }
      cancel = beat()
    })
  let cancel = beat()
  return () => cancel()
}

function toBytes(data: Buffer | ArrayBuffer | Buffer[]): Uint8Array {
  if (Array.isArray(data)) return Buffer.concat(data)
  return data instanceof ArrayBuffer ? new Uint8Array(data) : data
}
