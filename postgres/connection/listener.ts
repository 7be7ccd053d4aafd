/**
 * LISTEN on a connection of its own, which is made again whenever it breaks. Notifications are only
 * delivered while it stands, so after each (re)connect the listener says that some may be missing.
 */
import type pg from 'pg'
import { StateError } from '../../src/core/errors.ts'
import { backoffDelayMs } from '../../src/core/ports/backoff.ts'
import { driver } from './driver.ts'
import { clientConfig, type ResolvedPostgresOptions } from './options.ts'
import { pause } from './pause.ts'
import { postgresFailure } from './postgres-error.ts'

/** How often an otherwise silent connection is asked whether it still stands. */
const CHECK_INTERVAL_MS = 15_000
/** The server cuts names longer than this, silently. */
const MAX_CHANNEL_BYTES = 63

/** Called in order, one at a time; they must not throw. Nothing is queued: be quick, or queue yourself. */
export interface ListenHandlers {
  /** One notification; the payload is below 8000 bytes. */
  onNotification(channel: string, payload: string): void
  /** LISTEN stands, for the first time or again: whatever was notified before now may have been missed. */
  onListening(): void
  /** The connection broke or could not be made; another attempt follows. */
  onLost?(error: StateError): void
}

/** Ends with `close` or with the pool it belongs to. */
export class PostgresListener {
  /** Resolves once it is closed. */
  readonly closed: Promise<void>
  readonly #options: ResolvedPostgresOptions
  readonly #channels: readonly string[]
  readonly #handlers: ListenHandlers
  readonly #closing = new AbortController()
  #attempt = 0
  #reconnects = 0

  /** @throws StateError `invalid_option` for a channel's name that PostgreSQL would cut. */
  constructor(
    options: ResolvedPostgresOptions,
    channels: readonly string[],
    handlers: ListenHandlers,
  ) {
    for (const channel of channels) assertChannel(channel)
    this.#options = options
    this.#channels = [...channels]
    this.#handlers = handlers
    this.closed = this.#run()
  }

  /** How often LISTEN was set up again after a loss. */
  get reconnects(): number {
    return this.#reconnects
  }

  /** Idempotent; no handler is called after it resolved. */
  close(): Promise<void> {
    this.#closing.abort()
    return this.closed
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing
    for (let first = true; !signal.aborted; first = false) {
      const error = await this.#listenOnce(first)
      if (signal.aborted) return
      this.#handlers.onLost?.(postgresFailure(error, 'listen on', this.#options.target))
      this.#attempt += 1
      const { backoff, random } = this.#options
      await this.#pause(backoffDelayMs(this.#attempt, backoff, random))
    }
  }

  /** Connects, listens, and resolves with the reason once the connection is lost or `close` is called. */
  async #listenOnce(first: boolean): Promise<unknown> {
    const client = new (driver().Client)(clientConfig(this.#options))
    let unlisten = (): void => undefined
    const lost = new Promise<unknown>((resolve) => {
      client.on('error', resolve)
      client.on('end', () => resolve(new Error('connection ended')))
      const { signal } = this.#closing
      signal.addEventListener('abort', resolve, { once: true })
      unlisten = () => signal.removeEventListener('abort', resolve)
    })
    client.on('notification', ({ channel, payload }) => {
      if (!this.#closing.signal.aborted) this.#handlers.onNotification(channel, payload ?? '')
    })
    try {
      await Promise.race([client.connect(), lost])
      for (const channel of this.#channels) {
        await client.query(`LISTEN ${driver().escapeIdentifier(channel)}`)
      }
      if (this.#closing.signal.aborted) return undefined
      this.#attempt = 0
      if (!first) this.#reconnects += 1
      this.#handlers.onListening()
      return await this.#watch(client, lost)
    } catch (error) {
      return error
    } finally {
      unlisten()
      await client.end().catch(() => undefined)
    }
  }

  /** A connection cut without a word looks like a silent one until it is asked. */
  async #watch(client: pg.Client, lost: Promise<unknown>): Promise<unknown> {
    const nothing = Symbol('nothing')
    for (;;) {
      const news = await Promise.race([lost, this.#pause(CHECK_INTERVAL_MS).then(() => nothing)])
      if (news !== nothing || this.#closing.signal.aborted) return news
      await Promise.race([client.query('SELECT 1'), lost])
    }
  }

  #pause(delayMs: number): Promise<void> {
    return pause(this.#options.time, delayMs, this.#closing.signal)
  }
}

function assertChannel(channel: string): void {
  const bytes = new TextEncoder().encode(channel).length
  if (bytes > 0 && bytes <= MAX_CHANNEL_BYTES && !channel.includes('\u0000')) return
  throw new StateError(
    'invalid_option',
    `postgres: a channel's name has 1 to ${MAX_CHANNEL_BYTES} bytes, this one has ${bytes}`,
  )
}
