/** Connections that are kept for another request, and when each was last used. */
import type { Duplex } from 'node:stream'
import { NS_PER_MS, type TimeSource } from '../core/ports/time.ts'

export class KeptConnections {
  readonly #time: TimeSource
  /** When the last request began or its answer was over, monotonic nanoseconds. */
  readonly #usedNs = new Map<Duplex, bigint>()
  #hear: (() => void) | undefined

  constructor(time: TimeSource) {
    this.#time = time
  }

  /** A request begins on this connection, or its answer is over, which may have ended the connection. */
  used(connection: Duplex): void {
    if (connection.destroyed || !connection.writable) return
    if (!this.#usedNs.delete(connection)) {
      connection.once('close', () => this.ended(connection))
    }
    this.#usedNs.set(connection, this.#time.monotonicNs())
  }

  /** The connection is no longer there for requests. */
  ended(connection: Duplex): void {
    if (this.#usedNs.delete(connection)) this.#hear?.()
  }

  /** Resolves when those used within the last `withinMs` have ended, and after as long in any case. */
  whenUsedHaveEnded(withinMs: number): Promise<void> {
    const sinceNs = this.#time.monotonicNs() - BigInt(withinMs) * NS_PER_MS
    const isUsed = (): boolean => [...this.#usedNs.values()].some((usedNs) => usedNs >= sinceNs)
    if (!isUsed()) return Promise.resolve()
    return new Promise((resolve) => {
      const done = (): void => {
        cancel()
        this.#hear = undefined
        resolve()
      }
      const cancel = this.#time.after(withinMs, done)
      this.#hear = () => {
        if (!isUsed()) done()
      }
    })
  }
}
