/** Answers that clients have not read yet: what all of them together may hold. */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { StateError } from '../core/errors.ts'
import type { TimeSource } from '../core/time.ts'
import { sendProgress } from './send-progress.ts'

/** Answers up to so many bytes find room in the buffers of the system. */
const SMALL_ANSWER_BYTES = 16_384
/** An answer of which nothing was taken for so long gives way to others, nanoseconds. */
const PATIENCE_NS = 2_000_000_000n

interface Unread {
  readonly socket: Socket
  readonly bytes: number
  progress: number
  /** When the network last took some of it, as far as anybody looked. */
  movedNs: bigint
}

export class UnreadAnswers {
  readonly #maxBytes: number
  readonly #time: Pick<TimeSource, 'monotonicNs'>
  /** In the order in which they were begun. */
  readonly #unread = new Map<ServerResponse, Unread>()
  #bytes = 0
  #cut = 0

  constructor(maxBytes: number, time: Pick<TimeSource, 'monotonicNs'>) {
    this.#maxBytes = maxBytes
    this.#time = time
  }

  /** Bytes of large answers whose clients have not taken all of them. */
  get bytes(): number {
    return this.#bytes
  }

  /** Connections that were cut since their clients took nothing of an answer while others waited for room. */
  get cut(): number {
    return this.#cut
  }

  /**
   * Takes room for an answer until it is sent, or its connection has ended.
   * @throws StateError `overloaded` when there is none, also after those who take nothing were cut
   */
  begin(response: ServerResponse, bytes: number): void {
    const { socket } = response
    if (bytes <= SMALL_ANSWER_BYTES || socket === null) return
    if (this.#bytes + bytes > this.#maxBytes) this.#makeRoom(this.#bytes + bytes - this.#maxBytes)
    if (this.#unread.size > 0 && this.#bytes + bytes > this.#maxBytes) {
      throw new StateError(
        'overloaded',
        `ooo: answers that are not read yet hold ${this.#bytes} bytes, the limit is ${this.#maxBytes}`,
      )
    }
    const now = this.#time.monotonicNs()
    this.#unread.set(response, { socket, bytes, progress: sendProgress(socket), movedNs: now })
    this.#bytes += bytes
    response.once('close', () => this.#end(response))
  }

  #makeRoom(wanted: number): void {
    const now = this.#time.monotonicNs()
    let found = 0
    for (const [response, unread] of this.#unread) {
      if (found >= wanted) return
      const progress = sendProgress(unread.socket)
      if (progress !== unread.progress) {
        unread.progress = progress
        unread.movedNs = now
      } else if (now - unread.movedNs >= PATIENCE_NS) {
        found += unread.bytes
        this.#cut++
        this.#end(response)
        unread.socket.destroy()
      }
    }
  }

  #end(response: ServerResponse): void {
    this.#bytes -= this.#unread.get(response)?.bytes ?? 0
    this.#unread.delete(response)
  }
}
