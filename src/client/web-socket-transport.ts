/** The `Transport` over anything shaped like the browser's WebSocket, the `ws` package included. */
import { errorText, StateError } from '../core/errors.ts'
import type {
  DialRequest,
  MessageSocket,
  SocketHandlers,
  Transport,
} from '../core/ports/transport.ts'
import { refusedHandshake } from '../core/retry-hint.ts'

/** What `ws` gives of the answer to a handshake that was refused. */
export interface HandshakeAnswer {
  readonly statusCode?: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

/** What is used of a WebSocket. */
export interface WebSocketLike {
  binaryType: string
  readonly readyState: number
  readonly bufferedAmount: number
  send(text: string): void
  close(code?: number, reason?: string): void
  /** Only some implementations can drop a connection without a handshake. */
  terminate?(): void
  /** Only `ws` tells of a refused handshake what was answered. */
  on?(
    type: 'unexpected-response',
    listener: (request: unknown, response: HandshakeAnswer) => void,
  ): unknown
  addEventListener(
    type: 'open' | 'message' | 'close' | 'error',
    listener: (event: unknown) => void,
  ): void
}

/** A WebSocket class. Browsers ignore the third argument; `ws` takes request headers from it. */
export type WebSocketConstructor = new (
  url: string,
  protocols?: string[],
  options?: { headers?: Record<string, string> },
) => WebSocketLike

const OPEN = 1
const NO_CLOSE_FRAME = 1006
const INVALID_UTF8 = 1007

/**
 * Transport over a WebSocket class, by default the platform's own.
 * @throws StateError `invalid_option` when the platform has none and none is given.
 */
export function createWebSocketTransport(WebSocketClass?: WebSocketConstructor): Transport {
  const Socket = WebSocketClass ?? platformWebSocket()
  return {
    dial(request: DialRequest, opened: () => void, handlers: SocketHandlers): MessageSocket {
      return adapt(newSocket(Socket, request), opened, handlers)
    },
  }
}

function platformWebSocket(): WebSocketConstructor {
  const { WebSocket: found } = globalThis as { WebSocket?: WebSocketConstructor }
  if (found !== undefined) return found
  throw new StateError(
    'invalid_option',
    'this platform has no WebSocket: pass one as the option `WebSocket`, e.g. from the package `ws`',
  )
}

function newSocket(Socket: WebSocketConstructor, request: DialRequest): WebSocketLike {
  const protocols = [...(request.protocols ?? [])]
  const { headers } = request
  if (headers === undefined || Object.keys(headers).length === 0) {
    return new Socket(request.url, protocols)
  }
  return new Socket(request.url, protocols, { headers: { ...headers } })
}

function adapt(socket: WebSocketLike, opened: () => void, handlers: SocketHandlers): MessageSocket {
  let ended = false
  let failure = ''
  const end = (code: number, reason: string): void => {
    if (ended) return
    ended = true
    handlers.close({ code, reason })
  }
  socket.binaryType = 'arraybuffer'
  socket.addEventListener('open', () => {
    if (!ended) opened()
  })
  socket.addEventListener('message', (event) => {
    if (ended) return
    const text = textOf((event as { data: unknown }).data)
    if (text !== undefined) {
      handlers.message(text)
      return
    }
    end(INVALID_UTF8, 'a frame is not valid UTF-8')
    closeSocket(socket, INVALID_UTF8, '')
  })
  // Without a listener `ws` would throw; the close event that follows carries on.
  socket.addEventListener('error', (event) => {
    failure = errorText((event as { error?: unknown }).error ?? failure)
  })
  if (socket.terminate !== undefined) {
    socket.on?.('unexpected-response', (_request, { statusCode, headers }) => {
      socket.terminate?.()
      end(
        NO_CLOSE_FRAME,
        refusedHandshake(statusCode, (name) => headers[name]),
      )
    })
  }
  socket.addEventListener('close', (event) => {
    const { code, reason } = event as { code?: number; reason?: string }
    end(code ?? NO_CLOSE_FRAME, reason || failure)
  })
  return {
    send(text: string): void {
      if (!ended && socket.readyState === OPEN) socket.send(text)
    },
    get bufferedBytes(): number {
      return socket.bufferedAmount
    },
    close: (code: number, reason: string): void => closeSocket(socket, code, reason),
    terminate(): void {
      if (socket.terminate === undefined) closeSocket(socket, 1000, '')
      else socket.terminate()
      end(NO_CLOSE_FRAME, 'terminated')
    },
  }
}

/** Browsers let a page send only 1000 and 3000–4999, and at most 123 bytes of reason. */
function closeSocket(socket: WebSocketLike, code: number, reason: string): void {
  const isAllowed = code === 1000 || (code >= 3000 && code <= 4999)
  if (!isAllowed) {
    socket.close()
    return
  }
  let text = reason
  while (new TextEncoder().encode(text).length > 123) text = text.slice(0, -1)
  socket.close(code, text)
}

/** The text of a frame; undefined when it is not UTF-8. */
function textOf(data: unknown): string | undefined {
  if (typeof data === 'string') return data
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(data as ArrayBuffer)
  } catch {
    return undefined
  }
}
