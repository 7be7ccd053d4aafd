/** A fan-out worker: holds connections of subscribers and sends them what the serving process relays. */
import type { Socket } from 'node:net'
import type { TimeSource } from '../../core/ports/time.ts'
import {
  type FanoutCounters,
  newFanoutCounters,
  type Subscriber,
  type SubscriberContext,
} from '../../fanout/frames/subscriber.ts'
import { UnreadLedger } from '../../fanout/frames/unread-ledger.ts'
import { Pacer } from '../../fanout/pacer.ts'
import { RelayPool } from '../../fanout/relay/pool.ts'
import { CLOSE_GRACE_MS, MAX_SUBSCRIBER_MESSAGE_BYTES } from '../websocket/handshake.ts'
import { Heartbeat } from '../websocket/heartbeat.ts'
import { SubscriberSocket, type SubscriberSocketContext } from '../websocket/subscriber-socket.ts'
import type { FromWorker, ToWorker, WorkerSettings } from './messages.ts'

/** Milliseconds between two reports of what was counted. */
const REPORT_INTERVAL_MS = 1000

interface Guest {
  readonly id: number
  readonly pool: number
  readonly socket: SubscriberSocket
  readonly subscriber: Subscriber
}

export class WorkerNode {
  readonly #time: TimeSource
  readonly #post: (message: FromWorker) => void
  readonly #heartbeat: Heartbeat
  readonly #context: SubscriberContext
  readonly #socketContext: SubscriberSocketContext
  readonly #pools = new Map<number, RelayPool>()
  /** Pools in which frames wait. */
  readonly #dirty = new Set<RelayPool>()
  readonly #pacer: Pacer
  readonly #guests = new Map<number, Guest>()
  /** Connections that ended in this turn. */
  #gone: number[] = []
  #requests = 0
  readonly #counters: FanoutCounters = newFanoutCounters()
  #reported: Required<Counted> = { frames: newFanoutCounters(), silent: 0, stalled: 0 }

  constructor(settings: WorkerSettings, time: TimeSource, post: (message: FromWorker) => void) {
    this.#time = time
    this.#post = post
    this.#heartbeat = new Heartbeat({ ...settings, time })
    this.#pacer = new Pacer({ time, endOfTurn: setImmediate }, () => this.#flush())
    this.#context = {
      ...{ limits: settings, time, counters: this.#counters },
      unread: new UnreadLedger(settings.maxUnreadBytes),
    }
    this.#socketContext = {
      time,
      maxMessageBytes: MAX_SUBSCRIBER_MESSAGE_BYTES,
      closeGraceMs: CLOSE_GRACE_MS,
      gone: (socket) => this.#heartbeat.remove(socket),
    }
    this.#time.after(REPORT_INTERVAL_MS, () => this.#report())
  }

  /** @param socket comes with `join` only; undefined when it ended on its way */
  hear(message: ToWorker, socket: Socket | undefined): void {
    switch (message.kind) {
      case 'setup':
        return
      case 'open':
        this.#open(message.pool)
        return
      case 'drop':
        this.#pools.delete(message.pool)
        return
      case 'join':
        this.#join(message, socket)
        return
      case 'close':
        this.#guests.get(message.id)?.socket.close(message.code, message.reason)
        return
      case 'terminate':
        this.#guests.get(message.id)?.socket.terminate()
        return
      default:
        this.#pools.get(message.pool)?.hear(message)
    }
  }

  /** Drops every connection. */
  close(): void {
    for (const { socket } of this.#guests.values()) socket.terminate()
  }

  #flush(): void {
    const dirty = [...this.#dirty]
    this.#dirty.clear()
    for (const relay of dirty) relay.flush()
  }

  #open(pool: number): void {
    const relay = new RelayPool(
      this.#context,
      (held) => this.#ask(pool, held),
      (dirty) => {
        this.#dirty.add(dirty)
        this.#pacer.request()
      },
    )
    this.#pools.set(pool, relay)
  }

  #join(message: Extract<ToWorker, { kind: 'join' }>, connection: Socket | undefined): void {
    const { id, pool, heldVersion, opening, head } = message
    const relay = this.#pools.get(pool)
    if (connection === undefined || relay === undefined) {
      connection?.destroy()
      this.#leave(id)
      return
    }
    connection.on('error', () => connection.destroy())
    connection.write(opening)
    const socket = new SubscriberSocket(connection, Buffer.from(head), this.#socketContext)
    this.#heartbeat.add(socket)
    const subscriber = relay.add(socket, heldVersion)
    this.#guests.set(id, { id, pool, socket, subscriber })
    socket.onGone(() => this.#ended(id))
  }

  #ask(pool: number, heldVersion: string | undefined): number {
    const request = ++this.#requests
    this.#post({ kind: 'asked', pool, request, heldVersion })
    return request
  }

  #ended(id: number): void {
    const guest = this.#guests.get(id)
    if (guest === undefined) return
    this.#guests.delete(id)
    this.#pools.get(guest.pool)?.remove(guest.subscriber)
    this.#leave(id)
  }

  /** Said once for all of a turn: thousands may end at once. */
  #leave(id: number): void {
    this.#gone.push(id)
    if (this.#gone.length > 1) return
    setImmediate(() => {
      const ids = this.#gone
      this.#gone = []
      this.#post({ kind: 'gone', ids })
    })
  }

  #report(): void {
    const { silent, stalled } = this.#heartbeat.dropped
    const now = { frames: { ...this.#counters }, silent, stalled }
    const before = this.#reported
    const frames = newFanoutCounters()
    for (const name of Object.keys(frames) as (keyof FanoutCounters)[]) {
      frames[name] = now.frames[name] - before.frames[name]
    }
    this.#reported = now
    const deltas = { silent: silent - before.silent, stalled: stalled - before.stalled }
    const isNews = Object.values(frames).some((delta) => delta > 0)
    if (isNews || deltas.silent > 0 || deltas.stalled > 0) {
      this.#post({ kind: 'counted', frames, ...deltas })
    } else this.#post({ kind: 'alive' })
    this.#time.after(REPORT_INTERVAL_MS, () => this.#report())
  }
}

interface Counted {
  readonly frames: FanoutCounters
  readonly silent: number
  readonly stalled: number
}
