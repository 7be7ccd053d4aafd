/**
 * Follows one leader by protocol 2.0, as long as it has no stream: drives `pivot2/link/state.ts`. Runs are
 * one after the other; a run pulls what changed at the leader, then pushes what is pending for it.
 */

import type { HybridClock } from '../../../src/core/data/clock.ts'
import { versionOf } from '../../../src/core/data/entry.ts'
import { errorText } from '../../../src/core/errors.ts'
import { backoffDelayMs, resolveBackoff } from '../../../src/core/ports/backoff.ts'
import type { Logger } from '../../../src/core/ports/logger.ts'
import {
  type CancelTimer,
  NS_PER_MS,
  type Random,
  type TimeSource,
} from '../../../src/core/ports/time.ts'
import type { SequencedRow } from '../../../src/store/format/rows.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import type { ClusterLimits } from '../../config/options.ts'
import { cutRows } from '../../stream/page.ts'
import { PeerClient } from '../peer/client.ts'
import { HeldByPeer, type Observation } from '../peer/held.ts'
import type { PivotHttp } from '../peer/http.ts'
import { type SameDisk, sameDisk } from '../peer/same-disk.ts'
import { isOfScope, PIVOT_PROTOCOL, type PivotScope } from '../peer/wire.ts'
import { type PullOptions, pullScope, type ScopeView, unknownView } from './pull.ts'
import { pushRows } from './push.ts'
import type { Depth, PivotLinkEffect, PivotLinkEvent, PivotLinkState } from './state.ts'
import { DORMANT, stepPivotLink } from './state.ts'

export interface PivotLinkOptions {
  /** `http://host:port` */
  readonly leader: string
  /** What is followed there, as far as 2.0 carries it. */
  readonly scopes: readonly PivotScope[]
  /** The glob under which nodes register. */
  readonly nodesKey: string
  readonly store: ReplicationStore
  readonly clock: HybridClock
  readonly time: TimeSource
  readonly random: Random
  readonly http: PivotHttp
  readonly limits: ClusterLimits
  readonly logger: Logger
  /** `host:port` of this node as its record says. */
  readonly originator: () => Promise<string | undefined>
}

/** What people are shown of a link that speaks 2.0. */
export interface PivotLinkStatus {
  readonly url: string
  readonly isLive: boolean
  readonly outbox: number
  /** Records that the leader refused in the latest run. */
  readonly refused: number
  readonly lastError: string | undefined
  /** Milliseconds since the epoch; 0: never. */
  readonly lastCheckMs: number
}

/** Records refused, after which the rest of the outbox waits. */
const MAX_REFUSED = 10_000
/** Between two attempts to send what was refused. */
const REFUSED_RETRY_NS = 60_000n * NS_PER_MS
/** What was seen at the leader is noted again after this, also when nothing has changed. */
const NOTE_NS = 3_600_000n * NS_PER_MS
/** Pulling everything without a reason may take this part of the time, at most. */
const FULL_DUTY = 20n

export class PivotLink {
  readonly #options: PivotLinkOptions
  readonly #peer: PeerClient
  readonly #views: ReadonlyMap<string, ScopeView>
  readonly #held: HeldByPeer
  #state: PivotLinkState = DORMANT
  #cancelTimer: CancelTimer | undefined
  #work: Promise<void> = Promise.resolve()
  #outboxNoted = false
  /** When all was pulled, and how long that took, nanoseconds. */
  #fullPullNs = 0n
  #fullTookNs = 0n
  /** Records that the leader refused, by their seq: they are sent again after a while. */
  #refused = new Map<number, string>()
  #refusedSinceNs = 0n
  /** Of the latest run; undefined before the first, and when all went well. */
  #lastError: string | undefined
  #hasSynced = false
  #lastCheckMs = 0
  /** Paths that the leader said have changed, to be pulled whatever its activity. */
  readonly #called = new Set<string>()

  constructor(options: PivotLinkOptions) {
    this.#options = options
    this.#peer = new PeerClient(options.http, options.leader)
    this.#views = new Map(options.scopes.map(({ path }) => [path, unknownView()]))
    this.#held = new HeldByPeer(options.store, options.leader)
  }

  /** The stream to the leader is up: it needs no 2.0. */
  streamUp(): void {
    if (this.#isSpeaking) {
      this.#options.logger.info('the leader has a stream now: 2.0 ends', this.#name)
    }
    this.#dispatch({ type: 'streamUp' })
  }

  dialFailed(): void {
    this.#dispatch({ type: 'dialFailed' })
  }

