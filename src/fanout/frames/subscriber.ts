/**
 * One connection's place in a pool: what it has been sent, and what to do when it reads too slowly.
 *
 *   waiting ──(pool is live: the state, the patches it missed, or nothing new)──▶ current
 *   current ──(buffer over budget: batch dropped)──▶ stale
 *   stale ──(drained: the missed patches, or one fresh snapshot if that is smaller)──▶ current
 *   stale ──(no byte taken for slowConsumerTimeoutMs)──▶ closed
 *   current ──(pool reloads)──▶ waiting
 *   any ──(connection ends)──▶ closed
 *
 * A subscriber never waits for another, and the memory it can hold is bounded by its budget.
 */
import { clientTextOf, ERROR_TABLE } from '../../core/errors.ts'
import type { CancelTimer, TimeSource } from '../../core/ports/time.ts'
import type { FrameBatch } from './batch.ts'
import { BEHIND_BYTES, type UnreadLedger, type UnreadReader } from './unread-ledger.ts'

/** A connection as the fan-out sees it. */
export interface FrameSink {
  /** Sends each frame of a batch, in order. A no-op once closed. Batches are shared: never changed. */
  send(batch: FrameBatch): void
  /** Bytes handed to `send` that the network has not taken yet. */
  readonly bufferedBytes: number
  /** A number that changes when the network takes some of what is buffered, in the middle of a write too. */
  readonly sendProgress: number
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
  /** Batches handed to connections: writes, each of one frame or more. */
  batchesSent: number
  /** Frames not sent because the subscriber was too far behind. */
  framesDropped: number
  /** Times a subscriber that was behind had drained and was brought up to date. */
  catchUps: number
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
    batchesSent: 0,
    catchUps: 0,
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
  /** What all of them have not read. */
  readonly unread: UnreadLedger
}

/** What brings a subscriber from a version to the current state. */
export type CatchUp =
  | { readonly kind: 'loading' }
  | { readonly kind: 'current' }
  | { readonly kind: 'behind'; readonly batch: FrameBatch }

/** Asked with the version that the client holds, undefined for none; nothing is left waiting in the pool. */
export type AskCatchUp = (heldVersion: string | undefined) => CatchUp

/** What a pool hands its state to: one subscriber, or many that live elsewhere. */
export interface PoolMember {
  /** Connections behind it. */
  readonly connections: number
  /** The pool has a state: whoever waits catches up to it. */
  synchronize(): void
  /** The pool lost its state: whatever comes next is a full one. */
  invalidate(): void
  /** Takes the next batch. Never throws. */
  deliver(batch: FrameBatch): void
  /** It left the pool, or the pool is closed. */
  close(): void
}

/** WebSocket close code for a fault on this side (RFC 6455 section 7.4.1). */
const INTERNAL_ERROR = 1011

type SubscriberState =
  | { readonly kind: 'waiting'; readonly heldVersion: string | undefined }
  | { readonly kind: 'current' }
  | { readonly kind: 'stale'; readonly heldVersion: string | undefined }
  | { readonly kind: 'closed' }

export class Subscriber implements PoolMember, UnreadReader {
  readonly connections = 1
  readonly #sink: FrameSink
  readonly #context: SubscriberContext
  readonly #catchUp: AskCatchUp
  #state: SubscriberState
  /** Size of the last snapshot sent, which its budget is extended by. */
  #snapshotBytes = 0
  #cancelWatch: CancelTimer | undefined
  #isBehind = false

  /** `heldVersion`: the version whose state the client says it holds, if any. */
  constructor(
    sink: FrameSink,
    context: SubscriberContext,
    catchUp: AskCatchUp,
    heldVersion: string | undefined,
  ) {
    this.#sink = sink
    this.#context = context
    this.#catchUp = catchUp
    this.#state = { kind: 'waiting', heldVersion }
  }

