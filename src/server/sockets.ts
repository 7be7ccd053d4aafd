/** All WebSockets of a server: the handshake, the heartbeat, and their end when it closes. */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import { StateError } from '../core/errors.ts'
import type { CancelTimer, TimeSource } from '../core/time.ts'
import { Heartbeat, type HeartbeatPeer } from './heartbeat.ts'
import { closeSocket } from './ws-socket.ts'

export interface SocketsOptions {
  readonly time: TimeSource
  readonly pingIntervalMs: number
  readonly pongTimeoutMs: number
  readonly wsWriteTimeoutMs: number
  /** Milliseconds a handshake may take before it is refused with 503. */
  readonly deadlineMs: number
}

/** Gauges of this moment, and counters since the server opened. */
export interface SocketMetrics {
  /** Open WebSockets. */
  readonly open: number
  /** Connections whose handshake is under way. */
  readonly pending: number
  /** Dropped because not a byte came from them. */
  readonly droppedSilent: number
  /** Dropped because they took nothing of what waited for them. */
  readonly droppedStalled: number
}

/** Milliseconds a peer has to answer a close frame before it is dropped. */
const CLOSE_GRACE_MS = 1000
/** Close code for a server that shuts down (RFC 6455 section 7.4.1). */
const GOING_AWAY = 1001

/** A TCP connection whose handshake is asked for but not finished. */
export type PendingSocket = Socket

export class Sockets {
  readonly #time: TimeSource
  readonly #deadlineMs: number
  readonly #heartbeat: Heartbeat
  /** One handshaker per message limit: `ws` fixes the limit there. */
  readonly #handshakers = new Map<number, WebSocketServer>()
  /** What stops the deadline of each handshake under way. */
  readonly #pending = new Map<PendingSocket, CancelTimer>()
  readonly #open = new Set<WebSocket>()
  #closed: Promise<void> | undefined
  #allGone = (): void => undefined

  constructor(options: SocketsOptions) {
    this.#time = options.time
    this.#deadlineMs = options.deadlineMs
    this.#heartbeat = new Heartbeat(options)
  }

  /** Open WebSockets. */
  get size(): number {
    return this.#open.size
  }

  metrics(): SocketMetrics {
    const { silent, stalled } = this.#heartbeat.dropped
    return {
      open: this.#open.size,
      pending: this.#pending.size,
      droppedSilent: silent,
      droppedStalled: stalled,
    }
  }

  /** Holds a connection whose handshake takes a while: until the deadline, or until `close`. */
  hold(socket: PendingSocket): void {
    const cancel = this.#time.after(this.#deadlineMs, () => {
      refuse(socket, { status: 503, text: 'ooo: server deadline reached' })
    })
    this.#pending.set(socket, cancel)
    socket.once('close', () => this.#release(socket))
    if (this.#closed !== undefined) socket.destroy()
  }

  /**
   * Completes the handshake. Of the offered subprotocols only `bearer` is taken up; no extensions.
   * @param maxMessageBytes a larger inbound message closes the socket with 1009
   * @returns undefined when the connection is gone, or the request turned out malformed (answered).
   */
  accept(
    request: IncomingMessage,
    socket: PendingSocket,
    head: Buffer,
    maxMessageBytes: number,
  ): WebSocket | undefined {
    let accepted: WebSocket | undefined
    this.#release(socket)
    if (this.#closed !== undefined) {
      socket.destroy()
      return undefined
    }
    this.#handshaker(maxMessageBytes).handleUpgrade(request, socket, head, (webSocket) => {
      accepted = webSocket
      this.#track(webSocket, socket)
    })
    return accepted
  }

  /** Says goodbye to every socket and drops those that do not answer. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#closeAll()
    return this.#closed
  }

  async #closeAll(): Promise<void> {
    for (const socket of this.#pending.keys()) socket.destroy()
    const gone = new Promise<void>((resolve) => {
      this.#allGone = resolve
    })
    const cancelGrace = this.#time.after(CLOSE_GRACE_MS, () => {
      for (const socket of this.#open) socket.terminate()
    })
    for (const socket of this.#open) closeSocket(socket, GOING_AWAY, 'server is closing')
    if (this.#open.size > 0) await gone
    cancelGrace()
  }

  #release(socket: PendingSocket): void {
    this.#pending.get(socket)?.()
    this.#pending.delete(socket)
  }

  #handshaker(maxPayload: number): WebSocketServer {
    let handshaker = this.#handshakers.get(maxPayload)
    if (handshaker === undefined) {
      // `closeTimeout` is an option of ws that its type package does not know yet.
      const options = {
        noServer: true,
        clientTracking: false,
        perMessageDeflate: false,
        maxPayload,
        closeTimeout: CLOSE_GRACE_MS,
        handleProtocols: (offered: Set<string>) => (offered.has('bearer') ? 'bearer' : false),
      } as const
      handshaker = new WebSocketServer(options)
      this.#handshakers.set(maxPayload, handshaker)
    }
    return handshaker
  }

  #track(webSocket: WebSocket, socket: PendingSocket): void {
    const peer: HeartbeatPeer = {
      get bytesRead() {
        return socket.bytesRead
      },
      get bufferedBytes() {
        return webSocket.bufferedAmount
      },
      get sendProgress() {
        return sendProgress(socket)
      },
      ping: () => webSocket.ping(),
      terminate: () => webSocket.terminate(),
    }
    this.#open.add(webSocket)
    this.#heartbeat.add(peer)
    // An error is always followed by `close`; without a listener it would end the process.
    webSocket.on('error', () => undefined)
    webSocket.on('close', () => {
      this.#open.delete(webSocket)
      this.#heartbeat.remove(peer)
      if (this.#open.size === 0) this.#allGone()
    })
  }
}

/**
 * Bytes the network took. A write counts when it is done; of the one under way, what its handle still holds
 * tells as well, so that one large frame on a slow line is not taken for a standstill. Node itself looks at
 * the handle for its socket timeouts, but has no public name for it: without it, whole writes count.
 */
function sendProgress(socket: PendingSocket): number {
  const handle: { readonly writeQueueSize?: unknown } | null | undefined = Reflect.get(
    socket,
    '_handle',
  )
  const waiting = handle?.writeQueueSize
  const done = socket.bytesWritten - socket.writableLength
  return typeof waiting === 'number' ? done - waiting : done
}

/** Answers an upgrade request with an HTTP refusal and ends the connection. */
export function refuse(
  socket: PendingSocket,
  refusal: { status: number; text: string; headers?: Readonly<Record<string, string>> },
): void {
  if (socket.destroyed) return
  const lines = [
    `HTTP/1.1 ${refusal.status} ${STATUS_TEXT[refusal.status] ?? 'Error'}`,
    'Connection: close',
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(refusal.text)}`,
    ...Object.entries(refusal.headers ?? {}).map(([name, value]) => `${name}: ${value}`),
  ]
  socket.once('finish', () => socket.destroy())
  socket.end(`${lines.join('\r\n')}\r\n\r\n${refusal.text}`)
}

/** Throws `invalid_message` unless the request is a well-formed WebSocket handshake, version 13. */
export function assertHandshake(request: IncomingMessage): void {
  const { headers, method } = request
  const key = headers['sec-websocket-key'] ?? ''
  const wellFormed = method === 'GET' && /^[A-Za-z0-9+/]{22}==$/.test(key)
  if (wellFormed && headers['sec-websocket-version'] === '13') return
  throw new StateError('invalid_message', 'Bad Request\n')
}

const STATUS_TEXT: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  409: 'Conflict',
  413: 'Payload Too Large',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
}
