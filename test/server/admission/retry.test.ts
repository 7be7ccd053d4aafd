import { describe, expect, it } from 'vitest'
import { resolveAdmission } from '../../../src/server/admission/options.ts'
import {
  MAX_RETRY_DELAY_MS,
  queueRetry,
  type RetryPace,
  type RetryQueue,
  spreadReturn,
  takeToken,
} from '../../../src/server/admission/retry-queue.ts'
import { parseOpenFiles } from '../../../src/server/process/open-files.ts'
import { SeededRandom } from '../../support/seeded-random.ts'

const SEEDS = Array.from({ length: 20 }, (_, seed) => seed)
const EMPTY: RetryQueue = { length: 0, atNs: 0n }
const ns = (ms: number): bigint => BigInt(Math.round(ms * 1_000_000))

/** Delays of `count` clients that are refused in the same moment. */
function delaysAtOnce(count: number, pace: RetryPace, random: SeededRandom): number[] {
  let queue = EMPTY
  return Array.from({ length: count }, () => {
    const next = queueRetry(queue, pace, 0n, random.next)
    queue = next.queue
    return next.delayMs
  })
}

/** The greatest number of times within any second. */
function mostPerSecond(times: readonly number[]): number {
  const sorted = [...times].sort((a, b) => a - b)
  let most = 0
  for (let first = 0, last = 0; last < sorted.length; last++) {
    while ((sorted[last] ?? 0) - (sorted[first] ?? 0) >= 1000) first++
    most = Math.max(most, last - first + 1)
  }
  return most
}

function insertDescending(times: number[], time: number): void {
  let low = 0
  let high = times.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((times[middle] ?? 0) > time) low = middle + 1
    else high = middle
  }
  times.splice(low, 0, time)
}

describe('the delay of a refused client', () => {
  it.each(SEEDS)('is bounded, whatever comes (seed %i)', (seed) => {
    const random = new SeededRandom(seed)
    const pace = { perSecond: 1 + random.below(5000), minMs: random.below(2000) }
    let queue = EMPTY
    let nowMs = 0
    for (let i = 0; i < 5000; i++) {
      nowMs += random.chance(0.01) ? random.below(100_000) : random.below(3)
      const next = queueRetry(queue, pace, ns(nowMs), random.next)
      queue = next.queue
      expect(next.delayMs).toBeGreaterThanOrEqual(pace.minMs)
      expect(next.delayMs).toBeLessThanOrEqual(MAX_RETRY_DELAY_MS)
      expect(Number.isInteger(next.delayMs)).toBe(true)
    }
    expect(queue.length).toBeLessThanOrEqual((pace.perSecond * MAX_RETRY_DELAY_MS) / 1000)
  })

  it.each(SEEDS)('brings a crowd back at about the rate that is served (seed %i)', (seed) => {
    const random = new SeededRandom(seed)
    const perSecond = 50 + random.below(1000)
    const count = 100 + random.below(20 * perSecond)
    const delays = delaysAtOnce(count, { perSecond, minMs: 100 }, random)
    expect(mostPerSecond(delays)).toBeLessThanOrEqual(1.6 * perSecond + 20)
    expect(Math.max(...delays)).toBeLessThanOrEqual(100 + (count * 1000 * 4) / (perSecond * 3))
  })

  it('is spread over half a minute or more when the crowd is larger than can be called back', () => {
    const random = new SeededRandom(1)
    const delays = delaysAtOnce(100_000, { perSecond: 100, minMs: 1000 }, random).slice(10_000)
    expect(Math.min(...delays)).toBeLessThan(32_000)
    expect(Math.max(...delays)).toBeGreaterThan(58_000)
    expect(mostPerSecond(delays)).toBeLessThan(delays.length / 20)
  })

  it('forgets a crowd whose turn has passed', () => {
    const pace = { perSecond: 100, minMs: 100 }
    const random = new SeededRandom(1)
    let queue = EMPTY
    for (let i = 0; i < 1000; i++) queue = queueRetry(queue, pace, 0n, random.next).queue
    expect(queueRetry(queue, pace, ns(5000), random.next).queue.length).toBeCloseTo(501)
    expect(queueRetry(queue, pace, ns(11_000), random.next).delayMs).toBeLessThan(120)
  })

  it.each(SEEDS)('lets a whole storm in, not much later than the rate allows (seed %i)', (seed) => {
    const random = new SeededRandom(seed)
    const limits = { perSecond: 100 + random.below(900), burst: 1 + random.below(200) }
    const count = 2000 + random.below(3000)
    const arrivals = Array.from({ length: count }, () => random.below(50)).sort((a, b) => b - a)
    let bucket = { tokens: limits.burst, atNs: 0n }
    let queue = EMPTY
    let tries = 0
    let lastMs = 0
    while (arrivals.length > 0) {
      const nowMs = arrivals.pop() ?? 0
      tries++
      const taken = takeToken(bucket, limits, ns(nowMs))
      lastMs = nowMs
      if (taken !== undefined) bucket = taken
      else {
        const next = queueRetry(queue, { ...limits, minMs: 100 }, ns(nowMs), random.next)
        queue = next.queue
        insertDescending(arrivals, nowMs + next.delayMs)
      }
    }
    const least = (count * 1000) / limits.perSecond
    expect(lastMs).toBeLessThan(2 * least + 2000)
    expect(tries).toBeLessThan(4 * count)
  })
})

