/** The clock: each client gets the server's time as decimal nanoseconds, at once and at every tick. */
import type { WebSocket } from 'ws'
import type { CancelTimer, TimeSource } from '../../core/ports/time.ts'

/** Unread bytes beyond which a client misses a tick; a late time is worth nothing. */
const MAX_BUFFERED_BYTES = 1024

export class ClockSocket {
  readonly #clients = new Set<WebSocket>()
  readonly #time: TimeSource
  readonly #tickMs: number
  readonly #now: () => bigint
  #cancelTick: CancelTimer | undefined
  #state: 'ticking' | 'stopped' = 'ticking'

  /** @param now nanoseconds since the Unix epoch, never going back */
  constructor(time: TimeSource, tickMs: number, now: () => bigint) {
    this.#time = time
    this.#tickMs = tickMs
    this.#now = now
  }

  /** Connected clients. */
  get size(): number {
    return this.#clients.size
  }

  add(client: WebSocket): void {
    this.#clients.add(client)
    client.on('close', () => this.#remove(client))
    this.#send(client, this.#frame())
    if (this.#state === 'stopped') return
    this.#cancelTick ??= this.#time.after(this.#tickMs, () => this.#tick())
  }

  /** Sends no more ticks; the connections stay open. Idempotent. */
  stop(): void {
    this.#state = 'stopped'
    this.#cancelTick?.()
    this.#cancelTick = undefined
  }

  #remove(client: WebSocket): void {
    this.#clients.delete(client)
    if (this.#clients.size > 0) return
    this.#cancelTick?.()
    this.#cancelTick = undefined
  }

  #tick(): void {
    const frame = this.#frame()
    for (const client of this.#clients) this.#send(client, frame)
    this.#cancelTick =
      this.#clients.size > 0 ? this.#time.after(this.#tickMs, () => this.#tick()) : undefined
  }

  #frame(): Buffer {
    return Buffer.from(this.#now().toString())
  }

  #send(client: WebSocket, frame: Buffer): void {
    if (client.readyState !== client.OPEN || client.bufferedAmount > MAX_BUFFERED_BYTES) return
    client.send(frame, { binary: true }, () => undefined)
  }
}
