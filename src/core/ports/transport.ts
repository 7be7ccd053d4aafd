/**
 * The engine's view of the network: message sockets. `ws` and the browser's WebSocket are adapted
 * to it; the simulation supplies a virtual one.
 */

/** What a socket tells its owner. Set once, before the first event can arrive. */
export interface SocketHandlers {
  /** A whole message. Text and binary frames both arrive as text (UTF-8). */
  message(text: string): void
  /** The connection ended, for any reason; called exactly once, also when dialling failed. */
  close(info: { code: number; reason: string }): void
}

/** An open, message-oriented connection. */
export interface MessageSocket {
  /** Sends one message, in order. A no-op once closed. */
  send(text: string): void
  /** Bytes accepted by `send` that the network has not taken yet. */
  readonly bufferedBytes: number
  /** Bytes that have come over the connection, also of messages that are not whole; undefined: not known. */
  readonly bytesRead?: number | undefined
  /** Bytes handed to the connection, those that wait included; undefined: not known. */
  readonly bytesWritten?: number | undefined
  /**
   * Sends something that nobody hears and nobody answers, so that a connection of which the other end is gone is
   * reset (an unsolicited pong, RFC 6455 section 5.5.3). Absent where the platform can not.
   */
  probe?(): void
  /** Starts the close handshake. Idempotent. */
  close(code: number, reason: string): void
  /** Drops the connection at once, without a handshake. Idempotent. */
  terminate(): void
}

export interface DialRequest {
  /** `ws://` or `wss://` URL. */
  readonly url: string
  /** Request headers; ignored where the platform cannot send them (browsers). */
  readonly headers?: Readonly<Record<string, string>>
  readonly protocols?: readonly string[]
}

/** Opens client connections. */
export interface Transport {
  /**
   * Starts dialling. `opened` runs once when the connection is up; `handlers.close` runs once when
   * dialling fails or the connection ends. Calling `terminate` on the result gives up.
   */
  dial(request: DialRequest, opened: () => void, handlers: SocketHandlers): MessageSocket
}
