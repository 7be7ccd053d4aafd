/**
 * What subscribers have been sent and may not have read. Those of one pool share the bytes of one full state,
 * so its bytes count once. What has been read is noticed when room is needed, or with the next frame.
 */
import type { FrameBatch } from './batch.ts'

/** A subscriber as the ledger sees it. */
export interface UnreadReader {
  /** Bytes that its connection has not taken. */
  readonly unreadBytes: number
  /** Ends the connection: others need the room. */
  giveWay(): void
}

interface HeldState {
  readonly bytes: number
  readers: number
}

/** Smaller states are not worth counting one by one: a thousand fit where one large one does. */
const SMALL_STATE_BYTES = 16_384
/** Who has less unread is not behind. */
export const BEHIND_BYTES = 65_536

export class UnreadLedger {
  readonly #maxBytes: number
  readonly #states = new WeakMap<FrameBatch, HeldState>()
  /** In the order in which they were sent their state. */
  readonly #readers = new Map<UnreadReader, HeldState>()
  #bytes = 0
  /** Bytes of those that are behind, as last seen. Some of them may be shared. */
  readonly #behind = new Map<UnreadReader, number>()
  #behindBytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Of full states. */
  get stateBytes(): number {
    return this.#bytes
  }

  /**
   * Takes note of a subscriber that has more than `BEHIND_BYTES` unread, or has read them.
   * @returns whether all of them together have too much, so that this one must not get more
   */
  isTooMuch(reader: UnreadReader, unreadBytes: number): boolean {
    const before = this.#behind.get(reader) ?? 0
    const now = unreadBytes > BEHIND_BYTES ? unreadBytes : 0
    if (now > 0) this.#behind.set(reader, now)
    else this.#behind.delete(reader)
    this.#behindBytes += now - before
    return now > 0 && this.#behindBytes > this.#maxBytes
  }

  /** A subscriber is sent a full state. Those that hold others longest may have to give way. */
  sent(reader: UnreadReader, batch: FrameBatch): void {
    this.#forgetState(reader)
    if (batch.snapshotBytes <= SMALL_STATE_BYTES) return
    const state = this.#states.get(batch) ?? { bytes: batch.byteLength, readers: 0 }
    this.#states.set(batch, state)
    if (state.readers++ === 0) this.#bytes += state.bytes
    this.#readers.set(reader, state)
    if (this.#bytes > this.#maxBytes) this.#makeRoom(reader)
  }

  /** A subscriber has ended. Idempotent. */
  left(reader: UnreadReader): void {
    this.isTooMuch(reader, 0)
    this.#forgetState(reader)
  }

  #forgetState(reader: UnreadReader): void {
    const state = this.#readers.get(reader)
    if (state === undefined) return
    this.#readers.delete(reader)
    if (--state.readers === 0) this.#bytes -= state.bytes
  }

  #makeRoom(latest: UnreadReader): void {
    for (const reader of [...this.#readers.keys()]) {
      if (reader !== latest && reader.unreadBytes === 0) this.#forgetState(reader)
    }
    for (const reader of [...this.#readers.keys()]) {
      if (this.#bytes <= this.#maxBytes) return
      if (reader === latest) continue
      this.#forgetState(reader)
      reader.giveWay()
    }
  }
}
