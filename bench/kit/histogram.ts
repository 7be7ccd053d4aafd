/**
 * Durations counted in buckets whose width grows with the value, after Gil Tene's HdrHistogram
 * (hdrhistogram.org): a percentile is at most 0.8 % above the true value, whatever the range. Unlike
 * the one of `node:perf_hooks` it can be sent between processes and added up.
 */

/** Buckets per doubling of the value. */
const STEPS = 128
const STEP_BITS = 7
const BUCKETS = STEPS * 26

/** A histogram as it travels and is stored. */
export interface HistogramData {
  /** Bucket and count, ascending. */
  readonly counts: readonly (readonly [bucket: number, count: number])[]
  /** Microseconds. */
  readonly max: number
}

/** The numbers that tables show, in microseconds. */
export interface Percentiles {
  readonly count: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly max: number
}

/** Durations in whole microseconds, up to an hour; longer ones count as an hour. */
export class Histogram {
  readonly #counts = new Float64Array(BUCKETS)
  #count = 0
  #max = 0

  static from(...parts: readonly HistogramData[]): Histogram {
    const histogram = new Histogram()
    for (const part of parts) histogram.add(part)
    return histogram
  }

  get count(): number {
    return this.#count
  }

  /** Counts one duration; a negative one counts as 0. */
  record(microseconds: number): void {
    const value = Math.min(3_600_000_000, Math.max(0, Math.round(microseconds)))
    const bucket = bucketOf(value)
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1
    this.#count++
    if (value > this.#max) this.#max = value
  }

  add({ counts, max }: HistogramData): void {
    for (const [bucket, count] of counts) {
      this.#counts[bucket] = (this.#counts[bucket] ?? 0) + count
      this.#count += count
    }
    if (max > this.#max) this.#max = max
  }

  /** Microseconds that this share (0 to 1) of the durations does not exceed; NaN when there is none. */
  percentile(share: number): number {
    if (this.#count === 0) return Number.NaN
    let left = Math.max(1, Math.ceil(this.#count * share))
    for (const [bucket, count] of this.#counts.entries()) {
      left -= count
      if (left <= 0) return Math.min(this.#max, upperEdge(bucket))
    }
    return this.#max
  }

  percentiles(): Percentiles {
    const [p50, p90, p99] = [0.5, 0.9, 0.99].map((share) => this.percentile(share))
    const none = Number.NaN
    const max = this.#count === 0 ? none : this.#max
    return { count: this.#count, p50: p50 ?? none, p90: p90 ?? none, p99: p99 ?? none, max }
  }

  toJSON(): HistogramData {
    const counts: [number, number][] = []
    for (const [bucket, count] of this.#counts.entries()) {
      if (count > 0) counts.push([bucket, count])
    }
    return { counts, max: this.#max }
  }
}

/** The greatest value of a bucket, in microseconds. */
export function upperEdge(bucket: number): number {
  if (bucket < 2 * STEPS) return bucket
  const shift = (bucket >> STEP_BITS) - 1
  return (bucket - shift * STEPS + 1) * 2 ** shift - 1
}

function bucketOf(value: number): number {
  if (value < 2 * STEPS) return value
  const shift = 31 - Math.clz32(value) - STEP_BITS
  return shift * STEPS + (value >>> shift)
}
