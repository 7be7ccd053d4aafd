/** Serves followers: one session per stream, each driving `leader-session.ts`. */
import type { HybridClock } from '../src/core/clock.ts'
import type { Commit, StoredRecord } from '../src/core/entry.ts'
import { ERROR_TABLE, errorText } from '../src/core/errors.ts'
import type { Logger } from '../src/core/logger.ts'
import type { FollowerMessage, PushOutcome } from '../src/core/protocol.ts'
import { decodeFollowerMessage, encodeMessage } from '../src/core/protocol.ts'
import { type CancelTimer, NS_PER_MS, type TimeSource } from '../src/core/time.ts'
import type { MessageSocket, SocketHandlers } from '../src/core/transport.ts'
import type { Store } from '../src/store/store.ts'
import type {
  LeaderSessionEffect,
  LeaderSessionEvent,
  LeaderSessionState,
  StreamingState,
} from './leader-session.ts'
import { GREETING, stepLeaderSession } from './leader-session.ts'
import type { ClusterLimits } from './options.ts'
import type { Placement } from './placement.ts'
import { inScopes, scopeOf } from './placement.ts'

export interface LeaderOptions {
  readonly store: Store
  readonly placement: Placement
  readonly clock: HybridClock
  readonly time: TimeSource
  readonly limits: ClusterLimits
  readonly logger: Logger
}

/** What people are shown of a connected follower. */
export interface FollowerStatus {
  readonly id: string
  readonly name: string
  /** Remote address of its connection. */
  readonly address: string
  readonly scopes: readonly string[]
  /** Seq of this node's log up to which the follower holds everything. */
  readonly cursor: number
  readonly lagRows: number
  /** When it was last heard of, milliseconds since the Unix epoch. */
  readonly lastContactMs: number
}

/** Followers whose leaving is remembered, longest gone forgotten first. */
const MAX_DEPARTED = 1000

export class Leader {
  readonly #options: LeaderOptions
  readonly #sessions = new Set<Session>()
  /** When each follower was found gone, milliseconds since the Unix epoch, by its id. */
  readonly #departed = new Map<string, number>()
  #opened = 0

  constructor(options: LeaderOptions) {
    this.#options = options
  }

  /** Takes an open stream; the caller feeds the returned handlers. */
  accept(socket: MessageSocket, address: string): SocketHandlers {
    const session = new Session(this.#options, socket, address, `stream-${++this.#opened}`, () =>
      this.#forget(session),
    )
    this.#sessions.add(session)
    return session
  }

