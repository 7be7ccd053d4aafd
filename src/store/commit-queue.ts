/**
 * Group commit: operations that arrive while a batch is being written wait and go into the next
 * one together, so that durability costs one write per batch rather than one per operation.
 * Bounded: beyond `maxWaiting` operations the newest is refused with `overloaded`.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { StateError } from '../core/errors.ts'

/**
 * Plans and writes a batch; settles every job in it. Never rejects.
 * @returns how many of the jobs it took, from the first on; at least one
 */
export type FlushBatch<Job> = (jobs: readonly Job[]) => Promise<number>

export class CommitQueue<Job> {
  readonly #flush: FlushBatch<Job>
  readonly #maxWaiting: number
  readonly #maxBatch: number
  #waiting: Job[] = []
  #running: Promise<void> | undefined
  #isFlushing = false
  /** No batch begins before this. */
  #held: Promise<unknown> | undefined
  /** What waits for the end of the batch under way. */
  #pauses: (() => void)[] = []

  constructor(options: { flush: FlushBatch<Job>; maxWaiting: number; maxBatch: number }) {
    this.#flush = options.flush
    this.#maxWaiting = options.maxWaiting
    this.#maxBatch = options.maxBatch
  }

  /** @throws StateError `overloaded` when the queue is full. */
  push(job: Job): void {
    if (this.#waiting.length >= this.#maxWaiting) {
      throw new StateError(
        'overloaded',
        `storage: ${this.#waiting.length} writes are waiting, the limit is ${this.#maxWaiting}`,
      )
    }
    this.#waiting.push(job)
    this.#running ??= this.#run()
  }

  /** Runs `take`, which must not wait, when no batch is under way: now, or before the next. */
  atRest<T>(take: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const run = (): void => {
        try {
          resolve(take())
        } catch (error) {
          reject(error)
        }
      }
      if (this.#isFlushing) this.#pauses.push(run)
      else run()
    })
  }

  /** Runs `work` while no batch is, nor other such work, and holds the next back until it is done. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    const running = this.atRest(() => {
      const result = this.#held === undefined ? work() : this.#held.then(work)
      this.#held = Promise.all([this.#held, result.catch(() => undefined)])
      return { result }
    })
    return (await running).result
  }

  /** Resolves when everything that was pushed has been settled, also what is pushed meanwhile. */
  async drained(): Promise<void> {
    while (this.#running !== undefined) await this.#running
  }

  async #run(): Promise<void> {
    // One turn of the microtask queue lets operations of the same turn share the first batch.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      while (this.#held !== undefined) {
        const held = this.#held
        await held
        if (this.#held === held) this.#held = undefined
      }
      const jobs = this.#waiting.slice(0, this.#maxBatch)
      this.#waiting = this.#waiting.slice(this.#maxBatch)
      this.#isFlushing = true
      const taken = await this.#flush(jobs)
      this.#isFlushing = false
      if (taken < jobs.length) this.#waiting = [...jobs.slice(taken), ...this.#waiting]
      const pauses = this.#pauses
      this.#pauses = []
      for (const run of pauses) run()
      // A batch that was too large for one has taken long enough.
      if (taken < jobs.length) await nextTurn()
    }
    this.#running = undefined
  }
}