  /** The pool has a state: catches up to it, by patches when the client's version allows. */
  synchronize(): void {
    if (this.#state.kind === 'waiting') this.#bringUpToDate(this.#state.heldVersion)
  }

  /** The pool lost its state: whatever comes next is a snapshot. */
  invalidate(): void {
    // A stale one stays so: when it has drained it finds the new state, or waits for it.
    if (this.#state.kind === 'closed' || this.#state.kind === 'stale') return
    this.#state = WAITING_FOR_ANY
  }

  /** Hands over the next batch, or drops it when the connection is too far behind. */
  deliver(batch: FrameBatch): void {
    if (this.#state.kind === 'stale') this.#context.counters.framesDropped += batch.frames.length
    if (this.#state.kind !== 'current') return
    const buffered = this.#sink.bufferedBytes
    // A batch larger than the budget still goes to a connection that has read everything before it,
    // and reading a large snapshot must not by itself count as being slow.
    const budget = this.#context.limits.maxBufferedBytes + this.#snapshotBytes
    const isFull = buffered > 0 && buffered + batch.byteLength > budget
    if (this.#isTooMuch(buffered) || isFull) {
      this.#context.counters.framesDropped += batch.frames.length
      this.#fallBehind(batch.from)
      return
    }
    this.#send(batch)
  }

  /** The connection ended, or its owner leaves the pool. */
  close(): void {
    this.#cancelWatch?.()
    this.#context.unread.left(this)
    this.#state = CLOSED
  }

  get unreadBytes(): number {
    return this.#sink.bufferedBytes
  }

  /** Others need the room that its unread state takes: it comes back for the one of then. */
  giveWay(): void {
    this.close()
    this.#context.counters.slowConsumersClosed++
    this.#sink.close(
      ERROR_TABLE.slow_consumer.closeCode,
      `slow consumer: ${this.unreadBytes} bytes unread, and others wait for room`,
    )
  }

  #isTooMuch(buffered: number): boolean {
    const wasBehind = this.#isBehind
    this.#isBehind = buffered > BEHIND_BYTES
    if (!wasBehind && !this.#isBehind) return false
    return this.#context.unread.isTooMuch(this, buffered)
  }

  #fallBehind(heldVersion: string | undefined): void {
    this.#state = { kind: 'stale', heldVersion }
    this.#watchProgress(this.#sink.sendProgress)
    this.#sink.onDrain(() => this.#drained())
  }

  #drained(): void {
    if (this.#state.kind !== 'stale') return
    this.#cancelWatch?.()
    this.#context.counters.catchUps++
    this.#bringUpToDate(this.#state.heldVersion)
  }

  #bringUpToDate(heldVersion: string | undefined): void {
    const missed = this.#catchUp(heldVersion)
    this.#state = missed.kind === 'loading' ? WAITING_FOR_ANY : CURRENT
    if (missed.kind === 'behind') this.#send(missed.batch)
  }

  #watchProgress(progress: number): void {
    const { limits, time, counters } = this.#context
    this.#cancelWatch = time.after(limits.slowConsumerTimeoutMs, () => {
      if (this.#state.kind !== 'stale') return
      const { bufferedBytes: left, sendProgress } = this.#sink
      if (sendProgress !== progress) {
        this.#watchProgress(sendProgress)
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

  #send(batch: FrameBatch): void {
    const { counters } = this.#context
    counters.batchesSent++
    counters.framesSent += batch.frames.length
    if (batch.snapshotBytes > 0) {
      counters.snapshotsSent++
      this.#snapshotBytes = batch.snapshotBytes
    }
    try {
      this.#sink.send(batch)
      if (batch.snapshotBytes > 0) this.#context.unread.sent(this, batch)
    } catch (error) {
      // One broken connection must not cost the others their frames.
      this.close()
      this.#sink.close(INTERNAL_ERROR, clientTextOf(error))
    }
  }
}

// Shared, since there may be many thousands of subscribers.
const CURRENT: SubscriberState = { kind: 'current' }
const CLOSED: SubscriberState = { kind: 'closed' }
const WAITING_FOR_ANY: SubscriberState = { kind: 'waiting', heldVersion: undefined }
