/**
 * One connection's place in a pool: what it has been sent, and what to do when it reads too slowly.
 *
 *   waiting ──(pool is live: snapshot, or its version is current)──▶ current
 *   current ──(buffer over budget: frame dropped)──▶ stale
 *   stale ──(drained: one fresh snapshot)──▶ current
 *   stale ──(no byte taken for slowConsumerTimeoutMs)──▶ closed
 *   current ──(pool reloads)──▶ waiting
 *   any ──(connection ends)──▶ closed
 *
 * A subscriber never waits for another, and the memory it can hold is bounded by its budget.
 */
import { ERROR_TABLE, errorText } from '../core/errors.ts'
import type { CancelTimer, TimeSource } from '../core/time.ts'
import type { Snapshot } from './frame.ts'
import type { History } from './history.ts'

/** A connection as the fan-out sees it. */
export interface FrameSink {
  /** Sends one binary frame, in order. A no-op once closed. The bytes are shared: never changed. */
  send(frame: Uint8Array): void
  /** Bytes handed to `send` that the network has not taken yet. */
  readonly bufferedBytes: number
  /** Runs `callback` once, when nothing is buffered any more. A later call replaces an earlier one. */
  onDrain(callback: () => void): void
  /** Ends the connection. Idempotent. */
  close(code: number, reason: string): void
}

/** Bounds of every subscriber. */
export interface SubscriberLimits {
  /** Bytes of unread patches after which patches are dropped. */
  readonly maxBufferedBytes: number
  /** Milliseconds without progress after which a stale subscriber is closed. */
  readonly slowConsumerTimeoutMs: number
}

/** Counters of a hub, never reset. */
export interface FanoutCounters {
  /** Frames handed to connections. */
  framesSent: number
  /** Of these, snapshots. */
  snapshotsSent: number
  /** Frames not sent because the subscriber was too far behind. */
  framesDropped: number
  /** Subscribers closed because they took nothing for too long. */
  slowConsumersClosed: number
  /** Pools read again after a failure. */
  reloads: number
  /** Reads repeated because too much changed meanwhile. */
  rereads: number
  /** Reads of the source that failed. */
  failedReads: number
}

export function newFanoutCounters(): FanoutCounters {
  return {
    framesSent: 0,
    snapshotsSent: 0,
    framesDropped: 0,
    slowConsumersClosed: 0,
    reloads: 0,
    rereads: 0,
    failedReads: 0,
  }
}

export interface SubscriberContext {
  readonly limits: SubscriberLimits
  readonly time: TimeSource
  readonly counters: FanoutCounters
}

/** WebSocket close code for a fault on this side (RFC 6455 section 7.4.1). */
const INTERNAL_ERROR = 1011

type SubscriberState =
  | { readonly kind: 'waiting'; readonly heldVersion: string | undefined }
  | { readonly kind: 'current' }
  | { readonly kind: 'stale' }
  | { readonly kind: 'closed' }

export class Subscriber {
  readonly #sink: FrameSink
  readonly #context: SubscriberContext
  /** Asks the pool for its state when this subscriber has fallen behind; undefined while it reloads. */
  readonly #snapshot: () => Snapshot | undefined
  #state: SubscriberState
  /** Size of the last snapshot sent, which its budget is extended by. */
  #snapshotBytes = 0
  #cancelWatch: CancelTimer = () => undefined

  /** `heldVersion`: the version whose state the client says it holds, if any. */
  constructor(
    sink: FrameSink,
    context: SubscriberContext,
    snapshot: () => Snapshot | undefined,
    heldVersion: string | undefined,
  ) {
    this.#sink = sink
    this.#context = context
    this.#snapshot = snapshot
    this.#state = { kind: 'waiting', heldVersion }
  }

  /** The pool has a state: catches up to it, by patches when the client's version allows. */
  synchronize(snapshot: Snapshot, history?: Pick<History, 'since'>): void {
    if (this.#state.kind !== 'waiting') return
    const { heldVersion } = this.#state
    this.#state = { kind: 'current' }
    if (heldVersion === snapshot.version) return
    const missed = heldVersion === undefined ? undefined : history?.since(heldVersion)
    if (missed === undefined) this.#sendSnapshot(snapshot)
    else for (const frame of missed) this.deliver(frame, false)
  }

  /** The pool lost its state: whatever comes next is a snapshot. */
  invalidate(): void {
    // A stale one stays so: when it has drained it finds the new state, or waits for it.
    if (this.#state.kind !== 'current' && this.#state.kind !== 'waiting') return
    this.#state = { kind: 'waiting', heldVersion: undefined }
  }

  /** Hands over the next frame, or drops it when the connection is too far behind. */
  deliver(frame: Uint8Array, isSnapshot: boolean): void {
    if (this.#state.kind === 'stale') this.#context.counters.framesDropped++
    if (this.#state.kind !== 'current') return
    const buffered = this.#sink.bufferedBytes
    // A frame larger than the budget still goes to a connection that has read everything before it,
    // and reading a large snapshot must not by itself count as being slow.
    const budget = this.#context.limits.maxBufferedBytes + this.#snapshotBytes
    if (buffered > 0 && buffered + frame.byteLength > budget) {
      this.#context.counters.framesDropped++
      this.#fallBehind()
      return
    }
    if (isSnapshot) this.#snapshotBytes = frame.byteLength
    this.#send(frame, isSnapshot)
  }

  /** The connection ended, or its owner leaves the pool. */
  close(): void {
    this.#cancelWatch()
    this.#state = { kind: 'closed' }
  }

  #fallBehind(): void {
    this.#state = { kind: 'stale' }
    this.#watchProgress(this.#sink.bufferedBytes)
    this.#sink.onDrain(() => this.#drained())
  }

  #drained(): void {
    if (this.#state.kind !== 'stale') return
    this.#cancelWatch()
    const snapshot = this.#snapshot()
    if (snapshot === undefined) {
      this.#state = { kind: 'waiting', heldVersion: undefined }
      return
    }
    this.#state = { kind: 'current' }
    this.#sendSnapshot(snapshot)
  }

  #watchProgress(buffered: number): void {
    const { limits, time, counters } = this.#context
    this.#cancelWatch = time.after(limits.slowConsumerTimeoutMs, () => {
      if (this.#state.kind !== 'stale') return
      const left = this.#sink.bufferedBytes
      if (left < buffered) {
        this.#watchProgress(left)
        return
      }
      this.close()
      counters.slowConsumersClosed++
      this.#sink.close(
        ERROR_TABLE.slow_consumer.closeCode,
        `slow consumer: ${left} bytes unread for ${limits.slowConsumerTimeoutMs} ms`,
      )
    })
  }

  #sendSnapshot(snapshot: Snapshot): void {
    const frame = snapshot.frame()
    this.#snapshotBytes = frame.byteLength
    this.#send(frame, true)
  }

  #send(frame: Uint8Array, isSnapshot: boolean): void {
    this.#context.counters.framesSent++
    if (isSnapshot) this.#context.counters.snapshotsSent++
    try {
      this.#sink.send(frame)
    } catch (error) {
      // One broken connection must not cost the others their frame.
      this.close()
      this.#sink.close(INTERNAL_ERROR, errorText(error))
    }
  }
}
