/**
 * Wake-up calls: one LISTEN connection for all watches of a pool. A call says only "look": what
 * changed is read by cursor, so a lost or doubled call does no harm.
 */
import type { PostgresPool } from '../connection/connection.ts'
import type { PostgresListener } from '../connection/listener.ts'
import { TABLE_CHANNEL } from './schema.ts'

/** Hears of changes of one table. `connected` is false when the connection broke. */
export type Wake = (connected: boolean) => void

export class TableSignals {
  readonly #pool: PostgresPool
  readonly #wakes = new Map<string, Set<Wake>>()
  #listener: PostgresListener | undefined

  constructor(pool: PostgresPool) {
    this.#pool = pool
  }

  /** Calls `wake` when the table may have changed; returns what ends it. */
  hear(table: string, wake: Wake): () => void {
    this.#listener ??= this.#pool.listen([TABLE_CHANNEL], {
      onNotification: (_channel, payload) => {
        for (const each of this.#wakes.get(payload.split(' ', 1)[0] ?? '') ?? []) each(true)
      },
      onListening: () => this.#wakeAll(true),
      onLost: () => this.#wakeAll(false),
    })
    const wakes = this.#wakes.get(table) ?? new Set()
    this.#wakes.set(table, wakes.add(wake))
    return () => {
      wakes.delete(wake)
      if (wakes.size === 0 && this.#wakes.get(table) === wakes) this.#wakes.delete(table)
    }
  }

  /** How often LISTEN was set up again after a loss. */
  get reconnects(): number {
    return this.#listener?.reconnects ?? 0
  }

  /** Wakes everyone once more and ends the connection. */
  async close(): Promise<void> {
    this.#wakeAll(true)
    await this.#listener?.close()
  }

  #wakeAll(connected: boolean): void {
    for (const wakes of [...this.#wakes.values()]) for (const wake of [...wakes]) wake(connected)
  }
}