  /** Many calls in one turn count as one. */
  outboxChanged(): void {
    if (this.#outboxNoted || !this.#isSpeaking) return
    this.#outboxNoted = true
    queueMicrotask(() => {
      this.#outboxNoted = false
      this.#dispatch({ type: 'wake', depth: 'push' })
    })
  }

  /** Pulls `path` (default: all) now; resolves when that was tried. Does nothing unless it speaks 2.0. */
  async pull(path: string | undefined): Promise<void> {
    if (!this.#isSpeaking) return
    for (const scope of this.#options.scopes) {
      if (path === undefined || path === scope.path) this.#called.add(scope.path)
    }
    if (this.#called.size === 0) return
    const before = this.#work
    this.#dispatch({ type: 'wake', depth: 'poll' })
    // A run under way may be past the path: then the one after it is waited for as well.
    await before
    await this.#work
  }

  /** undefined while the stream is used, or nothing is known. */
  status(): PivotLinkStatus | undefined {
    if (!this.#isSpeaking) return undefined
    const { leader, store } = this.#options
    return {
      url: leader,
      isLive: this.#hasSynced && this.#lastError === undefined,
      outbox: store.pendingCount(leader),
      refused: this.#refused.size,
      lastError: this.#lastError,
      lastCheckMs: this.#lastCheckMs,
    }
  }

  /** Waits for the run under way, which ends early. */
  async stop(): Promise<void> {
    this.#dispatch({ type: 'close' })
    await this.#work
  }

  get #isSpeaking(): boolean {
    return this.#state.kind === 'syncing' || this.#state.kind === 'waiting'
  }

  get #name(): Readonly<Record<string, string>> {
    return { leader: this.#options.leader }
  }

  #dispatch(event: PivotLinkEvent): void {
    const step = stepPivotLink(this.#state, event)
    this.#state = step.state
    for (const effect of step.effects) this.#perform(effect)
  }

  #perform(effect: PivotLinkEffect): void {
    switch (effect.type) {
      case 'ask':
        this.#work = this.#work.then(() => this.#ask())
        break
      case 'run':
        this.#work = this.#work.then(() => this.#run(effect.depth))
        break
      case 'wait':
        this.#cancelTimer = this.#options.time.after(this.#delayMs(effect.failures), () =>
          this.#dispatch({ type: 'timer' }),
        )
        break
      case 'stopWaiting':
        this.#cancelTimer?.()
    }
  }

  /** After failures the delay grows; else it is the time to the next poll. */
  #delayMs(failures: number): number {
    const { limits, random } = this.#options
    const { reconnectInitialMs: initialMs, reconnectMaxMs: maxMs } = limits
    if (failures === 0) return maxMs
    return backoffDelayMs(failures, resolveBackoff({ initialMs, maxMs }), random)
  }

