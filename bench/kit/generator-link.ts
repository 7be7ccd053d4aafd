/** The writers as a benchmark sees them. */
import { Child } from './child.ts'
import type { HistogramData } from './histogram.ts'
import type { Schedule } from './monotonic.ts'

/** What is written, where and when. */
export interface Load {
  readonly port: number
  /** With `keys` 0 the one key that is written; else what the keys begin with. */
  readonly key: string
  /** How many keys take turns; 0: one. */
  readonly keys: number
  /** Bytes of text in each value, beside its number and time. */
  readonly padding: number
  /** Entries per request: with more than 1 each write is a batch. Default 1. */
  readonly batch?: number
  /** Connections at most; a write beyond them waits for an answer, and its time counts. Default 256. */
  readonly connections?: number
  readonly schedule: Schedule
  /** Milliseconds after the last write in which answers are waited for. */
  readonly deadlineMs: number
}

export interface Generated {
  /** How much later than intended the writes were handed to the system. */
  readonly late: HistogramData
  /** From the intended time to the answer. */
  readonly answered: HistogramData
  readonly failed: number
  readonly unanswered: number
  /** Connections that were needed. */
  readonly connections: number
  /** From the first intended write to the last answer. */
  readonly seconds: number
  /** The first failure. */
  readonly problem: string | undefined
}

export class Generator {
  readonly #child: Child

  private constructor(child: Child) {
    this.#child = child
  }

  static async start(): Promise<Generator> {
    return new Generator(await Child.start('generator.ts'))
  }

  get pid(): number {
    return this.#child.pid
  }

  run(load: Load): Promise<Generated> {
    return this.#child.call('run', load)
  }

  end(): Promise<void> {
    return this.#child.end()
  }
}
