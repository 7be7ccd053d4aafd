/**
 * A bus over Redis or Valkey: plain publish and subscribe, so it needs no memory there and keeps
 * nothing. One connection publishes, one listens. In a Redis Cluster a message reaches all nodes,
 * so either connection may end at any of them.
 */
import type { Redis } from 'ioredis'
import { errorText, StateError } from '../../src/core/errors.ts'
import type { Random } from '../../src/core/ports/time.ts'
import type { Bus, BusHandlers, BusStatus } from '../../src/fanout/bus.ts'
import { RedisConnection } from '../redis/connection.ts'
import { parseRedisUrl } from '../redis/url.ts'

export type { Bus, BusHandlers, BusSide, BusStatus } from '../../src/fanout/bus.ts'

export interface RedisBusOptions {
  /** `redis://`, `rediss://`, `redis+sentinel://` or `redis+cluster://`; see docs/redis.md. */
  readonly url: string
  /** Certificate authorities trusted for TLS, PEM. Default: the usual ones. */
  readonly ca?: string | readonly string[]
  /** First delay before connecting again, milliseconds. Default 100. */
  readonly reconnectInitialMs?: number
  /** Greatest delay before connecting again, milliseconds. Default 5 000. */
  readonly reconnectMaxMs?: number
  /** A server that answers nothing for so long is left, milliseconds. Default 5 000. */
  readonly timeoutMs?: number
  /** The server is asked whether it is there this often, milliseconds. Default 5 000. */
  readonly pingIntervalMs?: number
  /** Bytes that Redis has not taken yet, beyond which nothing more is published. Default 4 MiB. */
  readonly maxWaitingBytes?: number
  /** Jitter of delays. Default `Math.random`. */
  readonly random?: Random
}

/**
 * Makes a bus over Redis; it connects when it is first used.
 * @throws StateError `invalid_option` naming what is wrong; a password is never shown.
 */
export function redisBus(options: RedisBusOptions): Bus {
  return new RedisBus(options)
}

interface Subscription {
  readonly channel: string
  readonly handlers: BusHandlers
  isUp: boolean
}

class RedisBus implements Bus {
  readonly #address: string
  readonly #maxWaitingBytes: number
  readonly #publishing: RedisConnection
  readonly #listening: RedisConnection
  readonly #subscriptions = new Set<Subscription>()
  /** Channels that the present connection was subscribed to while it was made. */
  #joined: ReadonlySet<string> = new Set()
  readonly #counts = { published: 0, dropped: 0, received: 0 }
  #waitingBytes = 0

  constructor(options: RedisBusOptions) {
    const target = parseRedisUrl(options.url)
    this.#address = target.address
    this.#maxWaitingBytes = atLeastOne(
      'maxWaitingBytes',
      options.maxWaitingBytes ?? 4 * 1024 * 1024,
    )
    const connection = {
      target,
      ca: options.ca === undefined ? undefined : [options.ca].flat(),
      random: options.random ?? Math.random,
      reconnectInitialMs: atLeastOne('reconnectInitialMs', options.reconnectInitialMs ?? 100),
      reconnectMaxMs: atLeastOne('reconnectMaxMs', options.reconnectMaxMs ?? 5000),
      timeoutMs: atLeastOne('timeoutMs', options.timeoutMs ?? 5000),
      pingIntervalMs: atLeastOne('pingIntervalMs', options.pingIntervalMs ?? 5000),
    }
    this.#publishing = new RedisConnection(connection, {
      // Connected is not enough: a server that hangs still takes connections.
      prepare: async (redis) => {
        await redis.ping()
      },
      up: () => undefined,
      down: () => undefined,
    })
    this.#listening = new RedisConnection(connection, {
      prepare: (redis) => this.#listen(redis),
      up: (redis) => {
        for (const subscription of this.#subscriptions) {
          if (this.#joined.has(subscription.channel)) this.#raise(subscription, redis)
          else this.#join(redis, subscription)
        }
      },
      down: (reason) => this.#deafen(reason),
    })
  }

  publish(channel: string, text: string): boolean {
    const { redis } = this.#publishing
    const bytes = Buffer.byteLength(text)
    if (redis === undefined || this.#waitingBytes + bytes > this.#maxWaitingBytes) {
      this.#counts.dropped++
      return false
    }
    this.#waitingBytes += bytes
    redis
      .publish(channel, text)
      .then(
        () => this.#counts.published++,
        (error: unknown) => {
          this.#counts.dropped++
          this.#publishing.note(errorText(error))
        },
      )
      .finally(() => {
        this.#waitingBytes -= bytes
      })
    return true
  }

  subscribe(channel: string, handlers: BusHandlers): () => void {
    const subscription: Subscription = { channel, handlers, isUp: false }
    this.#subscriptions.add(subscription)
    const { redis } = this.#listening
    if (redis !== undefined) this.#join(redis, subscription)
    return () => this.#leave(subscription)
  }

  status(): BusStatus {
    return {
      kind: 'redis',
      address: this.#address,
      publishing: this.#publishing.side,
      subscribing: this.#listening.side,
      ...this.#counts,
      waitingBytes: this.#waitingBytes,
    }
  }

  async close(): Promise<void> {
    this.#subscriptions.clear()
    this.#publishing.close()
    this.#listening.close()
  }

  async #listen(redis: Redis): Promise<void> {
    redis.on('message', (channel, text) => this.#message(channel, text))
    const channels = new Set([...this.#subscriptions].map(({ channel }) => channel))
    this.#joined = channels
    if (channels.size > 0) await redis.subscribe(...channels)
    else await redis.ping()
  }

  /** A subscription that came when the connection was up already. */
  #join(redis: Redis, subscription: Subscription): void {
    redis.subscribe(subscription.channel).then(
      () => this.#raise(subscription, redis),
      (error: unknown) => {
        if (this.#listening.redis === redis) this.#listening.drop(errorText(error))
      },
    )
  }

  #raise(subscription: Subscription, redis: Redis): void {
    const isWanted = this.#subscriptions.has(subscription) && this.#listening.redis === redis
    if (!isWanted || subscription.isUp) return
    subscription.isUp = true
    subscription.handlers.up()
  }

  #deafen(reason: string): void {
    for (const subscription of this.#subscriptions) {
      if (!subscription.isUp) continue
      subscription.isUp = false
      subscription.handlers.down(reason)
    }
  }

  #leave(subscription: Subscription): void {
    if (!this.#subscriptions.delete(subscription)) return
    const { channel } = subscription
    if ([...this.#subscriptions].some((other) => other.channel === channel)) return
    // When it fails the connection is lost, and with it the subscription.
    this.#listening.redis?.unsubscribe(channel).catch(() => undefined)
  }

  #message(channel: string, text: string): void {
    for (const subscription of this.#subscriptions) {
      if (subscription.channel !== channel || !subscription.isUp) continue
      this.#counts.received++
      subscription.handlers.message(text)
    }
  }
}

function atLeastOne(name: string, value: number): number {
  if (Number.isFinite(value) && value >= 1) return value
  throw new StateError('invalid_option', `redis: ${name} is ${value}, it must be at least 1`)
}