  async #ask(): Promise<void> {
    let isPivot = false
    try {
      const { protocol, hasStream } = await this.#peer.version()
      isPivot = protocol === PIVOT_PROTOCOL && !hasStream
    } catch {
      // Out of reach, or no such protocol: the stream goes on trying, and tells why it fails.
    }
    if (this.#state.kind !== 'asking') return
    if (isPivot) {
      this.#options.logger.info('the leader has no stream: following by protocol 2.0', this.#name)
    }
    for (const view of this.#views.values()) Object.assign(view, unknownView())
    this.#hasSynced = false
    this.#lastError = undefined
    this.#dispatch({ type: 'answered', isPivot })
  }

  async #run(depth: Depth): Promise<void> {
    if (this.#state.kind !== 'syncing') return
    let failure: unknown
    const startNs = this.#options.clock.physicalNs()
    try {
      failure = await this.#pullAll(depth)
      await this.#noteHeld(startNs)
      if (failure === undefined) {
        await this.#push(depth)
        await this.#noteHeld(startNs)
      }
    } catch (error) {
      failure = error
    }
    if (this.#state.kind !== 'syncing') return
    this.#checked(failure)
    this.#dispatch({ type: 'done', isOk: failure === undefined })
  }

  #checked(failure: unknown): void {
    const { time, logger } = this.#options
    this.#lastCheckMs = Number(time.wallNs() / NS_PER_MS)
    const before = this.#lastError
    const isFirst = !this.#hasSynced
    this.#lastError = failure === undefined ? undefined : errorText(failure)
    this.#hasSynced ||= failure === undefined
    if (this.#lastError === before && !(isFirst && this.#hasSynced)) return
    if (this.#lastError === undefined) logger.info('in step with the 2.0 leader', this.#name)
    else {
      const error = this.#lastError
      logger.warn('syncing with the 2.0 leader failed; trying again', { ...this.#name, error })
    }
  }

  /** @returns what failed; the other scopes have been pulled all the same. */
  async #pullAll(depth: Depth): Promise<unknown> {
    const { scopes, time, limits } = this.#options
    const sinceNs = time.monotonicNs() - this.#fullPullNs
    const startNs = time.monotonicNs()
    const isDue =
      limits.compareIntervalMs > 0 &&
      sinceNs >= BigInt(limits.compareIntervalMs) * NS_PER_MS &&
      sinceNs >= this.#fullTookNs * FULL_DUTY
    const isFull = depth === 'full' || (depth === 'poll' && isDue)
    let failure: unknown
    for (const scope of scopes) {
      const isCalled = this.#called.delete(scope.path)
      if (depth === 'push' && !isCalled) continue
      try {
        await this.#pullOne(scope, isFull || isCalled)
      } catch (error) {
        failure ??= error
        const view = this.#views.get(scope.path)
        if (view !== undefined) view.activity = undefined
      }
    }
    if (isFull && failure === undefined) {
      this.#fullPullNs = time.monotonicNs()
      this.#fullTookNs = this.#fullPullNs - startNs
    }
    return failure
  }

  async #pullOne(scope: PivotScope, isForced: boolean): Promise<void> {
    const view = this.#views.get(scope.path)
    if (view === undefined || !this.#isWanted()) return
    const { store, clock, leader, logger } = this.#options
    const isWanted = (): boolean => this.#isWanted()
    const peer = this.#peer
    const observation = this.#held.of(scope.path)
    const options: PullOptions = {
      ...{ store, clock, leader, peer, isWanted, observation },
      hasSameDisk: () => this.#hasSameDisk(observation),
    }
    const result = await pullScope(options, scope, view, isForced)
    if (result !== undefined && result.applied + result.pending > 0) {
      logger.debug('pulled from the 2.0 leader', { leader, path: scope.path, ...result })
    }
  }

  #hasSameDisk(observation: Observation | undefined): Promise<SameDisk> {
    const { store, scopes, nodesKey } = this.#options
    const nodes = scopes.find(({ path }) => path === nodesKey)
    return sameDisk({ store, peer: this.#peer, nodes, held: this.#held, observation })
  }

  /** Once a path was compared with, all that is held here of it and is not in the outbox is at the leader. */
  async #noteHeld(atNs: bigint): Promise<void> {
    if (!this.#isWanted()) return
    const { store, scopes } = this.#options
    const seq = store.head
    const news = new Map<string, Observation>()
    for (const { path } of scopes) {
      const view = this.#views.get(path)
      if (view?.isWhole !== true) continue
      const before = this.#held.of(path)
      const activity = view.activity ?? view.reported
      const isOld = before === undefined || atNs - before.atNs > NOTE_NS
      if (isOld || before.seq !== seq || before.activity !== activity) {
        news.set(path, { seq, atNs, activity })
      }
    }
    if (news.size > 0) await this.#held.note(news)
  }

  /** Sends what is pending, oldest change first. What the leader refuses stays in the outbox. */
  async #push(depth: Depth): Promise<void> {
    const { store, leader, limits, scopes, originator, time } = this.#options
    const nowNs = time.monotonicNs()
    if (depth === 'full' || nowNs - this.#refusedSinceNs >= REFUSED_RETRY_NS) {
      this.#refused.clear()
      this.#refusedSinceNs = nowNs
    }
    const pending = (): Promise<SequencedRow[]> =>
      store.pending(leader, limits.messageRecords, new Set(this.#refused.keys()))
    while (this.#isWanted() && this.#refused.size < MAX_REFUSED) {
      const peek = await pending()
      if (peek.length === 0) break
      // 2.0 overwrites whatever it has: see first whether something later is there.
      const touched = scopes.filter((scope) => peek.some((row) => isOfScope(scope, row.record.key)))
      for (const scope of touched) await this.#pullOne(scope, false)
      const mayGo = ({ record }: SequencedRow): boolean =>
        touched.some((scope) => isOfScope(scope, record.key)) ||
        !scopes.some((scope) => isOfScope(scope, record.key))
      const { rows } = cutRows((await pending()).filter(mayGo), limits.messageBytes)
      const sent = await pushRows(
        { store, peer: this.#peer, isWanted: () => this.#isWanted() },
        { rows, scopes: touched, originator: await originator() },
      )
      await store.acknowledge(leader, sent.taken, new Map())
      this.#noteSent(sent.stored)
      // A key that the leader never had can not be deleted there: looking again settles it.
      for (const scope of touched) if (sent.unsure.has(scope.path)) await this.#pullOne(scope, true)
      for (const { seq, key } of sent.refused) this.#refused.set(seq, key)
    }
    for (const [seq, key] of this.#refused) {
      const keyState = await store.keyState(key)
      if (keyState?.seq !== seq || keyState.pendingFor !== leader) this.#refused.delete(seq)
    }
  }

  /** The leader's activity after what was sent is known for sets: it needs no other pull. */
  #noteSent(stored: Awaited<ReturnType<typeof pushRows>>['stored']): void {
    for (const [path, records] of stored) {
      const view = this.#views.get(path)
      if (view?.activity === undefined) continue
      for (const record of records) {
        const version = versionOf(record)
        if (version > view.newest) view.newest = version
      }
      const hasDelete = records.some(({ kind }) => kind === 'tombstone')
      view.activity = hasDelete ? undefined : view.newest
    }
  }

  #isWanted(): boolean {
    return this.#state.kind === 'syncing'
  }
}
