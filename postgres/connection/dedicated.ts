/** One connection with one owner, for what lives in a session: locks, settings, long transactions. */
import type pg from 'pg'
import { StateError } from '../../src/core/errors.ts'
import { driver } from './driver.ts'
import { clientConfig, type ResolvedPostgresOptions } from './options.ts'
import { atMost } from './pause.ts'
import { postgresFailure } from './postgres-error.ts'
import { type Queryable, type QueryOptions, type Rows, sendQuery } from './query.ts'

/** Settings of a session under which the server notices within half a minute that its peer is gone. */
const NOTICE_DEAD_PEER =
  "SELECT set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '3', false)"

/** Milliseconds for which `close` waits for the server to end the session. */
const CLOSE_TIMEOUT_MS = 2_000

/** Statements run one after another. It does not reconnect: once lost, it stays so. */
export class DedicatedConnection implements Queryable {
  /** Resolves with the reason when the connection ends, by `close` too. */
  readonly lost: Promise<StateError>
  readonly #client: pg.Client
  readonly #options: ResolvedPostgresOptions
  #last: Promise<unknown> = Promise.resolve()
  #ended: StateError | undefined

  /** Connects; one attempt. @throws StateError `storage_failed`. */
  static async open(options: ResolvedPostgresOptions): Promise<DedicatedConnection> {
    const connection = new DedicatedConnection(options)
    try {
      await connection.#client.connect()
      await connection.query(NOTICE_DEAD_PEER)
    } catch (error) {
      await connection.close()
      throw postgresFailure(error, 'connect to', options.target)
    }
    return connection
  }

  private constructor(options: ResolvedPostgresOptions) {
    this.#options = options
    this.#client = new (driver().Client)(clientConfig(options))
    this.lost = new Promise((resolve) => {
      const end = (error: unknown): void => {
        this.#ended ??= postgresFailure(error, 'keep the connection to', options.target)
        resolve(this.#ended)
      }
      this.#client.on('error', end)
      this.#client.on('end', () => end(new Error('the connection ended')))
    })
  }

  /** Why the connection ended; undefined while it stands. */
  get ended(): StateError | undefined {
    return this.#ended
  }

  query<R extends object>(
    text: string,
    values: readonly unknown[] = [],
    options: QueryOptions = {},
  ): Promise<Rows<R>> {
    const result = this.#last.then(() => {
      if (this.#ended !== undefined) throw this.#ended
      return sendQuery<R>(this.#client, this.#options.target, text, values, options)
    })
    this.#last = result.catch(() => undefined)
    return result
  }

  /** Ends the session, running statement included; does not wait long for a server that is silent. Idempotent. */
  async close(): Promise<void> {
    this.#ended ??= new StateError(
      'not_open',
      `postgres: connection to ${this.#options.target} was closed`,
      { clientText: 'postgres: the connection to the database was closed', isAway: true },
    )
    await atMost(this.#options.time, CLOSE_TIMEOUT_MS, this.#client.end())
  }
}
