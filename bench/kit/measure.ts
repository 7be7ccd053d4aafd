/**
 * Operations one after the other, or a fixed number at once, each timed from its call: what one costs. It
 * says nothing about waiting under a load that does not wait; `rig.ts` measures that.
 */
/** One line of a result; times in microseconds. */
export interface Measurement {
  readonly what: string
  readonly samples: number
  readonly p50: number
  readonly p99: number
  readonly max: number
  /** Operations per second over the whole measurement. */
  readonly perSecond: number
}

export interface MeasureOptions {
  readonly what: string
  /** Measured operations. */
  readonly samples: number
  /** Operations before them that are not measured. Default 0. */
  readonly warmUp?: number
  /** One operation. `number` is different each time. A failed one fails the measurement. */
  run(number: number): Promise<void>
}

export async function measure(options: MeasureOptions): Promise<Measurement> {
  const { what, samples, warmUp = 0, run } = options
  for (let number = 0; number < warmUp; number++) await run(number)
  const times: number[] = []
  const begin = performance.now()
  for (let number = warmUp; number < warmUp + samples; number++) {
    const start = performance.now()
    await run(number)
    times.push((performance.now() - start) * 1000)
  }
  const perSecond = (samples / (performance.now() - begin)) * 1000
  times.sort((a, b) => a - b)
  const max = times.at(-1) ?? Number.NaN
  return { what, samples, p50: quantile(times, 0.5), p99: quantile(times, 0.99), max, perSecond }
}

/** The smallest value that at least that share of the values does not exceed. */
function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}
