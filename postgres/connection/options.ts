/** Options of a connection to PostgreSQL: meaning, unit, default and range of each. */
import type pg from 'pg'
import { StateError } from '../../src/core/errors.ts'
import { type BackoffOptions, resolveBackoff } from '../../src/core/ports/backoff.ts'
import type { CancelTimer, Random } from '../../src/core/ports/time.ts'
import { driver } from './driver.ts'

export interface PostgresOptions {
  /**
   * `postgres://user:password@host:port/database`, or a host that is a folder of a Unix socket. TLS by
   * `?sslmode=require` (encrypted, server not checked), `verify-ca` or `verify-full`, with
   * `sslrootcert=FILE`; as for psql.
   */
  readonly url: string
  /** Name that the server shows for these connections. Default `ooo-cluster`. */
  readonly applicationName?: string
  /** Most connections of the pool. Default 10, least 1. */
  readonly maxConnections?: number
  /** Requests that may wait for a connection; one more is refused with `overloaded`. Default 1 000. 0: none waits. */
  readonly maxWaiting?: number
  /** Milliseconds after which an unused connection of the pool is closed. Default 60 000. 0: never. */
  readonly idleTimeoutMs?: number
  /** Milliseconds after which a connection of the pool is replaced. Default 300 000. 0: never. */
  readonly maxLifetimeMs?: number
  /** Milliseconds for one attempt to connect, and for waiting for a connection of the pool. Default 5 000, least 1. */
  readonly connectTimeoutMs?: number
  /** Milliseconds for one statement; the server then cancels it. Default 30 000. 0: no limit. */
  readonly statementTimeoutMs?: number
  /** Milliseconds for which `open` tries to reach the server before it gives up. Default 120 000. 0: one attempt. */
  readonly openTimeoutMs?: number
  /** Delay between attempts to connect. Default from 200 to 5 000 ms, doubling, with jitter. */
  readonly backoff?: Partial<BackoffOptions>
  /** Called when `open` did not reach the server and tries again in `delayMs` milliseconds. Must not throw. Default: nobody is told. */
  readonly onRetry?: (error: StateError, delayMs: number) => void
  /** Jitter of delays. Default `Math.random`. */
  readonly random?: Random
  /** Clock and timers. Default: the platform's clock and timers. */
  readonly time?: PostgresTime
}

/** What of time a connection needs. */
export interface PostgresTime {
  /** Milliseconds since an arbitrary point; never goes back. */
  nowMs(): number
  after(delayMs: number, callback: () => void): CancelTimer
}

/** The complete options; `url` is for the driver only and must not get into a message. */
export interface ResolvedPostgresOptions extends Required<Omit<PostgresOptions, 'backoff'>> {
  readonly backoff: BackoffOptions
  /** The server and database, without user or password: for messages. */
  readonly target: string
}

const ignore = (): void => undefined

const SYSTEM_TIME: PostgresTime = Object.freeze({
  nowMs: () => performance.now(),
  after: (delayMs: number, callback: () => void) => {
    const timer = setTimeout(callback, delayMs)
    return () => clearTimeout(timer)
  },
})

/**
 * Fills in defaults and checks ranges.
 * @throws StateError `invalid_option` naming the option, its value and the range; a bad URL is never shown.
 */
export function resolvePostgresOptions(options: PostgresOptions): ResolvedPostgresOptions {
  return Object.freeze({
    url: driverUrl(options.url),
    target: postgresTarget(options.url),
    applicationName: options.applicationName ?? 'ooo-cluster',
    maxConnections: count('maxConnections', options.maxConnections ?? 10, 1),
    maxWaiting: count('maxWaiting', options.maxWaiting ?? 1_000, 0),
    idleTimeoutMs: count('idleTimeoutMs', options.idleTimeoutMs ?? 60_000, 0),
    maxLifetimeMs: count('maxLifetimeMs', options.maxLifetimeMs ?? 300_000, 0),
    connectTimeoutMs: count('connectTimeoutMs', options.connectTimeoutMs ?? 5_000, 1),
    statementTimeoutMs: count('statementTimeoutMs', options.statementTimeoutMs ?? 30_000, 0),
    openTimeoutMs: count('openTimeoutMs', options.openTimeoutMs ?? 120_000, 0),
    backoff: resolveBackoff({ initialMs: 200, maxMs: 5_000, ...options.backoff }),
    onRetry: options.onRetry ?? ignore,
    random: options.random ?? Math.random,
    time: options.time ?? SYSTEM_TIME,
  })
}

/** What a connection is made of for the driver. */
export function clientConfig(options: ResolvedPostgresOptions): pg.ClientConfig {
  return {
    connectionString: options.url,
    application_name: options.applicationName,
    connectionTimeoutMillis: options.connectTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    ...(options.statementTimeoutMs === 0
      ? {}
      : {
          statement_timeout: options.statementTimeoutMs,
          // A server that does not even answer the cancellation is taken for gone.
          query_timeout: options.statementTimeoutMs + 5_000,
        }),
  }
}

/**
 * `host:port/database` of a URL, for messages: neither user nor password.
 * @throws StateError `invalid_option` when it is no URL of PostgreSQL.
 */
export function postgresTarget(url: string): string {
  if (!/^postgres(ql)?:\/\//.test(url)) throw badUrl()
  try {
    const client = new (driver().Client)({ connectionString: driverUrl(url) })
    const host = client.host.includes(':') ? `[${client.host}]` : client.host
    return `${host}:${client.port}/${client.database ?? ''}`
  } catch (error) {
    // The cause is left out: the driver's messages may quote the URL.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw new StateError('invalid_option', `postgres: url: ${error.message}`)
    }
    throw badUrl()
  }
}

/** The driver reads `sslmode` as psql does only when told to. */
function driverUrl(url: string): string {
  if (!/[?&]sslmode=/.test(url) || url.includes('uselibpqcompat=')) return url
  return `${url}&uselibpqcompat=true`
}

function badUrl(): StateError {
  return new StateError(
    'invalid_option',
    'postgres: url is not of the form postgres://user:password@host:port/database',
  )
}

function count(name: string, value: number, least: number): number {
  if (Number.isSafeInteger(value) && value >= least) return value
  throw new StateError(
    'invalid_option',
    `postgres: ${name} is ${value}; it must be a whole number from ${least}`,
  )
}
