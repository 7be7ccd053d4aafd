/** A `ws` connection as a MessageSocket. */
import type { Socket } from 'node:net'
import { WebSocket } from 'ws'
import type { MessageSocket, SocketHandlers } from '../../core/ports/transport.ts'
import { fitClose } from './close-frame.ts'

/** Close code for a message that is not UTF-8 (RFC 6455 section 7.4.1). */
const INVALID_DATA = 1007

/**
 * The socket's sending side; `listen` connects the receiving side.
 * @param below the connection that carries it, once there is one
 */
export function adaptSocket(
  socket: WebSocket,
  below: () => Pick<Socket, 'bytesRead' | 'bytesWritten'> | undefined,
): MessageSocket {
  return {
    send: (text) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(text, ignoreFailure)
    },
    get bufferedBytes() {
      return socket.bufferedAmount
    },
    get bytesRead() {
      return below()?.bytesRead
    },
    get bytesWritten() {
      return below()?.bytesWritten
    },
    probe: () => {
      if (socket.readyState === WebSocket.OPEN) socket.pong(undefined, undefined, ignoreFailure)
    },
    close: (code, reason) => closeSocket(socket, code, reason),
    terminate: () => socket.terminate(),
  }
}

/** Calls the handlers: `message` for each whole message, `close` exactly once. */
export function listen(socket: WebSocket, handlers: SocketHandlers): void {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let failure = ''
  socket.on('message', (data) => {
    let text: string
    try {
      text = decoder.decode(toBytes(data))
    } catch {
      closeSocket(socket, INVALID_DATA, 'message is not UTF-8')
      return
    }
    handlers.message(text)
  })
  // `close` follows every error, so that is where it is reported.
  socket.on('error', (error) => {
    failure = error.message
  })
  socket.on('close', (code, reason) => {
    handlers.close({ code, reason: reason.length > 0 ? reason.toString('utf8') : failure })
  })
}

/** Starts the close handshake; a code or reason that the protocol forbids is made to fit. */
export function closeSocket(socket: WebSocket, code: number, reason: string): void {
  const fit = fitClose(code, reason)
  socket.close(fit.code, fit.reason)
}

function toBytes(data: Buffer | ArrayBuffer | Buffer[]): Uint8Array {
  if (Array.isArray(data)) return Buffer.concat(data)
  return data instanceof ArrayBuffer ? new Uint8Array(data) : data
}

/** A send fails only because the connection ended, which `close` reports. */
function ignoreFailure(): void {}
