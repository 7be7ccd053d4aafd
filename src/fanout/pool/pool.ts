/**
 * All subscribers of one pattern, and the state they share.
 *
 *   idle ──load──▶ loading ──read──▶ live ──(last one leaves)──▶ idle
 *   live ──(a fault)──▶ loading      loading ──(read fails)──▶ failed ──load──▶ loading
 *   any ──close──▶ closed
 *
 * While a pool loads, commits are kept per key, so that the snapshot and the commits after it join
 * without a gap and without applying anything twice. An idle pool holds nothing but its version; the
 * first commit that touches it ends its validity.
 */
import type { Entry, StoredRecord } from '../../core/data/entry.ts'
import { errorText, StateError } from '../../core/errors.ts'
import type { Logger } from '../../core/ports/logger.ts'
import {
  encodeFrame,
  encodeState,
  type FrameBody,
  lazySnapshot,
  patchLimit,
  type Snapshot,
  sentSnapshot,
} from '../frames/frame.ts'
import { FrameQueue } from '../frames/queue.ts'
import type { CatchUp, PoolMember, SubscriberContext } from '../frames/subscriber.ts'
import { createView } from '../views/create-view.ts'
import type { ReadShape } from '../views/read-shape.ts'
import { History, type HistoryLimits } from './history.ts'
import type { Keeper, PoolMemory } from './memory.ts'
import {
  idleAfter,
  type LiveState,
  type LoadingState,
  type PoolState,
  type Proven,
  type Read,
  showsSame,
  withRecords,
} from './state.ts'

/** Where a pool reads its state: the store. */
export interface SnapshotSource {
  /** Entries that match, newest first, holding exactly the commits with seq at most `seq`. */
  read(pattern: string): Promise<{ seq: number; entries: Entry[] }>
}

export interface PoolContext extends SubscriberContext {
  /** What all pools keep for subscribers to come. */
  readonly memory: PoolMemory
  readonly source: SnapshotSource
  readonly shape: ReadShape
  /** True to send only snapshots. */
  readonly noPatch: boolean
  readonly history: HistoryLimits
  readonly logger: Logger
  /** A stamp greater than all before. */
  readonly nextVersion: () => bigint
  /** Seq up to which the hub has heard every commit. */
  readonly heardSeq: () => number
  /** Keys that may change during one read before it is repeated. */
  readonly maxPendingKeys: number
  /** Milliseconds before a failed reload is tried again. */
  readonly reloadDelayMs: number
  /** Frames wait in the pool: `flush` is called soon. */
  readonly requestFlush: (pool: Pool) => void
}

const MAX_RETRY_DELAY_MS = 60_000

export class Pool implements Keeper {
  readonly pattern: string
  readonly #context: PoolContext
  readonly #subscribers = new Set<PoolMember>()
  #state: PoolState = { kind: 'idle', seq: -1 }
  #version: string | undefined
  #loading: Promise<void> = Promise.resolve()
  readonly #history: History
  /** Loads that failed since the last that did not. */
  #failures = 0
  /** Whether something changed that subscribers were not told of. */
  #isConcealing = false
  /** Frames that no subscriber has been handed yet. */
  readonly #waiting = new FrameQueue()

  constructor(pattern: string, context: PoolContext) {
    this.pattern = pattern
    this.#context = context
    this.#history = new History(context.history)
  }

  /** Lower-case hex; undefined before the first load. Changes with every frame. */
  get version(): string | undefined {
    return this.#version
  }

  /** True when the pool holds a version and no state. */
  get isIdle(): boolean {
    return this.#state.kind === 'idle' && this.#version !== undefined
  }

