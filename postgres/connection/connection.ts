/**
 * A bounded pool of connections to one PostgreSQL database. Failures are `StateError`s without the
 * password in them; a connection that broke is replaced at the next request.
 */
import type pg from 'pg'
import { clientTextOf, isStateError, StateError } from '../../src/core/errors.ts'
import { backoffDelayMs } from '../../src/core/ports/backoff.ts'
import { DedicatedConnection } from './dedicated.ts'
import { driver } from './driver.ts'
import { type ListenHandlers, PostgresListener } from './listener.ts'
import {
  clientConfig,
  type PostgresOptions,
  type ResolvedPostgresOptions,
  resolvePostgresOptions,
} from './options.ts'
import { atMost, pause } from './pause.ts'
import { isConflict, isWorthRetrying, postgresFailure } from './postgres-error.ts'
import type { Queryable, QueryOptions, Rows } from './query.ts'
import { BorrowedSession, type PostgresSession } from './session.ts'

export type { Queryable, QueryOptions, Rows } from './query.ts'
export type { PostgresSession } from './session.ts'

/** The oldest server that is supported, as `server_version_num`. */
const LEAST_SERVER = 110_000
/** Milliseconds for which `close` waits for connections to end, and for statements on them. */
const CLOSE_TIMEOUT_MS = 5_000
/** How often a transaction that lost against another one is begun again. */
const CONFLICT_ATTEMPTS = 5

export interface TransactionOptions {
  /** Default `read committed`. */
  readonly isolation?: 'read committed' | 'repeatable read' | 'serializable'
  /** Default false. */
  readonly readOnly?: boolean
}

export interface PoolStats {
  readonly total: number
  readonly idle: number
  readonly waiting: number
  /** Requests refused because too many waited. */
  readonly refused: number
}

/** Connections to one database. `open` before use; `close` is final. */
export class PostgresPool implements Queryable {
  readonly options: ResolvedPostgresOptions
  readonly #pool: pg.Pool
  #state: 'new' | 'open' | 'closed' = 'new'
  #opening: Promise<void> | undefined
  #closing: Promise<void> | undefined
  #refused = 0
  readonly #cancelled = new AbortController()
  readonly #listeners = new Set<PostgresListener>()

