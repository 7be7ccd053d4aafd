/** All WebSockets of a server: the handshake, the heartbeat, and their end when it closes. */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import { StateError } from '../../core/errors.ts'
import type { CancelTimer, TimeSource } from '../../core/ports/time.ts'
import { sendProgress } from '../exchange/send-progress.ts'
import { CLOSE_GRACE_MS, isUsable, MAX_SUBSCRIBER_MESSAGE_BYTES } from '../websocket/handshake.ts'
import { Heartbeat, type HeartbeatPeer } from '../websocket/heartbeat.ts'
import { SubscriberSocket, type SubscriberSocketContext } from '../websocket/subscriber-socket.ts'
import { closeSocket } from '../websocket/ws-socket.ts'
import type { WorkerFleet } from '../workers/fleet.ts'
import type { HandedOffConnection } from '../workers/link.ts'

export interface SocketsOptions {
  readonly time: TimeSource
  readonly pingIntervalMs: number
  readonly pongTimeoutMs: number
  readonly wsWriteTimeoutMs: number
  /** Milliseconds a handshake may take before it is refused with 503. */
  readonly deadlineMs: number
  /** The reason for one of `open` sockets that all end because the server closes. */
  shutdownReason(open: number): string
  /** Serves subscribers in other processes; undefined for none. */
  readonly workers: WorkerFleet | undefined
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
  /** Fan-out workers that take connections. */
  readonly workers: number
  /** Fan-out workers that ended by themselves, their connections with them. */
  readonly workersLost: number
}

/** Close code for a server that shuts down (RFC 6455 section 7.4.1). */
const GOING_AWAY = 1001

/** A TCP connection whose handshake is asked for but not finished. */
export type PendingSocket = Socket

/** An open WebSocket, as the end of the server needs it. */
interface OpenSocket {
  close(code: number, reason: string): void
  terminate(): void
}

export class Sockets {
  readonly #time: TimeSource
  readonly #deadlineMs: number
  readonly #heartbeat: Heartbeat
  readonly #shutdownReason: (open: number) => string
  readonly #workers: WorkerFleet | undefined
  /** One handshaker per message limit: `ws` fixes the limit there. */
  readonly #handshakers = new Map<number, WebSocketServer>()
  /** Handshakes under way: what stops the deadline of each, and hears that its connection ended. */
  readonly #pending = new Map<PendingSocket, { cancel: CancelTimer; released: () => void }>()
  readonly #open = new Set<OpenSocket>()
  readonly #subscriberContext: SubscriberSocketContext
  #closed: Promise<void> | undefined
  #allGone = (): void => undefined

  constructor(options: SocketsOptions) {
    this.#time = options.time
    this.#deadlineMs = options.deadlineMs
    this.#heartbeat = new Heartbeat(options)
    this.#shutdownReason = (open) => options.shutdownReason(open)
    this.#workers = options.workers
    this.#subscriberContext = {
      time: options.time,
      maxMessageBytes: MAX_SUBSCRIBER_MESSAGE_BYTES,
      closeGraceMs: CLOSE_GRACE_MS,
      gone: (socket) => this.#forget(socket, socket),
    }
  }

  /** Open WebSockets. */
  get size(): number {
    return this.#open.size
  }

  metrics(): SocketMetrics {
    const { silent, stalled } = this.#heartbeat.dropped
    const workers = this.#workers?.metrics()
    return {
      open: this.#open.size,
      pending: this.#pending.size,
      droppedSilent: silent + (workers?.droppedSilent ?? 0),
      droppedStalled: stalled + (workers?.droppedStalled ?? 0),
      workers: workers?.ready ?? 0,
      workersLost: workers?.lost ?? 0,
    }
  }

  /** Holds a connection whose handshake takes a while: until the deadline, or until `close`. */
  hold(socket: PendingSocket): void {
    const cancel = this.#time.after(this.#deadlineMs, () => {
      refuse(socket, { status: 503, text: 'ooo: server deadline reached' })
    })
    const released = (): void => this.#release(socket)
    this.#pending.set(socket, { cancel, released })
    socket.once('close', released)
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

  /**
   * Completes the handshake of a subscriber on the same terms; nothing it says is read.
   * @returns undefined when the connection is gone
   */
  acceptSubscriber(
    socket: PendingSocket,
    head: Buffer,
    opening: string,
  ): SubscriberSocket | undefined {
    if (!this.#begin(socket)) return undefined
    socket.write(opening)
    const accepted = new SubscriberSocket(socket, head, this.#subscriberContext)
    this.#open.add(accepted)
    this.#heartbeat.add(accepted)
    return accepted
  }

  /**
   * The same in a worker process, where there is one that can. TLS ends in this process, so such a
   * connection can not be handed over.
   * @param ended called once, when the connection has ended
   * @returns false when it is to be served here: nothing has been done with it then
   */
  delegate(handedOff: HandedOffConnection, ended: () => void): boolean {
    const { socket } = handedOff
    if (this.#workers === undefined || 'encrypted' in socket || this.#closed !== undefined) {
      return false
    }
    if (!socket.writable || !socket.readable) return false
    const remote = this.#workers.take(handedOff, () => {
      if (remote !== undefined) this.#left(remote)
      ended()
    })
    if (remote === undefined) return false
    this.#release(socket)
    this.#open.add(remote)
    return true
  }

  /** Ends every socket that is open now; later ones are the caller's to refuse. */
  endAll(code: number, reason: string): void {
    for (const socket of this.#open) socket.close(code, reason)
  }

  /** Closes every socket with its reason and drops those that do not answer. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#closeAll()
    return this.#closed
  }

  async #closeAll(): Promise<void> {
    for (const socket of this.#pending.keys()) socket.destroy()
    const gone = new Promise<void>((resolve) => {
      this.#allGone = resolve
    })
    let cancelGrace = this.#time.after(CLOSE_GRACE_MS, () => {
      for (const socket of this.#open) socket.terminate()
      // What is still there then is with a worker that hangs.
      cancelGrace = this.#time.after(CLOSE_GRACE_MS, () => this.#workers?.kill())
    })
    const open = this.#open.size
    for (const socket of this.#open) socket.close(GOING_AWAY, this.#shutdownReason(open))
    if (this.#open.size > 0) await gone
    cancelGrace()
  }

  #release(socket: PendingSocket): void {
    const pending = this.#pending.get(socket)
    if (pending === undefined) return
    this.#pending.delete(socket)
    pending.cancel()
    socket.off('close', pending.released)
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
    const open: OpenSocket = {
      close: (code, reason) => closeSocket(webSocket, code, reason),
      terminate: () => webSocket.terminate(),
    }
    this.#open.add(open)
    this.#heartbeat.add(peer)
    // An error is always followed by `close`; without a listener it would end the process.
    webSocket.on('error', () => undefined)
    webSocket.on('close', () => this.#forget(open, peer))
  }

  /** Ends the handshake's deadline. @returns false when the connection is gone */
  #begin(socket: PendingSocket): boolean {
    this.#release(socket)
    if (this.#closed !== undefined) socket.destroy()
    return !socket.destroyed && isUsable(socket)
  }

  #forget(open: OpenSocket, peer: HeartbeatPeer): void {
    this.#heartbeat.remove(peer)
    this.#left(open)
  }

  #left(open: OpenSocket): void {
    this.#open.delete(open)
    if (this.#open.size === 0) this.#allGone()
  }
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
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
}
