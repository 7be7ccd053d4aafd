/**
 * What people are told of the streams beside their state: how far behind in time, how much was
 * carried, what was refused. Sees only sockets and statuses, so the engine's machines know nothing of it.
 */
import type { HybridClock } from '../../src/core/data/clock.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import { onceAMinute } from '../../src/core/ports/once-a-minute.ts'
import { NS_PER_MS, type TimeSource } from '../../src/core/ports/time.ts'
import type { MessageSocket, SocketHandlers, Transport } from '../../src/core/ports/transport.ts'
import type { ClusterLimits } from '../config/options.ts'
import type { LinkStatus } from '../follower/link-status.ts'
import type { FollowerStatus } from '../leader/leader.ts'
import { type RefusalReport, Refusals, refusalOfClose } from '../leader/refusals.ts'
import { type ServeStream, StreamGuard } from '../leader/stream-guard.ts'
import { Traffic, type TrafficReport, watchTransport } from '../leader/traffic.ts'
import { SeqTimes } from '../progress/seq-times.ts'

/** A follower as its leader sees it. */
export interface FollowerReport extends FollowerStatus {
  /** Age of the oldest change it has not acknowledged, milliseconds, at least; 0: it has all. */
  readonly lagMs: number
}

/** A link as the follower sees it. */
export interface LinkReport extends LinkStatus {
  /**
   * Age of the oldest change of the leader not applied here, milliseconds, at least; 0: none is
   * known. While offline: since the leader was last heard. Undefined before it ever was.
   */
  readonly lagMs: number | undefined
  readonly traffic: TrafficReport
}

export interface MonitorOptions {
  readonly time: TimeSource
  readonly clock: HybridClock
  readonly limits: ClusterLimits
  readonly logger: Logger
  /** Seq of this node's last change, at the start. */
  readonly head: number
  readonly statusOf: (leader: string) => LinkStatus | undefined
}

interface LinkMeter {
  readonly traffic: Traffic
  /** When the leader's log was heard to have reached its places. */
  readonly heads: SeqTimes
  heardNs: bigint | undefined
}

export class Monitor {
  readonly #options: MonitorOptions
  readonly #refusals: Refusals
  readonly #guard: StreamGuard
  readonly #own: SeqTimes = new SeqTimes()
  /** By leader; the configuration bounds them. */
  readonly #links = new Map<string, LinkMeter>()

  constructor(options: MonitorOptions) {
    this.#options = options
    const { time, limits, logger } = options
    this.#refusals = new Refusals(time)
    const refusals = this.#refusals
    this.#guard = new StreamGuard({ time, limits, logger: onceAMinute(logger, time), refusals })
    this.committed(options.head)
  }

  /** This node's log has reached `seq`. */
  committed(seq: number): void {
    this.#own.note(seq, this.#options.time.monotonicNs())
  }

  /** Admits a follower's stream; see `StreamGuard`. */
  accept(socket: MessageSocket, address: string, serve: ServeStream): SocketHandlers {
    return this.#guard.accept(socket, address, serve)
  }

  /** Counts a peer that was turned away before it had a stream. */
  refused(...refusal: Parameters<Refusals['add']>): void {
    this.#refusals.add(...refusal)
  }

  /** The transport for the link to `leader`, watched. */
  transportTo(leader: string, transport: Transport): Transport {
    const { time, limits } = this.#options
    const meter: LinkMeter = this.#links.get(leader) ?? {
      traffic: new Traffic(),
      heads: new SeqTimes(),
      heardNs: undefined,
    }
    this.#links.set(leader, meter)
    return watchTransport(transport, {
      traffic: meter.traffic,
      sending: (socket) => {
        if (socket.bufferedBytes <= limits.maxBufferedBytes) return true
        this.#refusals.add('slow_consumer', `${socket.bufferedBytes} bytes wait to be read`, leader)
        socket.terminate()
        return false
      },
      handled: () => {
        meter.heardNs = time.monotonicNs()
        const status = this.#options.statusOf(leader)
        if (status !== undefined) meter.heads.note(status.cursor + status.lagRows, meter.heardNs)
      },
      closing: (code, reason) => {
        const refusal = refusalOfClose(code, reason)
        if (refusal !== undefined) this.#refusals.add(refusal, reason, leader)
      },
    })
  }

  link(status: LinkStatus): LinkReport {
    const meter = this.#links.get(status.url)
    const traffic = meter?.traffic ?? new Traffic()
    return { ...status, lagMs: this.#linkLag(status, meter), traffic: traffic.report() }
  }

  follower(status: FollowerStatus): FollowerReport {
    const lagMs =
      status.lagRows === 0 ? 0 : this.#own.ageMs(status.cursor, this.#options.time.monotonicNs())
    return { ...status, lagMs }
  }

  refusals(): RefusalReport {
    return this.#refusals.report()
  }

  /** Milliseconds added to this node's wall clock to have its leader's. */
  get clockOffsetMs(): number {
    return Number(this.#options.clock.offsetNs / NS_PER_MS)
  }

  #linkLag(
    { state, cursor, lagRows }: LinkStatus,
    meter: LinkMeter | undefined,
  ): number | undefined {
    if (meter?.heardNs === undefined) return undefined
    const nowNs = this.#options.time.monotonicNs()
    if (state === 'offline' || state === 'closed')
      return Number((nowNs - meter.heardNs) / NS_PER_MS)
    return lagRows === 0 ? 0 : meter.heads.ageMs(cursor, nowNs)
  }
}
