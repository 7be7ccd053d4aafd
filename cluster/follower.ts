/**
 * Follows one leader: drives `follower-state.ts` over the project's reconnecting connection and
 * the store. Whatever the machine wants made durable runs in one queue, in order; when a step
 * fails, the connection is dropped and the rest of that connection's steps are left out.
 */
import { Connection } from '../src/client/connection.ts'
import type { HybridClock } from '../src/core/clock.ts'
import { ERROR_TABLE, errorText } from '../src/core/errors.ts'
import type { Logger } from '../src/core/logger.ts'
import { decodeLeaderMessage, encodeMessage, TOKEN_HEADER } from '../src/core/protocol.ts'
import { type CancelTimer, NS_PER_MS, type Random, type TimeSource } from '../src/core/time.ts'
import type { Transport } from '../src/core/transport.ts'
import type { Store } from '../src/store/store.ts'
import { measureOffset } from './clock-offset.ts'
import type {
  FollowerContext,
  FollowerEffect,
  FollowerEvent,
  FollowerIdentity,
  FollowerState,
  LinkProgress,
} from './follower-state.ts'
import { initialFollower, stepFollower } from './follower-state.ts'
import { encodeProgress, laterSeen, progressRow } from './link-progress.ts'
import type { ClusterLimits } from './options.ts'
import { cutRows } from './page.ts'
import { streamUrl } from './placement.ts'

export interface FollowerLinkOptions {
  /** The leader, as `http(s)://host:port`. */
  readonly leader: string
  readonly identity: FollowerIdentity
  readonly progress: LinkProgress
  /** Id of the placement the progress belongs to. */
  readonly placementId: string
  readonly store: Store
  /** Corrected to this leader's time; undefined when another link does that. */
  readonly clock: HybridClock | undefined
  readonly time: TimeSource
  readonly random: Random
  readonly transport: Transport
  readonly token: string | undefined
  readonly limits: ClusterLimits
  readonly logger: Logger
}

/** What people are shown of a link. */
export interface LinkStatus {
  readonly url: string
  readonly state: FollowerState['kind']
  readonly scopes: readonly string[]
  /** Seq of the leader's log up to which this node holds everything. */
  readonly cursor: number
  /** Rows of the leader's log not applied yet, as far as known. */
  readonly lagRows: number
  /** Local changes the leader has not acknowledged. */
  readonly outbox: number
  /** Pushed records the leader refused on this connection. */
  readonly refused: number
  /** Why the link was last down; undefined while it never was. */
  readonly lastError: string | undefined
  /** When the leader was last heard of or found gone, milliseconds since the epoch; 0 before that. */
  readonly lastCheckMs: number
}

type DurableEffect = Extract<FollowerEffect, { type: 'refill' | 'merge' | 'settle' }>

export class FollowerLink {
  readonly #options: FollowerLinkOptions
  readonly #context: FollowerContext
  readonly #connection: Connection
  #state: FollowerState
  /** The progress on disk; each durable step writes it anew. */
  #durable: LinkProgress
  #work: Promise<void> = Promise.resolve()
  #stopBeat: CancelTimer | undefined
  #helloSentNs = 0n
  #outboxNoted = false
  /** The latest request for rows of the outbox that has not been answered. */
  #nextCollect: Extract<FollowerEffect, { type: 'collect' }> | undefined
  #isCollecting = false
  #lastError: string | undefined
  #lastCheckMs = 0