  /** @throws StateError `invalid_option`. */
  constructor(options: PostgresOptions) {
    this.options = resolvePostgresOptions(options)
    this.#pool = new (driver().Pool)({
      ...clientConfig(this.options),
      max: this.options.maxConnections,
      idleTimeoutMillis: this.options.idleTimeoutMs,
      maxLifetimeSeconds: this.options.maxLifetimeMs / 1000,
    })
    // A connection that breaks while unused is dropped by the pool; the next request makes another.
    this.#pool.on('error', () => undefined)
    // Between the pool's listener and that of a session there is a moment without any, in which the
    // news of a server's end would end this process too.
    this.#pool.on('connect', (client) => client.on('error', () => undefined))
  }

  /** `host:port/database`, for messages. */
  get target(): string {
    return this.options.target
  }

  get stats(): PoolStats {
    const { totalCount: total, idleCount: idle, waitingCount: waiting } = this.#pool
    return { total, idle, waiting, refused: this.#refused }
  }

  /**
   * Reaches the server, trying again with growing delays for `openTimeoutMs`; a refusal that time does
   * not heal (password, unknown database, certificate) ends it at once. Idempotent.
   * @throws StateError `storage_failed`; `format_unsupported` for a server before PostgreSQL 11.
   */
  open(): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(this.#notOpen())
    this.#opening ??= this.#reach().catch((error) => {
      this.#opening = undefined
      throw error
    })
    return this.#opening
  }

  /** Makes an `open` that waits for its next attempt give up, and one under way the last. */
  stopRetrying(): void {
    this.#cancelled.abort()
  }

  /** Ends the listeners, lets running statements finish and closes all connections. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#end()
    return this.#closing
  }

  /** One statement on any connection; a statement that failed with its connection is not repeated. */
  async query<R extends object>(
    text: string,
    values: readonly unknown[] = [],
    options: QueryOptions = {},
  ): Promise<Rows<R>> {
    const session = await this.session()
    try {
      return await session.query<R>(text, values, options)
    } finally {
      session.release()
    }
  }

  /**
   * Runs `work` in a transaction: committed when it resolves, undone when it rejects. When the server
   * undoes it in favour of another transaction, `work` runs again, up to five times in all.
   */
  async transaction<T>(
    work: (transaction: Queryable) => Promise<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#transactionOnce(work, options)
      } catch (error) {
        const again = attempt < CONFLICT_ATTEMPTS && isConflict(causeOf(error))
        if (!again) throw error
        const { backoff, random } = this.options
        await this.#sleep(backoffDelayMs(attempt, { ...backoff, initialMs: 10 }, random))
      }
    }
  }

  /** Borrows a connection. @throws StateError `not_open`, `overloaded`, `storage_failed`. */
  async session(): Promise<PostgresSession> {
    if (this.#state !== 'open') throw this.#notOpen()
    const { maxWaiting, maxConnections } = this.options
    const full = this.#pool.idleCount === 0 && this.#pool.totalCount >= maxConnections
    if (full && this.#pool.waitingCount >= maxWaiting) {
      this.#refused += 1
      throw new StateError(
        'overloaded',
        `postgres: ${this.#pool.waitingCount} requests wait for a connection to ${this.target}, at most ${maxWaiting} may`,
        { clientText: 'postgres: too many requests wait for a connection to the database' },
      )
    }
    return this.#borrow()
  }

  /** Hears notifications of the channels until it is closed, over lost connections. See `PostgresListener`. */
  listen(channels: readonly string[], handlers: ListenHandlers): PostgresListener {
    if (this.#state !== 'open') throw this.#notOpen()
    const listener = new PostgresListener(this.options, channels, handlers)
    this.#listeners.add(listener)
    void listener.closed.then(() => this.#listeners.delete(listener))
    return listener
  }

  /** A connection outside of the pool and its bounds, the caller's until it closes it. */
  dedicated(): Promise<DedicatedConnection> {
    if (this.#state !== 'open') return Promise.reject(this.#notOpen())
    return DedicatedConnection.open(this.options)
  }

  async #borrow(): Promise<PostgresSession> {
    let client: pg.PoolClient
    try {
      client = await this.#pool.connect()
    } catch (error) {
      throw postgresFailure(error, 'connect to', this.target)
    }
    return new BorrowedSession(client, this.target)
  }

  async #transactionOnce<T>(
    work: (transaction: Queryable) => Promise<T>,
    { isolation = 'read committed', readOnly = false }: TransactionOptions,
  ): Promise<T> {
    const session = await this.session()
    let broken = true
    try {
      await session.query(`BEGIN ISOLATION LEVEL ${isolation} ${readOnly ? 'READ ONLY' : ''}`)
      const result = await work(session)
      await session.query('COMMIT')
      broken = false
      return result
    } catch (error) {
      broken = !(await session.query('ROLLBACK').then(
        () => true,
        () => false,
      ))
      throw error
    } finally {
      session.release(broken)
    }
  }

  async #reach(): Promise<void> {
    const { time, openTimeoutMs, backoff, random } = this.options
    const start = time.nowMs()
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#probe()
        return
      } catch (error) {
        const cause = causeOf(error)
        const delayMs = backoffDelayMs(attempt, backoff, random)
        const spent = time.nowMs() - start + delayMs
        const permanent = cause === undefined || !isWorthRetrying(cause)
        if (permanent || spent > openTimeoutMs || this.#cancelled.signal.aborted) {
          throw permanent ? error : gaveUp(error, attempt, openTimeoutMs)
        }
        if (isStateError(error)) this.options.onRetry(error, delayMs)
        await this.#sleep(delayMs)
      }
    }
  }

  async #probe(): Promise<void> {
    const session = await this.#borrow()
    try {
      const { rows } = await session.query<{ version: number }>(
        "SELECT current_setting('server_version_num')::int AS version",
      )
      const version = rows[0]?.version ?? 0
      if (version < LEAST_SERVER) {
        throw new StateError(
          'format_unsupported',
          `postgres: ${this.target} runs version ${Math.floor(version / 10_000)}; at least 11 is needed`,
        )
      }
    } finally {
      session.release()
    }
    if (this.#state === 'new') this.#state = 'open'
  }

  async #end(): Promise<void> {
    this.#state = 'closed'
    this.#cancelled.abort()
    await this.#opening?.catch(() => undefined)
    await Promise.all([...this.#listeners].map((listener) => listener.close()))
    await atMost(this.options.time, CLOSE_TIMEOUT_MS, this.#pool.end())
  }

  /** Ends early when the pool is closed. */
  #sleep(delayMs: number): Promise<void> {
    return pause(this.options.time, delayMs, this.#cancelled.signal)
  }

  #notOpen(): StateError {
    return new StateError('not_open', `postgres: the connection to ${this.target} is not open`, {
      clientText: 'postgres: the connection to the database is not open',
    })
  }
}

function causeOf(error: unknown): unknown {
  return error instanceof StateError ? error.cause : undefined
}

function gaveUp(error: unknown, attempts: number, limitMs: number): StateError {
  const text = error instanceof Error ? error.message : String(error)
  const message = `${text}; gave up after ${attempts} attempts within ${limitMs} ms`
  const clientText = clientTextOf(error)
  return new StateError('storage_failed', message, { cause: error, clientText, isAway: true })
}