describe('the return after a close', () => {
  it('is spread evenly over the time that serving all takes', () => {
    const random = new SeededRandom(7)
    const delays = Array.from({ length: 10_000 }, () => spreadReturn(10_000, 2000, random.next))
    expect(Math.max(...delays)).toBeLessThan(5000)
    for (let second = 0; second < 5; second++) {
      const within = delays.filter((delay) => Math.floor(delay / 1000) === second).length
      expect(Math.abs(within - 2000)).toBeLessThan(300)
    }
    expect(spreadReturn(10_000_000, 1, () => 0.999)).toBeLessThan(MAX_RETRY_DELAY_MS)
    expect(spreadReturn(0, 2000, random.next)).toBe(0)
  })
})

describe('a bucket of tokens', () => {
  it('gives its burst, then one for each part of a second, and never more than its burst', () => {
    const limits = { perSecond: 10, burst: 2 }
    let bucket = { tokens: 2, atNs: 0n }
    const take = (ms: number): boolean => {
      const taken = takeToken(bucket, limits, ns(ms))
      bucket = taken ?? bucket
      return taken !== undefined
    }
    expect([take(0), take(0), take(0), take(99)]).toEqual([true, true, false, false])
    expect([take(100), take(150), take(200)]).toEqual([true, false, true])
    expect([take(60_000), take(60_000), take(60_000)]).toEqual([true, true, false])
  })
})

describe('the default limits', () => {
  it('leave open files to the storage, whatever the system allows', () => {
    expect(resolveAdmission({}, Number.POSITIVE_INFINITY)).toMatchObject({
      maxConnections: 50_000,
      reservedConnections: 1024,
      maxSubscribers: 45_000,
    })
    expect(resolveAdmission({}, 1_048_576).maxConnections).toBe(50_000)
    expect(resolveAdmission({}, 20_000).maxConnections).toBe(20_000 - 1024 - 2048)
    expect(resolveAdmission({}, 1024)).toMatchObject({
      maxConnections: 640,
      reservedConnections: 128,
      maxSubscribers: 576,
    })
    expect(resolveAdmission({}, 2).maxConnections).toBe(2)
  })

  it('give way to what is asked for, and 0 lifts a limit', () => {
    const options = resolveAdmission({ maxConnections: 0, upgradesPerSecond: 0 }, 100)
    expect(options).toMatchObject({ maxConnections: 0, maxSubscribers: 0, upgradesPerSecond: 0 })
    expect(resolveAdmission({ maxConnections: 10, maxSubscribers: 3 }).maxSubscribers).toBe(3)
  })

  it('know the limit in the words of Linux', () => {
    const row = 'Max open files            20000                524288               files     '
    expect(parseOpenFiles(`Limit\nMax processes 1 2 p\n${row}\n`)).toBe(20_000)
    expect(parseOpenFiles(row.replace('20000', 'unlimited'))).toBeUndefined()
    expect(parseOpenFiles('')).toBeUndefined()
  })
})
