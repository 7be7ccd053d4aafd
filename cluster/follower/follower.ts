/**
 * Follows one leader: drives `follower/state/state.ts` over the project's reconnecting connection and
 * the store. Whatever the machine wants made durable runs in one queue, in order; when a step
 * fails, the connection is dropped and the rest of that connection's steps are left out.
 */
import { Connection } from '../../src/client/connection.ts'
import { ERROR_TABLE, errorText, isStateError } from '../../src/core/errors.ts'
import { type CancelTimer, NS_PER_MS } from '../../src/core/ports/time.ts'
import type { MessageSocket } from '../../src/core/ports/transport.ts'
import { leaderText } from '../../src/core/unknown-leader.ts'
import type { LeaderClock } from '../../src/core/wire/leader-clock.ts'
import {
  decodeLeaderMessage,
  encodeMessage,
  STREAM_PROTOCOL,
  TOKEN_HEADER,
} from '../../src/core/wire/protocol.ts'
import { ComparisonLog } from '../anti-entropy/comparison-log.ts'
import { BusListener } from '../bus/listener.ts'
import { streamUrl } from '../members/placement.ts'
import { explainRefusal } from '../members/token.ts'
import { horizonRow } from '../progress/link-progress.ts'
import { downText, LinkPatience, NOT_REPLICATED } from '../stream/link-patience.ts'
import { PieceLine } from '../stream/piece-line.ts'
import { Backlog } from './backlog.ts'
import { ComparisonWork } from './comparison-work.ts'
import { LeaderStorage } from './leader-storage.ts'
import { LeaderTime } from './leader-time.ts'
import type { LinkStatus } from './link-status.ts'
import type { FollowerLinkOptions } from './options.ts'
import { OutboxReader } from './outbox-reader.ts'
import { FeedCounts } from './state/feed-counts.ts'
import { isFetched, isFollowing, nextOffer } from './state/link.ts'
import type {
  FollowerContext,
  FollowerEffect,
  FollowerEvent,
  FollowerState,
} from './state/state.ts'
import { initialFollower, stepFollower } from './state/state.ts'
import { type DurableEffect, FollowerSteps, keptBy, type LeaderHorizon } from './steps.ts'
import { FollowerVoting } from './voting.ts'

/** A connection over which nothing had to be stored for so long is a good one, milliseconds. */
const GOOD_AFTER_MS = 60_000

export class FollowerLink {
  readonly #options: FollowerLinkOptions
  #context: FollowerContext
  /** What this connection speaks, once welcomed. */
  #protocol: number = STREAM_PROTOCOL
  readonly #connection: Connection
  #state: FollowerState
  readonly #steps: FollowerSteps
  readonly #comparisons: ComparisonLog
  #retention: LeaderHorizon
  readonly #leaderTime: LeaderTime
  readonly #leaderStorage: LeaderStorage
  /** Waits for the answer to the question with this number. */
  #restamp: { readonly n: number; readonly effect: DurableEffect } | undefined
  #drifted = 0
  #work: Promise<void> = Promise.resolve()
  readonly #backlog: Backlog
  readonly #comparing: ComparisonWork
  readonly #listener: BusListener
  readonly #feeds: FeedCounts
  readonly #voting: FollowerVoting
  #stopBeat: CancelTimer | undefined
  #outboxNoted = false
  readonly #outbox: OutboxReader
  readonly #patience: LinkPatience = new LinkPatience()
  /** Of the present connection. */
  #pieces: PieceLine | undefined
  #lastError: string | undefined
  #lastCheckMs = 0

