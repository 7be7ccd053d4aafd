/** Counting what travels over the streams of replication: payloads of messages, not frames or TLS. */
import type { MessageSocket, SocketHandlers, Transport } from '../../src/core/ports/transport.ts'

/** Since the stream or link began; bytes of the messages' UTF-8. */
export interface TrafficReport {
  readonly messagesIn: number
  readonly bytesIn: number
  readonly messagesOut: number
  readonly bytesOut: number
}

export class Traffic {
  #messagesIn = 0
  #bytesIn = 0
  #messagesOut = 0
  #bytesOut = 0

  received(text: string): void {
    this.#messagesIn++
    this.#bytesIn += Buffer.byteLength(text)
  }

  sent(text: string): void {
    this.#messagesOut++
    this.#bytesOut += Buffer.byteLength(text)
  }

  report(): TrafficReport {
    return {
      messagesIn: this.#messagesIn,
      bytesIn: this.#bytesIn,
      messagesOut: this.#messagesOut,
      bytesOut: this.#bytesOut,
    }
  }
}

/** What a watched stream tells its watcher, beside being counted. */
export interface StreamWatch {
  readonly traffic: Traffic
  /** Runs before a message is handled; false: it is not. It counts all the same. */
  receiving?(): boolean
  /** Runs before a message is sent; false: it is not, as the watcher has ended the stream. */
  sending?(socket: MessageSocket): boolean
  /** Runs after a message has been handled. */
  handled?(): void
  /** Runs when this side closes the stream. */
  closing?(code: number, reason: string): void
  /** Runs when the stream has ended, for any reason. */
  ended?(code: number, reason: string): void
}

/** A socket that tells what it has carried. */
export interface MeteredSocket extends MessageSocket {
  readonly traffic: Traffic
}

/** The sending side of `socket`, watched. */
export function watchSocket(socket: MessageSocket, watch: StreamWatch): MeteredSocket {
  return {
    traffic: watch.traffic,
    send(text) {
      if (watch.sending?.(socket) === false) return
      watch.traffic.sent(text)
      socket.send(text)
    },
    get bufferedBytes() {
      return socket.bufferedBytes
    },
    get bytesRead() {
      return socket.bytesRead
    },
    get bytesWritten() {
      return socket.bytesWritten
    },
    probe: () => socket.probe?.(),
    close(code, reason) {
      watch.closing?.(code, reason)
      socket.close(code, reason)
    },
    terminate: () => socket.terminate(),
  }
}

/** The receiving side, watched. */
export function watchHandlers(handlers: SocketHandlers, watch: StreamWatch): SocketHandlers {
  return {
    message(text) {
      watch.traffic.received(text)
      if (watch.receiving?.() === false) return
      handlers.message(text)
      watch.handled?.()
    },
    close(info) {
      watch.ended?.(info.code, info.reason)
      handlers.close(info)
    },
  }
}

/** A transport all of whose connections are watched as one. */
export function watchTransport(transport: Transport, watch: StreamWatch): Transport {
  return {
    dial(request, opened, handlers) {
      return watchSocket(transport.dial(request, opened, watchHandlers(handlers, watch)), watch)
    },
  }
}
