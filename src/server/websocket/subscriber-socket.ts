/**
 * The WebSocket of a subscriber (RFC 6455), on the bare connection. What it is sent are frames that all
 * subscribers share, encoded once, in one write per batch; what it says is thrown away. A general
 * WebSocket costs twice the memory per connection and one write per frame.
 *
 *   open ──close(), a close frame, a violation──▶ closing ──(both said so, or the grace is over)──▶ gone
 *   open ──(the connection ends)──▶ gone
 */
import type { Socket } from 'node:net'
import type { CancelTimer, TimeSource } from '../../core/ports/time.ts'
import type { FrameBatch } from '../../fanout/frames/batch.ts'
import type { FrameSink } from '../../fanout/frames/subscriber.ts'
import { sendProgress } from '../exchange/send-progress.ts'
import { encodeClose } from './close-frame.ts'
import { type FrameEvents, FrameReader } from './frame-reader.ts'
import { encodeBinary, encodeFrames, OPCODE } from './frame-writer.ts'
import type { HeartbeatPeer } from './heartbeat.ts'

/** What all subscribers' sockets of a server share. */
export interface SubscriberSocketContext {
  readonly time: TimeSource
  /** A longer message from a subscriber ends its connection with 1009, bytes. */
  readonly maxMessageBytes: number
  /** Milliseconds the peer has to answer a close frame before the connection is dropped. */
  readonly closeGraceMs: number
  /** Called once for each, when its connection has ended. */
  readonly gone: (socket: SubscriberSocket) => void
}

const NORMAL_CLOSURE = 1000
const NO_BYTES: Buffer = Buffer.alloc(0)
const PING: Buffer = encodeFrames(OPCODE.ping, [NO_BYTES])

export class SubscriberSocket implements FrameSink, HeartbeatPeer, FrameEvents {
  readonly #socket: Socket
  readonly #context: SubscriberSocketContext
  readonly #reader: FrameReader
  #state: 'open' | 'closing' | 'gone' = 'open'
  #drained: (() => void) | undefined
  #whenGone: (() => void) | undefined
  #cancelGrace: CancelTimer | undefined
  /** Payload of the latest ping, which is answered when what waits for the peer has been sent. */
  #pinged: Buffer | undefined

  /**
   * @param socket a connection whose handshake has been answered; taken over
   * @param head bytes of the peer that came with the handshake
   */
  constructor(socket: Socket, head: Buffer, context: SubscriberSocketContext) {
    this.#socket = socket
    this.#context = context
    this.#reader = new FrameReader(context.maxMessageBytes, this)
    socket.setTimeout(0)
    socket.setNoDelay(true)
    socket.on('data', (chunk) => this.#reader.push(chunk))
    // The peer said all it will; what waits for it is still sent.
    socket.on('end', () => this.#end())
    socket.on('close', () => this.#ended())
    if (head.length > 0) this.#reader.push(head)
    socket.resume()
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength
  }

  get bytesRead(): number {
    return this.#socket.bytesRead
  }

  get sendProgress(): number {
    return sendProgress(this.#socket)
  }

  send(batch: FrameBatch): void {
    if (this.#state === 'open') this.#socket.write(batch.encoded(encodeBinary))
  }

  onDrain(callback: () => void): void {
    // Once this side has ended, one more write would cut off what still waits.
    if (this.#state !== 'open') return
    this.#drained = callback
    // An empty write is done when everything before it is.
    this.#socket.write(NO_BYTES, () => {
      const drained = this.#drained
      this.#drained = undefined
      if (this.#state === 'open') drained?.()
    })
  }

  /** Runs `callback` once the connection has ended; at once when it has. A later call adds to earlier ones. */
  onGone(callback: () => void): void {
    const before = this.#whenGone
    this.#whenGone = () => {
      before?.()
      callback()
    }
    if (this.#state === 'gone') callback()
  }

  ping(): void {
    if (this.#state === 'open') this.#socket.write(PING)
  }

  close(code: number, reason: string): void {
    if (this.#state !== 'open') return
    this.#state = 'closing'
    this.#socket.write(encodeClose(code, reason))
    this.#startGrace()
  }

  terminate(): void {
    this.#socket.destroy()
  }

  /**
   * @internal for the frame reader. Of a peer that asks and does not read, only the latest ping is answered
   * (RFC 6455 section 5.5.3): its answers would fill the memory.
   */
  pinged(payload: Buffer): void {
    if (this.#state !== 'open') return
    if (this.#socket.writableLength === 0) {
      this.#pong(payload)
      return
    }
    const isWaiting = this.#pinged !== undefined
    this.#pinged = payload
    if (isWaiting) return
    this.#socket.write(NO_BYTES, () => {
      const latest = this.#pinged
      this.#pinged = undefined
      if (latest !== undefined && this.#state === 'open') this.#pong(latest)
    })
  }

  /** @internal for the frame reader */
  closing(code: number | undefined): void {
    this.close(code ?? NORMAL_CLOSURE, '')
    this.#end()
  }

  /** @internal for the frame reader */
  violated(code: number, reason: string): void {
    this.close(code, reason)
    this.#end()
  }

  #pong(payload: Buffer): void {
    this.#socket.write(encodeFrames(OPCODE.pong, [payload]))
  }

  #end(): void {
    if (this.#state === 'gone') return
    this.#state = 'closing'
    this.#socket.end()
    this.#startGrace()
  }

  #startGrace(): void {
    const { time, closeGraceMs } = this.#context
    this.#cancelGrace ??= time.after(closeGraceMs, () => this.#socket.destroy())
  }

  #ended(): void {
    if (this.#state === 'gone') return
    this.#state = 'gone'
    this.#cancelGrace?.()
    this.#drained = undefined
    this.#context.gone(this)
    this.#whenGone?.()
  }
}