  constructor(options: FollowerLinkOptions) {
    this.#options = options
    const { identity, sets, limits, leader } = options
    const hasBus = options.bus !== undefined
    this.#context = { identity: { ...identity, bus: hasBus }, sets, limits }
    this.#state = initialFollower(options.progress)
    this.#steps = new FollowerSteps({ ...options, protocol: () => this.#protocol })
    this.#leaderStorage = new LeaderStorage(options)
    this.#outbox = new OutboxReader({
      ...options,
      sendable: (rows) => this.#leaderStorage.sendable(rows),
      dispatch: (event) => this.#dispatch(event),
      fail: (error) => this.#fail('the outbox could not be read', error),
    })
    this.#backlog = new Backlog(limits.maxPendingBytes)
    this.#leaderTime = new LeaderTime({
      ...options,
      lowerMaxStamp: (stamp) => {
        const done = options.store.lowerMaxStamp(stamp)
        done.catch((error: unknown) => this.#fail('the clock could not be taken back', error))
      },
    })
    this.#feeds = new FeedCounts(options)
    this.#voting = new FollowerVoting({
      ...options,
      queue: (work) => {
        this.#work = this.#work.then(work).catch((error) => this.#fail('a vote failed', error))
      },
      send: (vote) => this.#connection.send(encodeMessage(vote)),
      drop: (reason) => this.#connection.drop(ERROR_TABLE.out_of_order.closeCode, reason),
      refused: () => this.status().refused,
      isComparing: () => this.#state.kind === 'comparing',
    })
    this.#listener = new BusListener({
      ...options,
      heard: (batch, bytes) => this.#dispatch({ type: 'batch', batch: { ...batch, bytes } }),
      lost: () => this.#dispatch({ type: 'busLost' }),
      tick: () => this.#dispatch({ type: 'busTick' }),
    })
    const horizon = BigInt(options.store.meta(horizonRow(leader)) ?? 0n)
    this.#retention = { forgotten: 0n, removed: 0n, gone: 0n, horizon, knows: true, greatest: 0n }
    this.#comparisons = new ComparisonLog({
      ...options,
      intervalMs: limits.compareIntervalMs,
      due: () =>
        this.#dispatch({ type: 'compareDue', pending: options.store.pendingCount(leader) }),
    })
    this.#comparing = new ComparisonWork({
      ...options,
      protocol: () => this.#protocol,
      state: () => this.#state,
      dispatch: (event) => this.#dispatch(event),
      send: (text) => this.#connection.send(text),
      fail: (error) => this.#fail('a comparison failed', error),
    })
    this.#connection = new Connection({
      ...options,
      backoff: { initialMs: limits.reconnectInitialMs, maxMs: limits.reconnectMaxMs },
      goodAfterMs: GOOD_AFTER_MS,
      request: () => ({
        url: streamUrl(options.leader),
        headers: options.token === undefined ? {} : { [TOKEN_HEADER]: options.token },
      }),
      // Offline is a mode: whatever a leader says, it may be repaired, so the link never gives up.
      shouldReconnect: () => true,
      onOpen: (socket) => {
        this.#begin(socket)
        this.#voting.up()
        this.#dispatch({ type: 'up' })
      },
      onMessage: (text) => this.#receive(text),
      onDown: ({ code, reason }) => this.#down(code, reason),
    })
  }

  #begin(socket: MessageSocket): void {
    const fail = (error: unknown): void => this.#fail('a large value could not be taken', error)
    this.#pieces = new PieceLine({ ...this.#options, peer: this.leader, socket, fail })
  }

  start(): void {
    this.#connection.open()
    this.#scheduleBeat()
  }

  /** Closes the connection and waits for durable steps under way. */
  async stop(reason: string): Promise<void> {
    this.#stopBeat?.()
    this.#listener.stop()
    this.#dispatch({ type: 'close' })
    this.#connection.close(1001, reason)
    this.#pieces?.close()
    await this.#work
    await this.#comparing.ended()
  }

  /** Tells the link that its outbox may have grown; many calls in one turn count as one. */
  outboxChanged(): void {
    if (this.#outboxNoted) return
    this.#outboxNoted = true
    queueMicrotask(() => {
      this.#outboxNoted = false
      this.#dispatch({ type: 'outbox' })
    })
  }

  get leader(): string {
    return this.#options.leader
  }

  /** Up to which stamp the leader removes tombstones, as last told; 0n before that. */
  get horizon(): bigint {
    return this.#retention.horizon
  }

  status(): LinkStatus {
    const state = this.#state
    const cursor = this.#steps.durable.cursor?.seq ?? 0
    const following = state.kind !== 'closed' && isFollowing(state) ? state : undefined
    return {
      url: this.#options.leader,
      state: state.kind,
      scopes: this.#options.identity.scopes,
      epoch: following?.leader.epoch ?? this.#steps.durable.cursor?.epoch,
      cursor,
      lagRows: Math.max(
        0,
        (following?.leader.head ?? cursor) - cursor - (following?.own.count ?? 0),
      ),
      outbox: this.#options.store.pendingCount(this.#options.leader),
      refused: following?.refused.size ?? 0,
      ...this.#steps.counts,
      drifted: this.#drifted,
      lastError: this.#lastError,
      lastCheckMs: this.#lastCheckMs,
      feed: { ...this.#feeds.report(following?.feed.from), bus: this.#listener.report() },
      ...this.#comparisons.status(following?.comparison?.tally),
    }
  }

  #receive(text: string): void {
    this.#noteCheck()
    try {
      const message = decodeLeaderMessage(text)
      if (message.t === 'digests') {
        this.#retention = { ...this.#retention, horizon: message.horizon }
        this.#comparing.received(message)
      } else if (message.t === 'offer' || message.t === 'piece' || message.t === 'got') {
        this.#pieces?.hear(message)
      } else if (message.t === 'terms') this.#receivedClock(message)
      else if (message.t === 'grant') this.#voting.granted(message)
      else {
        if (message.t === 'welcome') {
          this.#protocol = message.protocol
          this.#retention = { ...this.#retention, ...keptBy(message) }
          this.#saveSoon(this.#leaderStorage.welcomed(message))
          this.#listener.invited(message.bus)
        } else if (message.t === 'rows' && isFetched(this.#state, message)) {
          this.#feeds.fetched(message.records.length)
        }
        const filled = 'records' in message ? (this.#pieces?.fill(message) ?? message) : message
        this.#dispatch({ type: 'message', message: filled })
      }
    } catch (error) {
      this.#fail('a message of the leader is not understood', error)
    }
  }

  #down(code: number, reason: string): void {
    this.#noteCheck()
    this.#pieces?.close()
    const text = reason === '' ? `connection closed (${code})` : explainRefusal(reason)
    if (this.#lastError !== text || this.#state.kind !== 'offline') {
      this.#options.logger.warn(downText(text), {
        leader: leaderText(this.#options.leader),
        reason: text,
      })
    }
    this.#lastError = text
    this.#context = nextOffer(this.#context, reason)
    this.#dispatch({ type: 'down' })
  }

  #dispatch(event: FollowerEvent): void {
    const before = this.#state.kind
    const step = stepFollower(this.#state, event, this.#context)
    this.#state = step.state
    if (before !== 'live' && step.state.kind === 'live') {
      this.#lastError = undefined
      this.#options.logger.info('live with the leader', { leader: this.#options.leader })
      this.#comparisons.start()
    }
    if (before === 'live' && step.state.kind !== 'live') this.#comparisons.stop()
    for (const effect of step.effects) this.#run(effect)
    if (event.type === 'settled') this.#voting.answered()
  }

  #run(effect: FollowerEffect): void {
    switch (effect.type) {
      case 'send':
        if (effect.message.t === 'hello') this.#leaderTime.greeted()
        this.#connection.send(encodeMessage(effect.message, this.#protocol))
        break
      case 'good':
        this.#leaderTime.welcomed(BigInt(effect.clock))
        break
      case 'drop':
        this.#connection.drop(ERROR_TABLE[effect.code].closeCode, effect.reason)
        break
      case 'quiesce':
        this.#work = this.#work.then(() => this.#dispatch(this.#steps.quiet(effect.session)))
        break
      case 'collect':
        this.#outbox.collect(effect)
        break
      case 'upload':
        this.#pieces?.ship(effect.row.record, () => void this.#outbox.uploaded(effect))
        break
      case 'refused':
        this.#lastError = NOT_REPLICATED
        this.#options.logger.warn(NOT_REPLICATED, { leader: this.leader, key: effect.key })
        break
      case 'restamp':
        this.#drifted += effect.rows.length
        this.#restamp = { n: this.#leaderTime.asked + 1, effect }
        this.#ask()
        break
      case 'ask':
      case 'hash':
        this.#comparing.begin(effect, this.#retention.horizon)
        break
      case 'held':
        this.#voting.held()
        break
      case 'fed':
        this.#feeds.fed(effect)
        break
      case 'compared':
        this.#comparisons.ended(effect.tally, effect.isRepair, this.status().refused > 0)
        break
      default:
        this.#queue(effect)
    }
  }

  #queue(effect: DurableEffect): void {
    const done = this.#backlog.take('records' in effect ? effect.records : [])
    if (done === undefined) {
      const reason = `${this.#backlog.bytes} bytes wait to be stored`
      this.#connection.drop(ERROR_TABLE.overloaded.closeCode, reason)
      return
    }
    this.#work = this.#work.then(() => this.#makeDurable(effect)).finally(done)
  }

  async #makeDurable(effect: DurableEffect): Promise<void> {
    const isWanted = (): boolean => this.#comparing.isCurrent(effect.session)
    if (!isWanted()) return
    try {
      const event = await this.#steps.perform(effect, this.#retention, isWanted)
      if ('records' in effect) this.#pieces?.stored(effect.records)
      this.#patience.stored()
      this.#connection.connectionIsGood()
      this.#dispatch(event)
    } catch (error) {
      this.#fail('a step of replication failed', error)
    }
  }

  #noteCheck(): void {
    this.#lastCheckMs = Number(this.#options.time.wallNs() / NS_PER_MS)
  }

  #ask(): void {
    this.#connection.send(encodeMessage(this.#leaderTime.ask()))
  }

  #receivedClock(leaderClock: LeaderClock): void {
    this.#leaderTime.received(leaderClock)
    const { horizon, greatest } = leaderClock
    this.#retention = { ...this.#retention, horizon, greatest }
    const waiting = this.#restamp
    if (waiting === undefined || leaderClock.n < waiting.n) return
    this.#restamp = undefined
    this.#work = this.#work.then(() => this.#makeDurable(waiting.effect))
  }

  /** What is told is told on after a restart too, before the leader is met again: so it is kept. */
  #keepHorizon(): void {
    const { horizon } = this.#retention
    this.#soon(() => this.#steps.keep(horizon))
  }

  #saveSoon(meta: ReadonlyMap<string, string> | undefined): void {
    if (meta !== undefined) this.#soon(() => this.#options.store.saveMeta(meta))
  }

  #soon(note: () => Promise<void>): void {
    this.#work = this.#work
      .then(note)
      .catch((error: unknown) => this.#fail('what the leader told could not be noted', error))
  }

  #fail(message: string, error: unknown): void {
    const reason = errorText(error)
    this.#options.logger.error(message, { leader: this.leader, error: reason })
    const code = isStateError(error) ? error.code : 'storage_failed'
    this.#connection.drop(ERROR_TABLE[code].closeCode, this.#patience.failed(code, reason))
  }

  #scheduleBeat(): void {
    this.#stopBeat = this.#options.time.after(this.#options.limits.beatIntervalMs, () => {
      const isAlive = this.#pieces?.hasMoved() ?? false
      // Who only listens would not hear of a leader that is gone without a word.
      if (!isAlive) this.#connection.probe()
      this.#dispatch({ type: 'beat', isAlive })
      if (this.#state.kind !== 'closed' && isFollowing(this.#state)) {
        this.#keepHorizon()
        this.#ask()
      }
      this.#scheduleBeat()
    })
  }
}
