/**
 * Answers that clients have not read yet: what all of them together may hold. An answer that is whole is counted
 * when it is there. One that is made in pieces waits for its room before anything of it is read, in the order in
 * which they came.
 */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { StateError } from '../../core/errors.ts'
import type { CancelTimer, TimeSource } from '../../core/ports/time.ts'
import { sendProgress } from './send-progress.ts'

/** Answers up to so many bytes find room in the buffers of the system. */
const SMALL_ANSWER_BYTES = 16_384
/** An answer of which nothing was taken for so long gives way to others, nanoseconds. */
const PATIENCE_NS = 2_000_000_000n
/** An answer waits for room for so long at most, nanoseconds. */
const MAX_WAIT_NS = 30_000_000_000n
/** Answers that may wait for room. */
const MAX_WAITING = 1000
/** Milliseconds between two looks for connections that take nothing, while somebody waits. */
const LOOK_MS = 250

interface Unread {
  readonly socket: Socket
  bytes: number
  progress: number
  /** When the network last took some of it, as far as anybody looked. */
  movedNs: bigint
}

interface Waiting {
  readonly bytes: number
  readonly sinceNs: bigint
  readonly enter: () => void
  readonly refuse: (error: StateError) => void
}

export class UnreadAnswers {
  readonly #maxBytes: number
  readonly #time: Pick<TimeSource, 'monotonicNs' | 'after'>
  /** In the order in which they were begun. */
  readonly #unread = new Map<ServerResponse, Unread>()
  readonly #waiting = new Map<ServerResponse, Waiting>()
  #cancelLook: CancelTimer | undefined
  #bytes = 0
  #cut = 0

  constructor(maxBytes: number, time: Pick<TimeSource, 'monotonicNs' | 'after'>) {
    this.#maxBytes = maxBytes
    this.#time = time
  }

  /** Bytes of large answers whose clients have not taken all of them. */
  get bytes(): number {
    return this.#bytes
  }

  /** Answers that wait for room. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Connections that were cut since their clients took nothing of an answer while others waited for room. */
  get cut(): number {
    return this.#cut
  }

  /**
   * Takes room for an answer that is whole, until it is sent or its connection has ended. One that has room
   * already is not counted again.
   * @throws StateError `overloaded` when there is none, also after those who take nothing were cut
   */
  begin(response: ServerResponse, bytes: number): void {
    if (bytes <= SMALL_ANSWER_BYTES || this.#unread.has(response)) return
    if (!this.#findRoom(bytes)) throw this.#overloaded()
    this.#add(response, bytes)
  }

  /**
   * Waits for room for an answer that is sent in pieces, and takes it until that is sent or its connection has ended.
   * Rejects with StateError `overloaded` when there is none for thirty seconds, or too many wait.
   */
  async reserve(response: ServerResponse, bytes: number): Promise<void> {
    if (response.destroyed) throw clientLeft()
    if (this.#waiting.size === 0 && this.#findRoom(bytes)) {
      this.#add(response, bytes)
      return
    }
    if (this.#waiting.size >= MAX_WAITING) throw this.#overloaded()
    const left = (): void => {
      this.#waiting.get(response)?.refuse(clientLeft())
    }
    response.once('close', left)
    try {
      await new Promise<void>((enter, refuse) => {
        this.#waiting.set(response, { bytes, sinceNs: this.#time.monotonicNs(), enter, refuse })
        this.#lookSoon()
      })
    } finally {
      response.off('close', left)
      this.#waiting.delete(response)
      this.#admit()
    }
  }

  /**
   * An answer with room needs more of it.
   * @throws StateError `overloaded`; `too_large` when it alone is beyond the limit
   */
  grow(response: ServerResponse, bytes: number): void {
    const unread = this.#unread.get(response)
    if (unread === undefined) return
    if (unread.bytes + bytes > this.#maxBytes) {
      throw new StateError(
        'too_large',
        `ooo: the list has more than ${unread.bytes} bytes, which are read from the disk at a time; the limit is ${this.#maxBytes}: ask for a part, with limit, from and to`,
      )
    }
    if (!this.grows(response, bytes)) throw this.#overloaded()
  }

  /** Whether room is held for an answer. */
  holds(response: ServerResponse): boolean {
    return this.#unread.has(response)
  }

  /** As `grow`, beyond the limit too while it is alone. @returns false when there is no room */
  grows(response: ServerResponse, bytes: number): boolean {
    const unread = this.#unread.get(response)
    if (unread === undefined) return true
    if (this.#unread.size > 1 && !this.#findRoom(bytes)) return false
    unread.bytes += bytes
    this.#bytes += bytes
    return true
  }

  /** Ends the connection of an answer. */
  cutOff(response: ServerResponse): void {
    this.#cut++
    this.#end(response)
    response.req.socket.destroy()
  }

  #add(response: ServerResponse, bytes: number): void {
    // Whoever has left takes no room.
    if (response.destroyed) return
    // One that waits behind another answer of its connection has no socket of its own yet.
    const { socket } = response.req
    const now = this.#time.monotonicNs()
    this.#unread.set(response, { socket, bytes, progress: sendProgress(socket), movedNs: now })
    this.#bytes += bytes
    response.once('close', () => this.#end(response))
  }

  #end(response: ServerResponse): void {
    const unread = this.#unread.get(response)
    if (unread === undefined) return
    this.#bytes -= unread.bytes
    this.#unread.delete(response)
    this.#admit()
  }

  #findRoom(bytes: number): boolean {
    if (!this.#hasRoom(bytes)) this.#makeRoom(this.#bytes + bytes - this.#maxBytes)
    return this.#hasRoom(bytes)
  }

  /** An answer that is alone is taken whatever its size. */
  #hasRoom(bytes: number): boolean {
    return this.#unread.size === 0 || this.#bytes + bytes <= this.#maxBytes
  }

  #makeRoom(wanted: number): void {
    const now = this.#time.monotonicNs()
    let found = 0
    for (const [response, unread] of this.#unread) {
      if (found >= wanted) return
      const { socket } = unread
      const progress = sendProgress(socket)
      // Where nothing waits to be taken, it is this side that has not made the next piece.
      if (progress !== unread.progress || socket.writableLength === 0) {
        unread.progress = progress
        unread.movedNs = now
      } else if (now - unread.movedNs >= PATIENCE_NS) {
        found += unread.bytes
        this.cutOff(response)
      }
    }
  }

  #admit(): void {
    for (const [response, { bytes, enter }] of this.#waiting) {
      if (!this.#hasRoom(bytes)) return
      this.#waiting.delete(response)
      this.#add(response, bytes)
      enter()
    }
  }

  #lookSoon(): void {
    this.#cancelLook ??= this.#time.after(LOOK_MS, () => {
      this.#cancelLook = undefined
      const [next] = this.#waiting.values()
      if (next !== undefined) this.#findRoom(next.bytes)
      this.#admit()
      const now = this.#time.monotonicNs()
      for (const [response, { sinceNs, refuse }] of this.#waiting) {
        if (now - sinceNs < MAX_WAIT_NS) break
        this.#waiting.delete(response)
        refuse(this.#overloaded())
      }
      if (this.#waiting.size > 0) this.#lookSoon()
    })
  }

  #overloaded(): StateError {
    return new StateError(
      'overloaded',
      `ooo: answers that are not read yet hold ${this.#bytes} bytes, the limit is ${this.#maxBytes}`,
    )
  }
}

function clientLeft(): StateError {
  return new StateError('invalid_message', 'ooo: the client left')
}
