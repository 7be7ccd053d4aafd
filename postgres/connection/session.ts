/** Connections borrowed from the pool. */
import type pg from 'pg'
import { StateError } from '../../src/core/errors.ts'
import { isConnectionLost } from './postgres-error.ts'
import { type Queryable, type QueryOptions, type Rows, sendQuery } from './query.ts'

/** One borrowed connection. Every session is given back by exactly one `release`. */
export interface PostgresSession extends Queryable {
  /** Gives the connection back; with `broken` it is closed and not used again. Later calls do nothing. */
  release(broken?: boolean): void
}

/** A client of the pool until it is given back. */
export class BorrowedSession implements PostgresSession {
  readonly #client: pg.PoolClient
  readonly #target: string
  #state: 'borrowed' | 'broken' | 'released' = 'borrowed'

  constructor(client: pg.PoolClient, target: string) {
    this.#client = client
    this.#target = target
    client.on('error', this.#onError)
  }

  async query<R extends object>(
    text: string,
    values: readonly unknown[] = [],
    options: QueryOptions = {},
  ): Promise<Rows<R>> {
    if (this.#state === 'released') {
      throw new StateError('not_open', 'postgres: this session was given back')
    }
    try {
      return await sendQuery<R>(this.#client, this.#target, text, values, options)
    } catch (error) {
      if (isConnectionLost(error)) this.#state = 'broken'
      throw error
    }
  }

  release(broken = false): void {
    if (this.#state === 'released') return
    const drop = broken || this.#state === 'broken'
    this.#state = 'released'
    this.#client.removeListener('error', this.#onError)
    this.#client.release(drop)
  }

  /** Without a listener the driver's news of a broken connection would end the process. */
  readonly #onError = (): void => {
    if (this.#state === 'borrowed') this.#state = 'broken'
  }
}
