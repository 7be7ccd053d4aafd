/** One swarm and one generator, and what comes of letting them work on a server. */
import { Generator } from './generator-link.ts'
import { Histogram, type HistogramData, type Percentiles } from './histogram.ts'
import { intendedUs, monotonicUs, type Schedule } from './monotonic.ts'
import { processorSeconds } from './process-use.ts'
import { type Room, Swarm } from './swarm-link.ts'

export interface Writes {
  /** Of the server. */
  readonly port: number
  readonly pid: number
  /** What is written: this key, or with `keys` that many keys that begin so. */
  readonly key: string
  readonly keys?: number
  /** Bytes of text in each value. Default 180. */
  readonly padding?: number
  /** Writes per second. */
  readonly rate: number
  readonly seconds: number
  /** Milliseconds after the last write in which receipts are waited for. Default 15 s. */
  readonly deadlineMs?: number
}

/** The times that the percentiles of an outcome are of. */
export type Histograms = Readonly<Record<'every' | 'last' | 'answered' | 'late', HistogramData>>

/** What a load came to. Times are in microseconds, from the intended time of the write. */
export interface Outcome {
  /** To every subscriber. */
  readonly every: Percentiles
  /** To the last subscriber. */
  readonly last: Percentiles
  /** To the answer. */
  readonly answered: Percentiles
  /** How late the generator was. */
  readonly late: Percentiles
  readonly histograms: Histograms
  readonly framesPerSecond: number
  readonly bytes: number
  /** Receipts that had not come; they count in `every` with the time that had passed. */
  readonly missing: number
  readonly failedWrites: number
  /** Connections that ended by themselves. */
  readonly lost: number
  readonly problems: readonly string[]
  /** Percent of one processor, while the load lasted. */
  readonly serverCpu: number
  readonly swarmCpu: number
}

/** Milliseconds between the fixing of the schedule and the first write. */
const LEAD_MS = 100

export class Rig {
  readonly swarm: Swarm
  readonly generator: Generator
  #nextNumber = 1

  private constructor(swarm: Swarm, generator: Generator) {
    this.swarm = swarm
    this.generator = generator
  }

  static async start(swarms: number = 1): Promise<Rig> {
    return new Rig(...(await Promise.all([Swarm.start(swarms), Generator.start()])))
  }

  /** Subscribes, with one more that never reads, and has the server warmed up. */
  async fill(room: Room, warmUp: Omit<Writes, 'rate' | 'seconds'>): Promise<void> {
    await this.swarm.join(room)
    await this.swarm.joinStuck(room)
    await this.run({ ...warmUp, rate: 20, seconds: 1 })
  }

  /** Writes at a fixed rate, and waits until everybody has everything. */
  async run(writes: Writes): Promise<Outcome> {
    const { port, key, keys = 0, padding = 180, deadlineMs = 15_000 } = writes
    const schedule = this.#schedule(writes)
    await this.swarm.expect(schedule)
    const before = this.#processor(writes.pid)
    const generated = await this.generator.run({ port, key, keys, padding, schedule, deadlineMs })
    const settled = await this.swarm.settle(deadlineMs)
    const after = this.#processor(writes.pid)
    const seconds = (monotonicUs() - schedule.startUs) / 1e6
    const receipts = settled.flatMap((part) => part.receipts)
    const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)
    const histograms: Histograms = {
      every: Histogram.from(...receipts.map((part) => part.every)).toJSON(),
      last: lastOfAll(schedule, receipts).toJSON(),
      answered: generated.answered,
      late: generated.late,
    }
    const problems = settled.flatMap((part) => part.problems)
    if (generated.problem !== undefined) problems.push(generated.problem)
    return {
      ...percentilesOf(histograms),
      histograms,
      framesPerSecond: sum(receipts.map(({ frames }) => frames)) / seconds,
      bytes: sum(receipts.map(({ bytes }) => bytes)),
      missing: sum(receipts.map(({ missing }) => missing)),
      failedWrites: generated.failed + generated.unanswered,
      lost: sum(settled.map(({ lost }) => lost)),
      problems,
      serverCpu: ((after.server - before.server) / seconds) * 100,
      swarmCpu: ((after.swarm - before.swarm) / seconds) * 100,
    }
  }

  /** How many subscribers hold what the server holds. @throws when one holds something else. */
  async check(): Promise<{ readonly checked: number; readonly apart: number }> {
    const { checked, different, apart } = await this.swarm.check()
    if (different > 0) {
      throw new Error(`${different} of ${checked} subscribers hold another state than the server`)
    }
    return { checked, apart }
  }

  async end(): Promise<void> {
    await Promise.all([this.swarm.end(), this.generator.end()])
  }

  #schedule({ rate, seconds }: Writes): Schedule {
    const count = Math.max(1, Math.round(rate * seconds))
    const startUs = Math.round(monotonicUs()) + LEAD_MS * 1000
    const schedule = { startUs, intervalUs: 1e6 / rate, count, firstNumber: this.#nextNumber }
    this.#nextNumber += count
    return schedule
  }

  #processor(pid: number): { readonly server: number; readonly swarm: number } {
    const swarm = this.swarm.pids.map(processorSeconds).reduce((a, b) => a + b, 0)
    return { server: processorSeconds(pid), swarm }
  }
}

/** Loads of the same rate and length on the same room, one after the other, as one. */
export function joined(outcomes: readonly Outcome[]): Outcome {
  const sum = (of: (outcome: Outcome) => number): number =>
    outcomes.reduce((total, outcome) => total + of(outcome), 0)
  const mean = (of: (outcome: Outcome) => number): number => sum(of) / outcomes.length
  const together = (name: keyof Histograms): HistogramData =>
    Histogram.from(...outcomes.map(({ histograms }) => histograms[name])).toJSON()
  const histograms: Histograms = {
    every: together('every'),
    last: together('last'),
    answered: together('answered'),
    late: together('late'),
  }
  return {
    ...percentilesOf(histograms),
    histograms,
    framesPerSecond: mean(({ framesPerSecond }) => framesPerSecond),
    bytes: sum(({ bytes }) => bytes),
    missing: sum(({ missing }) => missing),
    failedWrites: sum(({ failedWrites }) => failedWrites),
    // The swarm counts since the room was filled.
    lost: Math.max(...outcomes.map(({ lost }) => lost)),
    problems: [...new Set(outcomes.flatMap(({ problems }) => problems))],
    serverCpu: mean(({ serverCpu }) => serverCpu),
    swarmCpu: mean(({ swarmCpu }) => swarmCpu),
  }
}

function percentilesOf(
  histograms: Histograms,
): Pick<Outcome, 'every' | 'last' | 'answered' | 'late'> {
  const of = (name: keyof Histograms): Percentiles => Histogram.from(histograms[name]).percentiles()
  return { every: of('every'), last: of('last'), answered: of('answered'), late: of('late') }
}

/** When the last of all subscribers, in whatever process, had each write. */
function lastOfAll(
  schedule: Schedule,
  receipts: readonly { readonly lastUs: readonly number[] }[],
): Histogram {
  const histogram = new Histogram()
  for (let i = 0; i < schedule.count; i++) {
    const lastUs = Math.max(...receipts.map((part) => part.lastUs[i] ?? 0))
    histogram.record(lastUs - intendedUs(schedule, schedule.firstNumber + i))
  }
  return histogram
}
