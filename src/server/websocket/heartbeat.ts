/**
 * Keeps sockets alive and finds dead ones. One sweep serves all of them: a peer is pinged at each
 * interval, and dropped when not one byte came from it for the timeout, or when it took none of what
 * waits for it. Any inbound frame counts, so a peer that talks but forgets to pong is not dropped.
 */
import type { CancelTimer, TimeSource } from '../../core/ports/time.ts'
import { NS_PER_MS } from '../../core/ports/time.ts'

/** What the heartbeat needs of a connection. */
export interface HeartbeatPeer {
  /** Bytes received since the connection began. */
  readonly bytesRead: number
  /** Bytes that wait to be sent. */
  readonly bufferedBytes: number
  /** A number that changes when the peer takes some of what waits for it. */
  readonly sendProgress: number
  ping(): void
  /** Drops the connection at once. */
  terminate(): void
}

export interface HeartbeatOptions {
  readonly time: TimeSource
  /** Milliseconds between two pings to one peer. */
  readonly pingIntervalMs: number
  /** Milliseconds of silence after which a peer is dropped; a pause of this process is not silence. */
  readonly pongTimeoutMs: number
  /** Milliseconds a peer may take nothing of what waits for it. */
  readonly wsWriteTimeoutMs: number
}

/** How often a peer was dropped, and why. */
export interface HeartbeatCounters {
  /** Not a byte came from it. */
  readonly silent: number
  /** It took nothing of what waited for it. */
  readonly stalled: number
}

interface Pulse {
  bytesRead: number
  sendProgress: number
  /**
   * Milliseconds of sweeps without a byte, and without progress. Counted in sweeps, so that a pause
   * of this process, in which it read nothing, is not held against the peer.
   */
  silentMs: number
  stalledMs: number
  pingedNs: bigint
}

/** Sweeps per interval: how late a ping can be. */
const SWEEPS = 4

export class Heartbeat {
  readonly #time: TimeSource
  readonly #pingIntervalNs: bigint
  readonly #pongTimeoutMs: number
  readonly #writeTimeoutMs: number
  readonly #sweepMs: number
  readonly #peers = new Map<HeartbeatPeer, Pulse>()
  readonly #dropped = { silent: 0, stalled: 0 }
  #cancelSweep: CancelTimer | undefined

  constructor(options: HeartbeatOptions) {
    this.#time = options.time
    this.#pingIntervalNs = BigInt(options.pingIntervalMs) * NS_PER_MS
    this.#pongTimeoutMs = options.pongTimeoutMs
    this.#writeTimeoutMs = options.wsWriteTimeoutMs
    const { pingIntervalMs, pongTimeoutMs, wsWriteTimeoutMs } = options
    this.#sweepMs = Math.ceil(Math.min(pingIntervalMs, pongTimeoutMs, wsWriteTimeoutMs) / SWEEPS)
  }

  /** Peers dropped since this was made. */
  get dropped(): HeartbeatCounters {
    return { ...this.#dropped }
  }

  add(peer: HeartbeatPeer): void {
    const pingedNs = this.#time.monotonicNs()
    // The first sweep finds a byte, whatever it finds: silence before it is not counted.
    const bytesRead = -1
    const { sendProgress } = peer
    this.#peers.set(peer, { bytesRead, sendProgress, silentMs: 0, stalledMs: 0, pingedNs })
    this.#cancelSweep ??= this.#time.after(this.#sweepMs, () => this.#sweep())
  }

  /** Forgets a peer; the last one stops the sweep. */
  remove(peer: HeartbeatPeer): void {
    this.#peers.delete(peer)
    if (this.#peers.size > 0) return
    this.#cancelSweep?.()
    this.#cancelSweep = undefined
  }

  #sweep(): void {
    const now = this.#time.monotonicNs()
    for (const [peer, pulse] of this.#peers) {
      this.#listen(peer, pulse)
      this.#watchProgress(peer, pulse)
      if (pulse.stalledMs >= this.#writeTimeoutMs) {
        this.#drop(peer, 'stalled')
      } else if (pulse.silentMs >= this.#pongTimeoutMs) {
        this.#drop(peer, 'silent')
      } else if (now - pulse.pingedNs >= this.#pingIntervalNs) {
        pulse.pingedNs = now
        peer.ping()
      }
    }
    this.#cancelSweep =
      this.#peers.size > 0 ? this.#time.after(this.#sweepMs, () => this.#sweep()) : undefined
  }

  #listen(peer: HeartbeatPeer, pulse: Pulse): void {
    const { bytesRead } = peer
    pulse.silentMs = bytesRead === pulse.bytesRead ? pulse.silentMs + this.#sweepMs : 0
    pulse.bytesRead = bytesRead
  }

  #watchProgress(peer: HeartbeatPeer, pulse: Pulse): void {
    const { sendProgress } = peer
    const stands = peer.bufferedBytes > 0 && sendProgress === pulse.sendProgress
    pulse.stalledMs = stands ? pulse.stalledMs + this.#sweepMs : 0
    pulse.sendProgress = sendProgress
  }

  #drop(peer: HeartbeatPeer, why: keyof HeartbeatCounters): void {
    this.#dropped[why]++
    this.#peers.delete(peer)
    peer.terminate()
  }
}