  get subscriberCount(): number {
    let count = 0
    for (const { connections } of this.#subscribers) count += connections
    return count
  }

  /** Resolves when the pool is live. @throws what the source's read threw; `closing` when closed. */
  load(): Promise<void> {
    this.refresh()
    if (this.#state.kind === 'live') return Promise.resolve()
    if (this.#state.kind !== 'loading') this.#loading = this.#startLoading()
    return this.#loading
  }

  /** Joins a subscriber at this point of the order of events. */
  add(subscriber: PoolMember): void {
    this.flush()
    this.#subscribers.add(subscriber)
    if (this.#state.kind === 'live') subscriber.synchronize()
    else if (this.#state.kind === 'failed') this.#reload()
  }

  /** Hands what waits to every subscriber. */
  flush(): void {
    const batch = this.#waiting.take()
    if (batch === undefined) return
    for (const subscriber of this.#subscribers) subscriber.deliver(batch)
  }

  /**
   * The step from `heldVersion` to the current state, in patches where they are known and smaller than the
   * full state. What waits has been handed over before, so that nobody gets it twice.
   */
  catchUp(heldVersion: string | undefined): CatchUp {
    this.flush()
    const snapshot = this.snapshot()
    if (snapshot === undefined) return { kind: 'loading' }
    if (heldVersion === snapshot.version) return { kind: 'current' }
    const missed = heldVersion === undefined ? undefined : this.#history.since(heldVersion)
    if (missed !== undefined && missed.byteLength <= patchLimit(snapshot.byteLength)) {
      return { kind: 'behind', batch: missed }
    }
    const batch = snapshot.batch()
    this.#keeps(batch.byteLength)
    return { kind: 'behind', batch }
  }

  /** Others need the room: the state is encoded again when it is asked for, patches are not kept. */
  forgetKept(): void {
    this.#history.clear()
    if (this.#state.kind === 'live') this.#state.snapshot = undefined
  }

  /** @param snapshotBytes of the encoded state, 0 for none */
  #keeps(snapshotBytes: number): void {
    this.#context.memory.keep(this, snapshotBytes + this.#history.bytes)
  }

  /** Lets go of what time or circumstance has hidden since the last frame. */
  refresh(): void {
    const state = this.#state
    if (state.kind !== 'live' || state.view.refresh === undefined) return
    try {
      const body = state.view.refresh()
      if (body !== undefined) this.#broadcast(state, body)
    } catch (error) {
      this.#recover(error)
    }
  }

  /**
   * The filters have changed: the state is read again and everyone gets a snapshot.
   * @returns false when the pool is idle: forget it.
   */
  reshape(): boolean {
    const { kind } = this.#state
    if (kind === 'idle') return false
    this.#version = undefined
    this.#history.clear()
    if (kind !== 'live') return true
    this.#fail()
    this.#reload()
    return true
  }

  remove(subscriber: PoolMember): void {
    this.#subscribers.delete(subscriber)
    subscriber.close()
  }

  /** The current state, or undefined while there is none. */
  snapshot(): Snapshot | undefined {
    const state = this.#state
    if (state.kind !== 'live' || this.#version === undefined) return undefined
    state.snapshot ??= lazySnapshot(this.#version, state.view)
    return state.snapshot
  }

  /**
   * Takes what one commit changed within the pattern; sends at most one frame.
   * @returns false when the pool is idle and its version is no longer true: forget it.
   */
  commit(seq: number, records: readonly StoredRecord[]): boolean {
    const state = this.#state
    if (state.kind === 'idle') return seq <= state.seq
    if (state.kind === 'loading') this.#keep(state, seq, records)
    // What made the pool fail may be gone with this change.
    if (state.kind === 'failed' && this.#subscribers.size > 0) this.#reload()
    if (state.kind !== 'live' || seq <= state.seq) return true
    try {
      state.seq = seq
      const body = state.view.apply(records)
      if (body !== undefined) this.#broadcast(state, body)
    } catch (error) {
      this.#recover(error)
    }
    return true
  }

  /**
   * Something changed that subscribers are not to be told of. They stay with what they have, and no
   * version is promised for it once they have left.
   * @returns false when the pool is idle and its version is no longer true: forget it.
   */
  conceal(): boolean {
    if (this.#state.kind === 'idle') return false
    this.#isConcealing = true
    return true
  }

  /** Lets go of the state when the last user has left; the version stays as a promise. */
  rest(): void {
    if (this.#state.kind !== 'live') return
    if (this.#isConcealing) this.#version = undefined
    this.#state = idleAfter(this.#state, this.#context.heardSeq())
    this.#keeps(0)
  }

  close(): void {
    if (this.#state.kind === 'failed') this.#state.cancelRetry()
    this.#state = { kind: 'closed' }
    this.#context.memory.forget(this)
    this.#waiting.clear()
    for (const subscriber of this.#subscribers) subscriber.close()
    this.#subscribers.clear()
  }

  async #startLoading(): Promise<void> {
    if (this.#state.kind === 'closed') throw new StateError('closing', 'ooo: server is closing')
    // Up to here the present version is known to be true; beyond it needs a new one.
    const idle = this.#state.kind === 'idle' ? this.#state : undefined
    let provenSeq = idle?.seq ?? -1
    if (this.#state.kind === 'failed') this.#state.cancelRetry()
    for (;;) {
      this.#isConcealing = false
      const state: LoadingState = { kind: 'loading', pending: new Map(), overflowed: false }
      this.#state = state
      const read = await this.#read()
      if (this.#state !== state) throw new StateError('closing', 'ooo: server is closing')
      if (!state.overflowed) return this.#begin(state, read, { ...idle, seq: provenSeq })
      this.#context.counters.rereads++
      // What overflowed did change the state, and the next read can not tell.
      provenSeq = -1
    }
  }

  async #read(): Promise<{ seq: number; entries: Entry[] }> {
    try {
      return await this.#context.source.read(this.pattern)
    } catch (error) {
      this.#context.counters.failedReads++
      if (this.#state.kind === 'loading') this.#fail()
      throw error
    }
  }

  #begin(state: LoadingState, read: Read, proven: Proven): void {
    try {
      this.#goLive(state, read, proven)
    } catch (error) {
      this.#fail()
      throw error
    }
  }

  #goLive(state: LoadingState, read: Read, proven: Proven): void {
    let seq = read.seq
    const later: StoredRecord[] = []
    for (const pending of state.pending.values()) {
      if (pending.seq > read.seq) later.push(pending.record)
      if (pending.seq > seq) seq = pending.seq
    }
    // Applied before the view is made, so that a filter sees the state whole.
    const view = createView(this.pattern, withRecords(read.entries, later), this.#context.shape)
    const known = Math.max(proven.seq, this.#context.heardSeq())
    const touched = proven.seq < 0 || state.pending.size > 0 || read.seq > known
    if (touched || !showsSame(proven, view)) this.#version = undefined
    if (this.#version === undefined) this.#history.clear()
    this.#version ??= this.#nextVersion()
    this.#failures = 0
    this.#state = { kind: 'live', view, seq, snapshot: undefined }
    for (const subscriber of this.#subscribers) subscriber.synchronize()
  }

  #keep(state: LoadingState, seq: number, records: readonly StoredRecord[]): void {
    if (state.overflowed) return
    for (const record of records) {
      // Deleted first, so that the map stays in the order of the latest change.
      state.pending.delete(record.key)
      state.pending.set(record.key, { seq, record })
    }
    if (state.pending.size > this.#context.maxPendingKeys) {
      state.overflowed = true
      state.pending.clear()
    }
  }

  #broadcast(state: LiveState, change: FrameBody): void {
    const before = this.#version
    const version = this.#nextVersion()
    this.#version = version
    state.snapshot = undefined
    const isWhole = change.snapshot || this.#context.noPatch
    const frame =
      isWhole && !change.snapshot ? encodeState(state.view, version) : encodeFrame(change, version)
    if (isWhole) {
      this.#history.clear()
      state.snapshot = sentSnapshot(version, frame)
    } else if (before !== undefined) this.#history.push(before, frame)
    this.#keeps(isWhole ? frame.byteLength : 0)
    this.#enqueue(frame, isWhole ? undefined : before)
  }

  /** @param from the version that the frame is a patch to; a full state has none, and replaces what waits */
  #enqueue(frame: Uint8Array, from: string | undefined): void {
    if (this.#subscribers.size === 0) return
    if (this.#waiting.push(frame, from)) this.#context.requestFlush(this)
    else this.flush()
  }

  /** A fault while applying: the view can not be trusted, so everyone gets a fresh snapshot. */
  #recover(error: unknown): void {
    this.#context.counters.reloads++
    this.#context.logger.error('a subscription pool failed and is read again', {
      pattern: this.pattern,
      error: errorText(error),
    })
    this.#fail()
    this.#reload()
  }

  /** Drops the state; with subscribers waiting, the read is tried again after a pause. */
  #fail(): void {
    this.flush()
    for (const subscriber of this.#subscribers) subscriber.invalidate()
    const cancelRetry =
      this.#subscribers.size === 0
        ? () => undefined
        : this.#context.time.after(this.#retryDelayMs(), () => this.#reload())
    this.#state = { kind: 'failed', cancelRetry }
  }

  /** Doubles with every failure in a row: a filter may refuse for good. */
  #retryDelayMs(): number {
    const { reloadDelayMs } = this.#context
    const delayMs = reloadDelayMs * 2 ** Math.min(this.#failures++, 20)
    return Math.min(delayMs, Math.max(reloadDelayMs, MAX_RETRY_DELAY_MS))
  }

  #reload(): void {
    this.load().catch((error: unknown) => {
      this.#context.logger.warn('a subscription pool could not be read', {
        pattern: this.pattern,
        error: errorText(error),
      })
    })
  }

  #nextVersion(): string {
    return this.#context.nextVersion().toString(16)
  }
}
