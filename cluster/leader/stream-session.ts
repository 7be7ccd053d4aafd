/** One follower's stream at its leader: drives `leader/session.ts` over a socket and the store. */
import type { Commit, Entry } from '../../src/core/data/entry.ts'
import { clientTextOf, ERROR_TABLE, type ErrorCode, isStateError } from '../../src/core/errors.ts'
import { type CancelTimer, NS_PER_MS, type TimeSource } from '../../src/core/ports/time.ts'
import type { SocketHandlers } from '../../src/core/ports/transport.ts'
import type { LeaderClockQuestion } from '../../src/core/wire/leader-clock.ts'
import { LEAVING } from '../../src/core/wire/node.ts'
import type { PieceMessage } from '../../src/core/wire/pieces.ts'
import type { Ack, FollowerMessage, Hello, Push } from '../../src/core/wire/protocol.ts'
import {
  commonProtocol,
  decodeFollowerMessage,
  encodeMessage,
  STREAM_PROTOCOL,
} from '../../src/core/wire/protocol.ts'
import { VOTING_PROTOCOL, type Vote } from '../../src/core/wire/voting.ts'
import { Answerer } from '../anti-entropy/answerer.ts'
import type { Entrance } from '../incarnation/clone-guard.ts'
import type { Registration } from '../progress/follower-registry.ts'
import { leaderCannotStore } from '../stream/link-patience.ts'
import { PieceLine } from '../stream/piece-line.ts'
import { warnOfForeign } from './foreign-scopes.ts'
import type { LeaderOptions } from './options.ts'
import { PushTaker } from './push-taker.ts'
import { refusalText } from './refusals.ts'
import type {
  LargeRow,
  LeaderSessionEffect,
  LeaderSessionEvent,
  LeaderSessionState,
  StreamingState,
} from './session.ts'
import { GREETING, isOnBus, sentThrough, stepLeaderSession } from './session.ts'
import type { MeteredSocket, TrafficReport } from './traffic.ts'

/** What people are shown of a connected follower. */
export interface FollowerStatus {
  readonly id: string
  readonly name: string
  /** Remote address of its connection. */
  readonly address: string
  readonly scopes: readonly string[]
  /** Version of the stream that is spoken with it. */
  readonly protocol: number
  /** Seq of this node's log up to which the follower holds everything. */
  readonly cursor: number
  /** What it held before is being compared with this node; `cursor` is 0 until that has ended. */
  readonly comparing: boolean
  readonly lagRows: number
  /** Where it takes new changes from. */
  readonly feed: 'stream' | 'bus'
  /** Its records that were refused on this connection as stamped too far in the future. */
  readonly drifted: number
  /** When it was last heard of, milliseconds since the Unix epoch. */
  readonly lastContactMs: number
  readonly traffic: TrafficReport
}

/** What a session tells its leader. */
export interface SessionListener {
  readonly ended: () => void
  /** Where its follower takes new changes from, when that has changed. */
  readonly fed: (from: FollowerStatus['feed']) => void
}

export class StreamSession implements SocketHandlers {
  readonly #options: LeaderOptions
  readonly #socket: MeteredSocket
  readonly #address: string
  /** Marks commits that came over this stream. */
  readonly #source: string
  readonly #listener: SessionListener
  readonly #answerer: Answerer
  #state: LeaderSessionState = GREETING
  /** Merges of this stream, one after the other. */
  #merges: Promise<void> = Promise.resolve()
  #stopBeat: CancelTimer | undefined
  #followerId: string | undefined
  #isListening = false
  #registration: Registration | undefined
  #entrance: Entrance | undefined
  readonly #pushes: PushTaker
  /** Once the follower has said who it is. */
  #pieces: PieceLine | undefined
  #ballot: { voted(vote: Vote): void; left(): void } | undefined
  #lastContactMs: number
  /** What the follower speaks, once it has said so. */
  #protocol: number = STREAM_PROTOCOL