  /** Hears every commit of the store. */
  committed(commit: Commit): void {
    for (const session of this.#sessions) session.committed(commit)
  }

  followers(): FollowerStatus[] {
    return [...this.#sessions].flatMap((session) => session.status() ?? [])
  }

  /** When followers that were connected were found gone, milliseconds since the epoch, by their id. */
  get departed(): ReadonlyMap<string, number> {
    return this.#departed
  }

  #forget(session: Session): void {
    this.#sessions.delete(session)
    const id = session.followerId
    if (id === undefined) return
    this.#departed.delete(id)
    this.#departed.set(id, wallMs(this.#options.time))
    for (const oldest of this.#departed.keys()) {
      if (this.#departed.size > MAX_DEPARTED) this.#departed.delete(oldest)
      else break
    }
  }

  /** Ends every stream with this reason, waiting for what they have begun to write. */
  async stop(reason: string): Promise<void> {
    await Promise.all([...this.#sessions].map((session) => session.stop(reason)))
  }
}

class Session implements SocketHandlers {
  readonly #options: LeaderOptions
  readonly #socket: MessageSocket
  readonly #address: string
  /** Marks commits that came over this stream. */
  readonly #source: string
  readonly #ended: () => void
  #state: LeaderSessionState = GREETING
  /** Merges of this stream, one after the other. */
  #merges: Promise<void> = Promise.resolve()
  #stopBeat: CancelTimer | undefined
  #followerId: string | undefined
  #lastContactMs: number

  constructor(
    options: LeaderOptions,
    socket: MessageSocket,
    address: string,
    source: string,
    ended: () => void,
  ) {
    this.#options = options
    this.#socket = socket
    this.#address = address
    this.#source = source
    this.#ended = ended
    this.#lastContactMs = wallMs(options.time)
    this.#scheduleBeat()
  }

  /** Once it has said who it is. */
  get followerId(): string | undefined {
    return this.#followerId
  }

  message(text: string): void {
    this.#lastContactMs = wallMs(this.#options.time)
    try {
      this.#dispatch(this.#eventOf(decodeFollowerMessage(text)))
    } catch (error) {
      this.#end('invalid_message', errorText(error))
    }
  }

  close(): void {
    this.#stopBeat?.()
    this.#dispatch({ type: 'closed' })
    this.#ended()
  }

  committed(commit: Commit): void {
    const count = commit.source === this.#source ? commit.changes.length : 0
    const own = Array.from({ length: count }, (_, i) => commit.seq - i)
    this.#dispatch({ type: 'committed', head: commit.seq, own })
  }

  async stop(reason: string): Promise<void> {
    this.#socket.close(1001, reason)
    this.close()
    await this.#merges
  }

  status(): FollowerStatus | undefined {
    const state = this.#state
    if (state.kind !== 'streaming') return undefined
    // With nothing in flight the follower holds all that was sent, and what was not sent is its own.
    const cursor = state.inFlight.length === 0 ? state.sent : state.acked
    return {
      ...state.follower,
      address: this.#address,
      cursor,
      lagRows: Math.max(0, state.head - cursor),
      lastContactMs: this.#lastContactMs,
    }
  }

  #eventOf(message: FollowerMessage): LeaderSessionEvent {
    if (message.t === 'ack') return { type: 'ack', ack: message }
    if (message.t === 'push') return { type: 'push', push: message }
    const { store, clock } = this.#options
    const { cursor, seen } = message
    this.#followerId = message.id
    const canResume =
      cursor !== null && store.canResume(cursor) && (seen === null || store.canResume(seen))
    const { id, epoch, head } = store
    const leader = { id, epoch, head, clock: String(clock.physicalNs()) }
    this.#options.logger.info('follower joins', {
      follower: message.name,
      address: this.#address,
      resume: canResume,
    })
    return { type: 'hello', hello: message, canResume, leader }
  }

  #dispatch(event: LeaderSessionEvent): void {
    const step = stepLeaderSession(this.#state, event, this.#options.limits)
    this.#state = step.state
    for (const effect of step.effects) this.#run(effect)
  }

  #run(effect: LeaderSessionEffect): void {
    switch (effect.type) {
      case 'send':
        this.#socket.send(encodeMessage(effect.message))
        break
      case 'read':
        this.#options.store.log(effect.after, effect.limit).then(
          (page) => this.#dispatch({ type: 'page', page }),
          (error) => this.#end('storage_failed', errorText(error)),
        )
        break
      case 'merge': {
        const { n, records } = effect
        const state = this.#state
        if (state.kind !== 'streaming') break
        this.#merges = this.#merges.then(() => this.#merge(n, records, state.follower))
        break
      }
      case 'close':
        this.#end(effect.code, effect.reason)
        break
    }
  }

  async #merge(
    n: number,
    records: readonly StoredRecord[],
    follower: StreamingState['follower'],
  ): Promise<void> {
    const { store, placement } = this.#options
    const accepted = records.filter(
      ({ key }) => inScopes(follower.scopes, key) && scopeOf(placement, key) !== undefined,
    )
    try {
      const merged = await store.merge(accepted, { source: this.#source })
      const fates = new Map(accepted.map((record, i) => [record, merged[i]]))
      const outcomes = records.map((record): PushOutcome => fates.get(record) ?? 'refused')
      this.#dispatch({ type: 'merged', n, outcomes, head: store.head })
    } catch (error) {
      this.#end('storage_failed', errorText(error))
    }
  }

  #end(code: 'invalid_message' | 'slow_consumer' | 'storage_failed', reason: string): void {
    this.#options.logger.warn('follower disconnected', { address: this.#address, reason })
    this.#socket.close(ERROR_TABLE[code].closeCode, reason.slice(0, 100))
    this.close()
  }

  #scheduleBeat(): void {
    const { time, limits } = this.#options
    this.#stopBeat = time.after(limits.beatIntervalMs, () => {
      this.#scheduleBeat()
      this.#dispatch({ type: 'beat' })
    })
  }
}

function wallMs(time: TimeSource): number {
  return Number(time.wallNs() / NS_PER_MS)
}
