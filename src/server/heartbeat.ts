/**
 * Keeps sockets alive and finds dead ones. One sweep serves all of them: a peer is pinged at each
 * interval, and dropped when not one byte came from it for the timeout. Any inbound
 * frame counts, so a peer that talks but forgets to pong is not dropped.
 */
import type { CancelTimer, TimeSource } from '../core/time.ts'
import { NS_PER_MS } from '../core/time.ts'

/** What the heartbeat needs of a connection. */
export interface HeartbeatPeer {
  /** Bytes received since the connection began. */
  readonly bytesRead: number
  ping(): void
  /** Drops the connection at once. */
  terminate(): void
}

export interface HeartbeatOptions {
  readonly time: TimeSource
  /** Milliseconds between two pings to one peer. */
  readonly pingIntervalMs: number
  /** Milliseconds of silence after which a peer is dropped. */
  readonly pongTimeoutMs: number
}

interface Pulse {
  bytesRead: number
  heardNs: bigint
  pingedNs: bigint
}

/** Sweeps per interval: how late a ping can be. */
const SWEEPS = 4

export class Heartbeat {
  readonly #time: TimeSource
  readonly #pingIntervalNs: bigint
  readonly #pongTimeoutNs: bigint
  readonly #sweepMs: number
  readonly #peers = new Map<HeartbeatPeer, Pulse>()
  #cancelSweep: CancelTimer | undefined

  constructor(options: HeartbeatOptions) {
    this.#time = options.time
    this.#pingIntervalNs = BigInt(options.pingIntervalMs) * NS_PER_MS
    this.#pongTimeoutNs = BigInt(options.pongTimeoutMs) * NS_PER_MS
    this.#sweepMs = Math.ceil(Math.min(options.pingIntervalMs, options.pongTimeoutMs) / SWEEPS)
  }

  add(peer: HeartbeatPeer): void {
    const now = this.#time.monotonicNs()
    this.#peers.set(peer, { bytesRead: peer.bytesRead, heardNs: now, pingedNs: now })
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
      if (peer.bytesRead !== pulse.bytesRead) {
        pulse.bytesRead = peer.bytesRead
        pulse.heardNs = now
      }
      if (now - pulse.heardNs >= this.#pongTimeoutNs) {
        this.#peers.delete(peer)
        peer.terminate()
      } else if (now - pulse.pingedNs >= this.#pingIntervalNs) {
        pulse.pingedNs = now
        peer.ping()
      }
    }
    this.#cancelSweep =
      this.#peers.size > 0 ? this.#time.after(this.#sweepMs, () => this.#sweep()) : undefined
  }
}
