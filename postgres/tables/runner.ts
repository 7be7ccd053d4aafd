/**
 * Sends the statements of the table API: tries again while the server is away, and says in the
 * project's codes what the server refused.
 */

import { type ErrorCode, isStateError, StateError } from '../../src/core/errors.ts'
import { backoffDelayMs } from '../../src/core/ports/backoff.ts'
import type { PostgresPool, Rows } from '../connection/connection.ts'
import { isConnectionLost, sqlState } from '../connection/postgres-error.ts'
import { CHECKS } from './checks.ts'
import type { TableStatement } from './query.ts'
import { AHEAD_STATE } from './schema.ts'

/** Most characters of writes that wait for the server or are under way; a single one may have more. */
const MAX_WAITING = 64 * 1024 * 1024

export class TableRunner {
  readonly #pool: PostgresPool
  readonly #retryTimeoutMs: number
  /** Ends each wait between two attempts; undefined once stopped. */
  #waits: Set<() => void> | undefined = new Set()
  #retries = 0
  /** Characters of writes under way. */
  #waiting = 0

  /** @param retryTimeoutMs milliseconds for which a statement is tried again; 0: one attempt */
  constructor(pool: PostgresPool, retryTimeoutMs: number) {
    this.#pool = pool
    this.#retryTimeoutMs = retryTimeoutMs
  }

  /** How often a statement was tried again. */
  get retries(): number {
    return this.#retries
  }

  /** Ends the waits between attempts. */
  stop(): void {
    const waits = this.#waits ?? []
    this.#waits = undefined
    for (const end of waits) end()
  }

  /** Runs what may run twice without harm. */
  read<R extends object>({ text, values }: TableStatement): Promise<Rows<R>> {
    return this.#run(text, values, true)
  }

  /**
   * Runs a write. It is sent once: when the connection breaks before the answer, it rejects with
   * `storage_failed` and may have been done. Rejects with `overloaded` when too much waits.
   */
  async write<R extends object>(text: string, values: readonly unknown[]): Promise<Rows<R>> {
    const size = sizeOf(values)
    if (this.#waiting > 0 && this.#waiting + size > MAX_WAITING) {
      throw new StateError(
        'overloaded',
        `postgres: writes of ${this.#waiting} characters are under way, the limit is ${MAX_WAITING}`,
      )
    }
    this.#waiting += size
    try {
      return await this.#run(text, values, false)
    } finally {
      this.#waiting -= size
    }
  }

  async #run<R extends object>(
    text: string,
    values: readonly unknown[],
    repeatable: boolean,
  ): Promise<Rows<R>> {
    const { time, backoff, random } = this.#pool.options
    const start = time.nowMs()
    for (let attempt = 1; ; attempt++) {
      const progress = { sent: false }
      try {
        return await this.#once<R>(text, values, progress)
      } catch (error) {
        const safe = repeatable || !progress.sent
        const delayMs = backoffDelayMs(attempt, { ...backoff, initialMs: 20 }, random)
        const late = time.nowMs() - start + delayMs > this.#retryTimeoutMs
        if (!safe || late || this.#waits === undefined || !isOutage(error)) {
          throw tableFailure(error)
        }
        this.#retries++
        await this.#pause(delayMs)
      }
    }
  }

  async #once<R extends object>(
    text: string,
    values: readonly unknown[],
    progress: { sent: boolean },
  ): Promise<Rows<R>> {
    const session = await this.#pool.session()
    try {
      progress.sent = true
      return await session.query<R>(text, values)
    } finally {
      session.release()
    }
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        cancel()
        this.#waits?.delete(end)
        resolve()
      }
      const cancel = this.#pool.options.time.after(delayMs, end)
      if (this.#waits === undefined) end()
      else this.#waits.add(end)
    })
  }
}

/** Characters of the texts among these values, and in arrays among them. */
function sizeOf(values: readonly unknown[]): number {
  return values.reduce((sum: number, value) => {
    if (typeof value === 'string') return sum + value.length
    return Array.isArray(value) ? sum + sizeOf(value) : sum
  }, 0)
}

/** Whether the server was out of reach, rather than refusing the statement. */
function isOutage(error: unknown): boolean {
  return isStateError(error, 'storage_failed') && isConnectionLost(error.cause)
}

/** SQLSTATE of what the server refuses, as a code of the project with the server's own words. */
function tableFailure(error: unknown): unknown {
  const state = isStateError(error) ? sqlState(error.cause) : undefined
  const text = isStateError(error) && error.cause instanceof Error ? error.cause.message : ''
  switch (state) {
    case '42P01':
      return new StateError('not_found', `postgres: ${text}`, { cause: error })
    case '23514':
      return new StateError(violationOf(error), `postgres: ${text}`, { cause: error })
    case '22P02':
    case '22P05':
    case '22003':
    case '22021':
    case '54001':
      return new StateError('invalid_json', `postgres: ${text}`, { cause: error })
    case AHEAD_STATE:
      return new StateError('clock_drift', `postgres: ${text}`, { cause: error })
    case '54000':
      return new StateError('too_large', `postgres: ${text}`, { cause: error })
    default:
      return error
  }
}

/** What a violated constraint says of a row: its name ends with `_<check>`. */
function violationOf(error: unknown): ErrorCode {
  const cause = isStateError(error) ? error.cause : undefined
  const named = typeof cause === 'object' && cause !== null && 'constraint' in cause
  const name = named ? String(cause.constraint) : ''
  return CHECKS[name.slice(name.lastIndexOf('_') + 1)] ?? 'invalid_key'
}
