/**
 * One connection to Redis that is made again whenever it is lost: after a delay that grows, with
 * jitter. Commands fail at once while it is down; nothing waits for it to come back. A server that
 * answers nothing is as good as gone.
 */
import { Redis, type RedisOptions } from 'ioredis'
import { errorText } from '../../src/core/errors.ts'
import { backoffDelayMs, DEFAULT_BACKOFF } from '../../src/core/ports/backoff.ts'
import type { Random } from '../../src/core/ports/time.ts'
import type { BusSide } from '../../src/fanout/bus.ts'
import type { RedisHost, RedisTarget } from './url.ts'

export interface ConnectionOptions {
  readonly target: RedisTarget
  /** Certificate authorities, PEM; undefined: the usual ones. */
  readonly ca: readonly string[] | undefined
  readonly random: Random
  readonly reconnectInitialMs: number
  readonly reconnectMaxMs: number
  /** A server that does not answer for so long is left, milliseconds. */
  readonly timeoutMs: number
  /** The server is asked whether it is there this often, milliseconds. */
  readonly pingIntervalMs: number
}

/** What a connection tells its owner. */
export interface ConnectionListener {
  /** Makes a new connection fit for use; it is up when this has succeeded. */
  readonly prepare: (redis: Redis) => Promise<void>
  readonly up: (redis: Redis) => void
  readonly down: (reason: string) => void
}

export class RedisConnection {
  readonly #options: ConnectionOptions
  readonly #listener: ConnectionListener
  #state: BusSide = { state: 'idle', sinceMs: Date.now(), lastError: undefined }
  #redis: Redis | undefined
  /** Attempts since it was up last. */
  #attempts = 0
  /** Counts connections: which of the hosts is tried next. */
  #made = 0
  #retry: NodeJS.Timeout | undefined
  #ping: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: ConnectionOptions, listener: ConnectionListener) {
    this.#options = options
    this.#listener = listener
  }

  get side(): BusSide {
    return this.#state
  }

  /** The connection while it is up. Makes the first one when it was not used yet. */
  get redis(): Redis | undefined {
    if (this.#state.state === 'up') return this.#redis
    if (this.#state.state === 'idle') this.start()
    return undefined
  }

  /** Connects, unless it was told to before. */
  start(): void {
    if (this.#state.state !== 'idle' || this.#isClosed) return
    this.#become('down')
    this.#connect()
  }

  /** Gives a connection that is of no use any more up; another one is made. */
  drop(reason: string): void {
    if (this.#redis !== undefined) this.#lost(this.#redis, reason)
  }

  /** Notes what a connection that is up has refused. */
  note(error: string): void {
    this.#become(this.#state.state, error)
  }

  /** Idempotent. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#retry)
    clearTimeout(this.#ping)
    const redis = this.#redis
    this.#redis = undefined
    if (this.#state.state === 'up') this.#become('down')
    redis?.disconnect()
  }

  #connect(): void {
    const { timeoutMs } = this.#options
    const redis = new Redis(redisOptions(this.#options, this.#made++))
    this.#redis = redis
    let cause: string | undefined
    // Without a listener ioredis would print it.
    redis.on('error', (error: unknown) => {
      cause = errorText(error)
    })
    redis.on('end', () => this.#lost(redis, cause ?? 'the connection was closed'))
    const ready = redis.connect().then(() => this.#listener.prepare(redis))
    within(ready, timeoutMs).then(
      () => this.#up(redis),
      (error: unknown) => this.#lost(redis, cause ?? errorText(error)),
    )
  }

  #up(redis: Redis): void {
    if (this.#redis !== redis) return
    this.#attempts = 0
    this.#become('up')
    this.#planPing(redis)
    this.#listener.up(redis)
  }

  #lost(redis: Redis, reason: string): void {
    if (this.#redis !== redis) return
    this.#redis = undefined
    clearTimeout(this.#ping)
    redis.disconnect()
    if (this.#isClosed) return
    const wasUp = this.#state.state === 'up'
    this.#become('down', reason)
    const { reconnectInitialMs: initialMs, reconnectMaxMs: maxMs, random } = this.#options
    const backoff = { ...DEFAULT_BACKOFF, initialMs, maxMs }
    const delayMs = backoffDelayMs(++this.#attempts, backoff, random)
    this.#retry = setTimeout(() => this.#connect(), delayMs)
    // A process that has nothing else to do may end.
    this.#retry.unref()
    if (wasUp) this.#listener.down(reason)
  }

  #planPing(redis: Redis): void {
    const { pingIntervalMs, timeoutMs } = this.#options
    this.#ping = setTimeout(() => {
      within(redis.ping(), timeoutMs).then(
        () => {
          if (this.#redis === redis) this.#planPing(redis)
        },
        (error: unknown) => this.#lost(redis, errorText(error)),
      )
    }, pingIntervalMs)
    this.#ping.unref()
  }

  #become(state: BusSide['state'], lastError: string | undefined = this.#state.lastError): void {
    const { sinceMs, state: before } = this.#state
    this.#state = { state, sinceMs: before === state ? sinceMs : Date.now(), lastError }
  }
}

/** Without a choice of types of replies, of which none is read here. */
type Options = Omit<RedisOptions, 'replyMapping'>

/** @param made connections made before: with several hosts each is tried in turn. */
function redisOptions({ target, ca, timeoutMs }: ConnectionOptions, made: number): Options {
  const { form, hosts, username, password, isSecure } = target
  const tls = isSecure ? { tls: ca === undefined ? {} : { ca: [...ca] } } : {}
  return {
    ...(form === 'sentinel'
      ? sentinelOptions({ ...target, hosts: turned(hosts, made) }, tls.tls)
      : turned(hosts, made)[0]),
    ...tls,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    connectionName: 'ooo',
    lazyConnect: true,
    // What is not connected takes no commands, and what is lost is made again here, not there.
    enableOfflineQueue: false,
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
    retryStrategy: () => null,
    maxRetriesPerRequest: null,
    // Asking for INFO needs a right that listening and publishing do not.
    enableReadyCheck: false,
    connectTimeout: timeoutMs,
    protocol: 2,
  }
}

/** Beginning with another one each time, so that one that hangs does not hide the others. */
function turned(hosts: readonly RedisHost[], by: number): RedisHost[] {
  const at = by % hosts.length
  return [...hosts.slice(at), ...hosts.slice(0, at)]
}

function sentinelOptions(
  { hosts, master, sentinelUsername, sentinelPassword }: RedisTarget,
  tls: RedisOptions['tls'],
): Options {
  return {
    sentinels: [...hosts],
    sentinelRetryStrategy: () => null,
    ...(master === undefined ? {} : { name: master }),
    ...(sentinelUsername === undefined ? {} : { sentinelUsername }),
    ...(sentinelPassword === undefined ? {} : { sentinelPassword }),
    ...(tls === undefined ? {} : { sentinelTLS: tls, enableTLSForSentinelMode: true }),
  }
}

function within<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
