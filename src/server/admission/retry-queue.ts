/**
 * When a refused client is to come back. Those that were refused stand in an imagined queue that is served
 * at a fixed rate: each is told about the time of its turn, so that as many come back per second as can be
 * served, whatever their number. Pure: time and randomness are passed in.
 */
import type { Random } from '../../core/ports/time.ts'
import { NS_PER_SECOND } from '../../core/ports/time.ts'

/** Longest delay asked for, milliseconds. */
export const MAX_RETRY_DELAY_MS = 60_000

/** Clients that were told to wait and whose turn has not come. */
export interface RetryQueue {
  readonly length: number
  /** Monotonic nanoseconds of the last change. */
  readonly atNs: bigint
}

export interface RetryPace {
  /** Clients that may come back per second; more than 0. */
  readonly perSecond: number
  /** Least delay, milliseconds, whatever the length of the queue. */
  readonly minMs: number
}

/** The queue with one more client, and the milliseconds that this one is to wait. */
export function queueRetry(
  queue: RetryQueue,
  pace: RetryPace,
  nowNs: bigint,
  random: Random,
): { readonly queue: RetryQueue; readonly delayMs: number } {
  // What is longer than the longest delay can not be told apart any more.
  const longest = (pace.perSecond * MAX_RETRY_DELAY_MS) / 1000
  const served = secondsBetween(queue.atNs, nowNs) * pace.perSecond
  const length = Math.min(Math.max(0, queue.length - served) + 1, longest)
  return { queue: { length, atNs: nowNs }, delayMs: delayOfTurn(length, pace, random) }
}

/**
 * Milliseconds for one of `count` clients that all lose their connection at the same time: uniform over the
 * time that serving all of them takes, at most `MAX_RETRY_DELAY_MS`.
 */
export function spreadReturn(count: number, perSecond: number, random: Random): number {
  return Math.floor(random() * Math.min(MAX_RETRY_DELAY_MS, (count * 1000) / perSecond))
}

/** Uniform from two to four thirds of the time to the turn; where that passes the bound, from half of it on. */
function delayOfTurn(length: number, { perSecond, minMs }: RetryPace, random: Random): number {
  const longest = Math.min((length * 1000 * 4) / (perSecond * 3), MAX_RETRY_DELAY_MS - minMs)
  return Math.floor(minMs + longest * (0.5 + random() / 2))
}

/** Handshakes that may be served now. */
export interface TokenBucket {
  readonly tokens: number
  /** Monotonic nanoseconds of the last change. */
  readonly atNs: bigint
}

/**
 * Takes one token of a bucket that holds at most `burst` and gets `perSecond` more each second.
 * @returns the bucket afterwards; undefined when it holds no whole token
 */
export function takeToken(
  bucket: TokenBucket,
  { perSecond, burst }: { readonly perSecond: number; readonly burst: number },
  nowNs: bigint,
): TokenBucket | undefined {
  const tokens = Math.min(burst, bucket.tokens + secondsBetween(bucket.atNs, nowNs) * perSecond)
  return tokens < 1 ? undefined : { tokens: tokens - 1, atNs: nowNs }
}

function secondsBetween(fromNs: bigint, toNs: bigint): number {
  return Math.max(0, Number(toNs - fromNs) / Number(NS_PER_SECOND))
}
