/** Runs the scripts of a lease on a Redis server: nothing is queued, sent twice, or waited for long. */
import { Cluster } from 'ioredis'
import { errorText, StateError, withoutAddresses } from '../../../src/core/errors.ts'
import type { Random } from '../../../src/core/ports/time.ts'
import { RedisConnection } from '../../redis/connection.ts'
import { parseRedisUrl, type RedisTarget } from '../../redis/url.ts'
import type { RedisScripts } from './redis-lease.ts'

export interface RedisScriptsOptions {
  /** Of any form that `cluster/redis/url.ts` tells; may hold a password, which is never shown. */
  readonly url: string
  /** Certificate authorities, PEM. undefined: the usual ones. */
  readonly ca: readonly string[] | undefined
  /** A server that does not answer for so long is left, milliseconds. */
  readonly timeoutMs: number
  readonly random: Random
}

/** First and greatest delay before the next dial, milliseconds. */
const RECONNECT_MS = 50
const MAX_RECONNECT_MS = 500

/**
 * Connects at once, and again whenever the connection is lost.
 * @throws StateError `invalid_option` saying what is wrong with the URL.
 */
export function redisScripts(options: RedisScriptsOptions): RedisScripts {
  const target = parseRedisUrl(options.url)
  return target.form === 'cluster'
    ? clusterScripts(target, options)
    : serverScripts(target, options)
}

function serverScripts(
  target: RedisTarget,
  { ca, timeoutMs, random }: RedisScriptsOptions,
): RedisScripts {
  const first = firstTime(timeoutMs)
  const connection = new RedisConnection(
    {
      ...{ target, ca, timeoutMs, random },
      pingIntervalMs: timeoutMs,
      reconnectInitialMs: RECONNECT_MS,
      reconnectMaxMs: MAX_RECONNECT_MS,
    },
    { prepare: async () => undefined, up: first.come, down: () => undefined },
  )
  connection.start()
  return {
    run: async (script, keys, args) => {
      await first.passed
      const { redis, side } = connection
      if (redis === undefined) {
        throw unreachable(target, side.lastError ?? 'not connected yet')
      }
      return redis.eval(script, keys.length, ...keys, ...args)
    },
    close: () => connection.close(),
  }
}

/** A script runs at the node that has its keys, so the client has to know them all. */
function clusterScripts(
  { hosts, address, username, password, isSecure }: RedisTarget,
  { ca, timeoutMs }: RedisScriptsOptions,
): RedisScripts {
  const cluster = new Cluster([...hosts], {
    enableOfflineQueue: false,
    clusterRetryStrategy: (attempt) =>
      Math.min(RECONNECT_MS * 2 ** (attempt - 1), MAX_RECONNECT_MS),
    slotsRefreshTimeout: timeoutMs,
    redisOptions: {
      commandTimeout: timeoutMs,
      connectTimeout: timeoutMs,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      ...(isSecure ? { tls: ca === undefined ? {} : { ca: [...ca] } } : {}),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
    },
  })
  // Questions tell that there is no connection; without a listener the client would print it.
  cluster.on('error', () => undefined)
  const first = firstTime(timeoutMs)
  cluster.once('ready', first.come)
  return {
    run: async (script, keys, args) => {
      await first.passed
      try {
        return await cluster.eval(script, keys.length, ...keys, ...args)
      } catch (error) {
        throw unreachable({ address }, errorText(error), error)
      }
    },
    close: () => cluster.disconnect(),
  }
}

function unreachable(
  { address }: Pick<RedisTarget, 'address'>,
  reason: string,
  cause?: unknown,
): StateError {
  const clientText = `Redis: ${withoutAddresses(reason)}`
  return new StateError('unreachable', `${address}: ${reason}`, { cause, clientText })
}

/** The first question waits for the first connection, for half of its time; later ones wait for none. */
function firstTime(timeoutMs: number): {
  readonly passed: Promise<void>
  readonly come: () => void
} {
  let come = (): void => undefined
  const passed = new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, timeoutMs / 2)
    come = () => {
      clearTimeout(timer)
      resolve()
    }
  })
  return { passed, come: () => come() }
}