  constructor(options: FollowerLinkOptions) {
    this.#options = options
    this.#context = { identity: options.identity, limits: options.limits }
    this.#state = initialFollower(options.progress)
    this.#durable = options.progress
    this.#connection = new Connection({
      transport: options.transport,
      time: options.time,
      random: options.random,
      backoff: {
        initialMs: options.limits.reconnectInitialMs,
        maxMs: options.limits.reconnectMaxMs,
      },
      goodAfterMs: 0,
      request: () => ({
        url: streamUrl(options.leader),
        headers: options.token === undefined ? {} : { [TOKEN_HEADER]: options.token },
      }),
      // Offline is a mode: whatever a leader says, it may be mended, so the link never gives up.
      shouldReconnect: () => true,
      onOpen: () => this.#dispatch({ type: 'up' }),
      onMessage: (text) => this.#receive(text),
      onDown: ({ code, reason }) => this.#down(code, reason),
    })
  }

  start(): void {
    this.#connection.open()
    this.#scheduleBeat()
  }

  /** Closes the connection and waits for durable steps under way. */
  async stop(reason: string): Promise<void> {
    this.#stopBeat?.()
    this.#dispatch({ type: 'close' })
    this.#connection.close(1001, reason)
    await this.#work
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

  status(): LinkStatus {
    const state = this.#state
    const cursor = this.#durable.cursor?.seq ?? 0
    const following = state.kind === 'live' || state.kind === 'catchingUp' ? state : undefined
    return {
      url: this.#options.leader,
      state: state.kind,
      scopes: this.#options.identity.scopes,
      cursor,
      lagRows: Math.max(0, (following?.leader.head ?? cursor) - cursor),
      outbox: this.#options.store.owedCount(this.#options.leader),
      refused: following?.refused.size ?? 0,
      lastError: this.#lastError,
      lastCheckMs: this.#lastCheckMs,
    }
  }

  #receive(text: string): void {
    this.#noteCheck()
    try {
      this.#dispatch({ type: 'message', message: decodeLeaderMessage(text) })
    } catch (error) {
      this.#fail('a message of the leader is not understood', error)
    }
  }

  #down(code: number, reason: string): void {
    this.#noteCheck()
    const text = reason === '' ? `connection closed (${code})` : reason
    if (this.#lastError !== text || this.#state.kind !== 'offline') {
      this.#options.logger.warn('leader out of reach; serving and taking writes locally', {
        leader: this.#options.leader,
        reason: text,
      })
    }
    this.#lastError = text
    this.#dispatch({ type: 'down' })
  }

  #dispatch(event: FollowerEvent): void {
    const before = this.#state.kind
    const step = stepFollower(this.#state, event, this.#context)
    this.#state = step.state
    if (before !== 'live' && step.state.kind === 'live') {
      this.#lastError = undefined
      this.#options.logger.info('live with the leader', { leader: this.#options.leader })
    }
    for (const effect of step.effects) this.#run(effect)
  }

  #run(effect: FollowerEffect): void {
    switch (effect.type) {
      case 'send':
        if (effect.message.t === 'hello') this.#helloSentNs = this.#options.time.monotonicNs()
        this.#connection.send(encodeMessage(effect.message))
        break
      case 'good':
        this.#connection.connectionIsGood()
        this.#correctClock(BigInt(effect.clock))
        break
      case 'drop':
        this.#connection.drop(ERROR_TABLE.invalid_message.closeCode, effect.reason)
        break
      case 'quiesce':
        this.#work = this.#work.then(() =>
          this.#dispatch({ type: 'quiet', session: effect.session }),
        )
        break
      case 'collect':
        this.#nextCollect = effect
        void this.#collect()
        break
      default:
        this.#work = this.#work.then(() => this.#makeDurable(effect))
    }
  }

  /** Reads the outbox for the latest request, one reading at a time. */
  async #collect(): Promise<void> {
    if (this.#isCollecting) return
    this.#isCollecting = true
    try {
      for (let next = this.#nextCollect; next !== undefined; next = this.#nextCollect) {
        this.#nextCollect = undefined
        const owed = await this.#options.store.owed(this.leader, next.limit, next.skip)
        const { rows } = cutRows(owed, this.#options.limits.messageBytes)
        this.#dispatch({ type: 'collected', rows })
      }
    } catch (error) {
      this.#fail('the outbox could not be read', error)
    } finally {
      this.#isCollecting = false
    }
  }

  async #makeDurable(effect: DurableEffect): Promise<void> {
    const state = this.#state
    if (state.kind === 'offline' || state.kind === 'closed' || state.session !== effect.session) {
      return
    }
    try {
      this.#dispatch(await this.#perform(effect))
    } catch (error) {
      this.#fail('a step of replication failed', error)
    }
  }

  /** Makes one step durable and returns the event that says so. */
  async #perform(effect: DurableEffect): Promise<FollowerEvent> {
    const { store } = this.#options
    const { session } = effect
    switch (effect.type) {
      case 'refill': {
        const { from } = effect
        await store.refill(this.leader)
        const progress = { cursor: from, seen: from }
        await this.#save(progress, (meta) => store.saveMeta(meta))
        return { type: 'refilled', session, progress }
      }
      case 'merge': {
        const { records, cursor } = effect
        const progress = { cursor, seen: laterSeen(this.#durable.seen, effect.seen) }
        await this.#save(progress, (meta) =>
          store.merge(records, { source: this.leader, leader: this.leader, meta }),
        )
        return { type: 'applied', session, progress }
      }
      case 'settle': {
        const { n, rows } = effect
        const { cursor, seen } = this.#durable
        const progress = { cursor, seen: laterSeen(seen, effect.seen) }
        await this.#save(progress, (meta) => store.acknowledge(this.leader, rows, meta))
        return { type: 'settled', session, n, progress }
      }
    }
  }

  /** Writes `progress` in the same batch as what it stands for. Steps run one at a time. */
  async #save(
    progress: LinkProgress,
    write: (meta: ReadonlyMap<string, string>) => Promise<unknown>,
  ): Promise<void> {
    const row = encodeProgress(this.#options.placementId, progress)
    await write(new Map([[progressRow(this.leader), row]]))
    this.#durable = progress
  }

  #noteCheck(): void {
    this.#lastCheckMs = Number(this.#options.time.wallNs() / NS_PER_MS)
  }

  #correctClock(leaderNs: bigint): void {
    const { clock, time, logger } = this.#options
    if (clock === undefined) return
    const roundTripNs = time.monotonicNs() - this.#helloSentNs
    const offsetNs = measureOffset({
      leaderNs,
      wallNs: time.wallNs(),
      roundTripNs,
      knownNs: clock.offsetNs,
    })
    if (offsetNs === clock.offsetNs) return
    logger.warn('clock corrected to the leader', { offsetNs, leader: this.leader })
    clock.offsetNs = offsetNs
  }

  #fail(message: string, error: unknown): void {
    const reason = errorText(error)
    this.#options.logger.error(message, { leader: this.leader, error: reason })
    this.#connection.drop(ERROR_TABLE.invalid_message.closeCode, reason.slice(0, 100))
  }

  #scheduleBeat(): void {
    this.#stopBeat = this.#options.time.after(this.#options.limits.beatIntervalMs, () => {
      this.#dispatch({ type: 'beat' })
      this.#scheduleBeat()
    })
  }
}
