/** WebSocket subscriptions to keys: one binary frame per envelope; what clients send is discarded. */
import { WebSocket } from 'ws'
import type { Subscription } from '../fanout/hub.ts'
import type { FrameSink } from '../fanout/subscriber.ts'
import { closeSocket } from './ws-socket.ts'

/** Largest message taken from a subscriber, bytes; nothing it says is read anyway. */
export const MAX_SUBSCRIBER_MESSAGE_BYTES: number = 64 * 1024

/** Bytes that may be left when a connection counts as drained: pings queued behind the last frame. */
const DRAINED_BYTES = 1024

/** Joins an open socket to its pool, from the first frame until the connection ends. */
export function serveSubscription(
  socket: WebSocket,
  subscription: Subscription,
  heldVersion: string | undefined,
): void {
  socket.on('close', () => subscription.close())
  subscription.attach(new WebSocketSink(socket), heldVersion)
}

class WebSocketSink implements FrameSink {
  readonly #socket: WebSocket
  #drained: (() => void) | undefined

  constructor(socket: WebSocket) {
    this.#socket = socket
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount
  }

  send(frame: Uint8Array): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return
    this.#socket.send(frame, { binary: true }, this.#sent)
  }

  onDrain(callback: () => void): void {
    this.#drained = callback
  }

  close(code: number, reason: string): void {
    closeSocket(this.#socket, code, reason)
  }

  readonly #sent = (): void => {
    const drained = this.#drained
    if (drained === undefined || this.#socket.bufferedAmount > DRAINED_BYTES) return
    this.#drained = undefined
    drained()
  }
}
