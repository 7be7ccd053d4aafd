/** The clock that all processes of one machine share: `CLOCK_MONOTONIC`. */

/** Microseconds with fractions. Exact: a machine would have to be up for a hundred days to lose one nanosecond. */
export function monotonicUs(): number {
  return Number(process.hrtime.bigint()) / 1000
}

/** The intended times of writes, fixed before the first one is sent. */
export interface Schedule {
  /** Time of the first write, on the shared clock. */
  readonly startUs: number
  readonly intervalUs: number
  readonly count: number
  /** Number that the first write carries; the others follow it. */
  readonly firstNumber: number
}

/** When the write of this number is due, on the shared clock. */
export function intendedUs(schedule: Schedule, number: number): number {
  return schedule.startUs + (number - schedule.firstNumber) * schedule.intervalUs
}