  constructor(
    options: LeaderOptions,
    socket: MeteredSocket,
    address: string,
    source: string,
    listener: SessionListener,
  ) {
    this.#options = options
    this.#socket = socket
    this.#address = address
    this.#source = source
    this.#listener = listener
    this.#lastContactMs = wallMs(options.time)
    this.#pushes = new PushTaker(options, source)
    this.#answerer = new Answerer({
      ...options,
      protocol: () => this.#protocol,
      horizon: (path) => options.followerProgress.horizonOf(path),
      dispatch: (event) => this.#dispatch(event),
      ship: (record, done) => this.#pieces?.ship(record, done),
      fail: (error) => this.#fail(error),
    })
    this.#scheduleBeat()
  }

  /** Once it has said who it is. */
  get followerId(): string | undefined {
    return this.#followerId
  }

  message(text: string): void {
    this.#lastContactMs = wallMs(this.#options.time)
    try {
      const message = this.#decode(text)
      if (message === undefined) return
      this.#catchUp()
      if (message.t === 'hello' && !this.#enters(message)) return
      if (message.t === 'vote') this.#ballot?.voted(message)
      else if (message.t === 'terms') this.#sendLeaderClock(message.n)
      else this.#dispatch(this.#eventOf(message))
      if (message.t === 'hello') {
        this.#sendLeaderClock(0)
        this.#joinBallot()
      }
      if (message.t === 'ack') this.#notePassed(message)
    } catch (error) {
      this.#end('invalid_message', refusalText(error, this.#options.logger))
    }
  }

  /** The message, whole; undefined when it was a part of one. */
  #decode(text: string): Exclude<FollowerMessage, PieceMessage> | undefined {
    const message = decodeFollowerMessage(text)
    if (message.t === 'offer' || message.t === 'piece' || message.t === 'got') {
      this.#pieces?.hear(message)
      return undefined
    }
    return message.t === 'push' ? (this.#pieces?.fill(message) ?? message) : message
  }

  close(info?: { readonly reason: string }): void {
    this.#stopBeat?.()
    this.#pieces?.close()
    this.#dispatch({ type: 'closed' })
    this.#registration?.left()
    this.#entrance?.left()
    // It comes back as another node, if it does.
    if (info?.reason === LEAVING && this.#followerId !== undefined) {
      this.#options.followerProgress.forget(this.#followerId)
    }
    this.#ballot?.left()
    if (this.#isListening) this.#options.publisher?.left()
    this.#isListening = false
    void this.#answerer.close()
    this.#listener.ended()
  }

  committed(commit: Commit): void {
    const own = commit.source === this.#source ? seqsAsPushed(commit) : []
    this.#dispatch({ type: 'committed', head: commit.seq, own })
  }

  unpublished(): void {
    this.#catchUp()
    this.#dispatch({ type: 'unpublished' })
  }

  async stop(reason: string): Promise<void> {
    this.#socket.close(1001, reason)
    this.close()
    await this.#merges
    await this.#answerer.close()
  }

  status(): FollowerStatus | undefined {
    const state = this.#state
    if (state.kind !== 'streaming') return undefined
    const feed = isOnBus(state) ? 'bus' : 'stream'
    // With nothing in flight the follower holds all that was sent, and what was not sent is its own.
    const held = state.inFlight.length === 0 && feed === 'stream' ? sentThrough(state) : state.acked
    const cursor = state.complete ? held : 0
    const head = Math.max(state.head, this.#options.store.head)
    return {
      ...state.follower,
      protocol: state.protocol,
      address: this.#address,
      cursor,
      comparing: !state.complete,
      lagRows: Math.max(0, head - cursor),
      feed,
      drifted: this.#pushes.drifted,
      lastContactMs: this.#lastContactMs,
      traffic: this.#socket.traffic.report(),
    }
  }

  /** Before anything is known of it as of a follower. A second hello is refused as such. */
  #enters(hello: Hello): boolean {
    if (this.#state.kind !== 'greeting') return true
    const entered = this.#options.guard.enter(hello, {
      address: this.#address,
      end: (reason) => this.#end('out_of_order', reason),
    })
    if (typeof entered === 'string') this.#end('duplicate_node', entered)
    else this.#entrance = entered
    return typeof entered !== 'string'
  }

  /** What this node goes by, once the follower has been welcomed. */
  #sendLeaderClock(n: number): void {
    const state = this.#state
    if (state.kind !== 'streaming') return
    this.#registration?.heard()
    const leaderClock = this.#options.followerProgress.leaderClock(n, state.follower.scopes)
    this.#socket.send(encodeMessage(leaderClock, state.protocol))
  }

  /** Before anything else that the follower is to acknowledge. */
  #joinBallot(): void {
    const state = this.#state
    const { ballot } = this.#options
    if (state.kind !== 'streaming' || ballot === undefined) return
    if (state.protocol < VOTING_PROTOCOL) return
    const { id: node, scopes } = state.follower
    this.#ballot = ballot.join({
      ...{ id: this.#source, node, scopes },
      cursor: () => this.status()?.cursor ?? 0,
      send: (grant) => this.#socket.send(encodeMessage(grant)),
    })
  }

  #notePassed({ seq, complete }: Ack): void {
    if (this.#state.kind === 'streaming' && complete) this.#registration?.passed(seq)
  }

  #eventOf(
    message: Exclude<FollowerMessage, LeaderClockQuestion | Vote | PieceMessage>,
  ): LeaderSessionEvent {
    if (message.t === 'ack') return { type: 'ack', ack: message }
    if (message.t === 'push') return { type: 'push', push: message }
    if (message.t === 'feed') return { type: 'feed', request: message }
    if (message.t !== 'hello') return { type: 'comparison', message }
    const { store, clock, followerProgress, publisher } = this.#options
    this.#followerId = message.id
    this.#protocol = commonProtocol(message.protocol) ?? STREAM_PROTOCOL
    this.#pieces ??= new PieceLine({
      ...this.#options,
      peer: message.id,
      maxUnits: store.limits.maxValueBytes,
      socket: this.#socket,
      fail: (error) => this.#fail(error),
    })
    const { canResume, proof, registration } = followerProgress.admit(message)
    this.#registration?.left()
    this.#registration = registration
    const { id, epoch, head } = store
    const leader = {
      id,
      epoch,
      head,
      clock: String(clock.physicalNs()),
      ...proof,
      maxValueBytes: store.limits.maxValueBytes,
      bus: publisher?.invitation,
    }
    if (message.bus === true && publisher !== undefined && !this.#isListening) {
      this.#isListening = true
      publisher.joined()
    }
    this.#options.logger.info('follower joins', {
      follower: message.name,
      address: this.#address,
      resume: canResume,
    })
    warnOfForeign(message, this.#options)
    return { type: 'hello', hello: message, canResume, leader }
  }

  /** On the bus no commit is told, until something has to be known of it. */
  #catchUp(): void {
    const state = this.#state
    const { head } = this.#options.store
    if (state.kind !== 'streaming' || !isOnBus(state) || head <= state.head) return
    this.#dispatch({ type: 'committed', head, own: [] })
  }

  #dispatch(event: LeaderSessionEvent): void {
    const step = stepLeaderSession(this.#state, event, this.#options.limits)
    this.#state = step.state
    if (event.type === 'feed' && step.state.kind === 'streaming') {
      this.#listener.fed(isOnBus(step.state) ? 'bus' : 'stream')
    }
    for (const effect of step.effects) this.#run(effect)
    if (event.type === 'ack' || event.type === 'page') this.#options.progressed()
  }

  #run(effect: LeaderSessionEffect): void {
    switch (effect.type) {
      case 'send':
        this.#socket.send(encodeMessage(effect.message, this.#protocol))
        break
      case 'read':
        this.#options.store.log(effect.after, effect.limit).then(
          (page) => this.#dispatch({ type: 'page', page }),
          (error) => this.#end('storage_failed', clientTextOf(error)),
        )
        break
      case 'ship':
        this.#ship(effect).catch((error: unknown) => this.#fail(error))
        break
      case 'merge': {
        const state = this.#state
        if (state.kind !== 'streaming') break
        this.#merges = this.#merges.then(() => this.#take(effect, state))
        break
      }
      case 'close':
        this.#end(effect.code, effect.reason)
        break
      default:
        this.#answerer.run(effect)
    }
  }

  /** One whose key has changed since is told by a later row. */
  async #ship({ seq, key }: LargeRow): Promise<void> {
    const keyState = await this.#options.store.keyState(key)
    const shipped = (record: Entry | undefined): void =>
      this.#dispatch({ type: 'shipped', seq, record })
    const record = keyState?.record
    if (keyState?.seq !== seq || record?.kind !== 'entry') shipped(undefined)
    else this.#pieces?.ship(record, () => shipped(record))
  }

  async #take(push: Omit<Push, 't'>, session: StreamingState): Promise<void> {
    try {
      const taken = await this.#pushes.take(push, session)
      this.#pieces?.stored(push.records)
      this.#dispatch({ type: 'merged', n: push.n, ...taken, head: this.#options.store.head })
    } catch (error) {
      this.#end('storage_failed', clientTextOf(error))
    }
  }

  #fail(error: unknown): void {
    const code = isStateError(error, 'invalid_message') ? error.code : 'storage_failed'
    if (this.#state.kind !== 'closed') this.#end(code, clientTextOf(error))
  }

  #end(code: ErrorCode, reason: string): void {
    // A clone comes back every few seconds: the guard logs it once.
    if (code !== 'duplicate_node') {
      this.#options.logger.warn('follower disconnected', { address: this.#address, reason })
    }
    const closeReason = code === 'storage_failed' ? leaderCannotStore(reason) : reason.slice(0, 100)
    this.#socket.close(ERROR_TABLE[code].closeCode, closeReason)
    this.close()
  }

  #scheduleBeat(): void {
    const { time, limits } = this.#options
    this.#stopBeat = time.after(limits.beatIntervalMs, () => {
      this.#scheduleBeat()
      this.#catchUp()
      this.#dispatch({ type: 'beat', isAlive: this.#pieces?.hasMoved() ?? false })
    })
  }
}

/** Seqs of the changes that left exactly what the follower pushed. */
function seqsAsPushed({ seq, changes }: Commit): number[] {
  const first = seq - changes.length + 1
  return changes.flatMap(({ isMerged }, i) => (isMerged === true ? [] : [first + i]))
}

export function wallMs(time: TimeSource): number {
  return Number(time.wallNs() / NS_PER_MS)
}
