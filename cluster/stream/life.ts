/**
 * Whether anything moves on a stream: bytes that come count, also those of a message that is not whole yet,
 * and bytes that the network takes once it had not taken all. What it takes at once proves nothing, since a
 * peer that is gone leaves it room for some.
 */
import type { MessageSocket } from '../../src/core/ports/transport.ts'

export class StreamLife {
  readonly #socket: MessageSocket
  #read: number
  #buffered = 0
  #taken = 0
  #isHeard = false

  constructor(socket: MessageSocket) {
    this.#socket = socket
    this.#read = socket.bytesRead ?? 0
  }

  /** A message came. */
  heard(): void {
    this.#isHeard = true
  }

  /** Whether something moved since it was asked before. */
  moved(): boolean {
    const { bytesRead = 0, bytesWritten = 0, bufferedBytes } = this.#socket
    const taken = bytesWritten - bufferedBytes
    const isHeard = this.#isHeard || bytesRead > this.#read
    const isDrained = this.#buffered > 0 && taken > this.#taken
    this.#isHeard = false
    this.#read = bytesRead
    this.#buffered = bufferedBytes
    this.#taken = taken
    return isHeard || isDrained
  }
}
