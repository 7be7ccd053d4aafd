/**
 * Group commit: operations that arrive while a batch is being written wait and go into the next
 * one together, so that durability costs one write per batch rather than one per operation.
 *
 * Bounded in operations and in bytes, those of the batch under way included. Beyond a bound the newest
 * is refused with `overloaded`; what comes from other nodes, which send no more meanwhile, waits in its
 * turn for room of its own, so that neither keeps the other out.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { StateError } from '../../core/errors.ts'

/** What the queue has to know of an operation. */
export interface Sized {
  /** Bytes that it holds until it is settled, about. */
  readonly bytes: number
  /** It waits for room where others are refused. */
  readonly isPatient: boolean
}

/**
 * Plans and writes a batch of the first of these jobs, and settles every job in it. Never rejects.
 * @returns how many it took, at least one.
 */
export type FlushBatch<Job> = (jobs: readonly Job[]) => Promise<number>

export interface QueueOptions<Job> {
  readonly flush: FlushBatch<Job>
  /** Most operations that wait. */
  readonly maxWaiting: number
  /** Most bytes of operations that wait or are being written; a single one may have more. */
  readonly maxWaitingBytes: number
  /** Most operations, and bytes, of one batch; a single operation may have more. */
  readonly maxBatch: number
  readonly maxBatchBytes: number
}

/** What waits or is being written. */
export interface QueueMetrics {
  readonly writes: number
  readonly bytes: number
  /** Refused since the start. */
  readonly refused: number
}

export class CommitQueue<Job extends Sized> {
  readonly #options: QueueOptions<Job>
  #waiting: Job[] = []
  /** Patient ones for which there is no room yet. */
  #patient: Job[] = []
  /** Those that wait or are being written. */
  readonly #admitted = new Set<Job>()
  /** Bytes of what waits or is being written, patient operations for themselves. */
  #bytes = 0
  #patientBytes = 0
  #refused = 0
  #running: Promise<void> | undefined
  #isFlushing = false
  /** No batch begins before this. */
  #held: Promise<unknown> | undefined
  /** What waits for the end of the batch under way. */
  #pauses: (() => void)[] = []

  constructor(options: QueueOptions<Job>) {
    this.#options = options
  }

  get metrics(): QueueMetrics {
    const writes = this.#admitted.size + this.#patient.length
    return { writes, bytes: this.#bytes + this.#patientBytes, refused: this.#refused }
  }

  /** @throws StateError `overloaded` when the queue is full. */
  push(job: Job): void {
    this.assertRoom(job)
    if (job.isPatient && !this.#hasRoomFor(job)) {
      this.#patient.push(job)
      return
    }
    this.#admit(job)
    this.#running ??= this.#run()
  }

  /** Runs `take`, which must not wait, when no batch is under way: now, or before the next. */
  betweenBatches<T>(take: () => T): Promise<T> {
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
  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    const running = this.betweenBatches(() => {
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

  /** @throws StateError `overloaded` when there is no room, nor will be for one that is patient. */
  assertRoom({ bytes, isPatient }: Sized): void {
    const { maxWaiting, maxWaitingBytes } = this.#options
    const waiting = this.#waiting.length + this.#patient.length
    const isFull = waiting >= maxWaiting
    if (!isFull && (isPatient || fits(this.#bytes, bytes, maxWaitingBytes))) return
    this.#refused += 1
    throw new StateError(
      'overloaded',
      isFull
        ? `storage: ${waiting} writes are waiting, the limit is ${maxWaiting}`
        : `storage: writes of ${this.#bytes} bytes are waiting, the limit is ${maxWaitingBytes}`,
    )
  }

  #hasRoomFor({ bytes }: Job): boolean {
    if (this.#patient.length > 0) return false
    return fits(this.#patientBytes, bytes, this.#options.maxWaitingBytes)
  }

  #admit(job: Job): void {
    if (job.isPatient) this.#patientBytes += job.bytes
    else this.#bytes += job.bytes
    this.#admitted.add(job)
    this.#waiting.push(job)
  }

  /** Gives back the room of an operation, right before it is settled. Its maker may come with the next one. */
  release(job: Job): void {
    if (!this.#admitted.delete(job)) return
    if (job.isPatient) this.#patientBytes -= job.bytes
    else this.#bytes -= job.bytes
    for (;;) {
      const [next] = this.#patient
      if (next === undefined) return
      if (!fits(this.#patientBytes, next.bytes, this.#options.maxWaitingBytes)) return
      this.#patient.shift()
      this.#admit(next)
    }
  }

  /** The first of what waits, as far as it may go together. */
  #nextBatch(): Job[] {
    const { maxBatch, maxBatchBytes } = this.#options
    let bytes = 0
    let count = 0
    for (const job of this.#waiting) {
      bytes += job.bytes
      if (count === maxBatch || (count > 0 && bytes > maxBatchBytes)) break
      count += 1
    }
    return this.#waiting.slice(0, count)
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
      const jobs = this.#nextBatch()
      const isCut = jobs.length < Math.min(this.#waiting.length, this.#options.maxBatch)
      this.#waiting = this.#waiting.slice(jobs.length)
      this.#isFlushing = true
      const taken = await this.#options.flush(jobs)
      this.#isFlushing = false
      if (taken < jobs.length) this.#waiting = [...jobs.slice(taken), ...this.#waiting]
      const pauses = this.#pauses
      this.#pauses = []
      for (const run of pauses) run()
      // A batch with as many bytes as one may have has taken long enough.
      if (isCut || taken < jobs.length) await nextTurn()
    }
    this.#running = undefined
  }
}

/** Whether `more` may come to `held`; alone it always may, and what holds nothing always. */
function fits(held: number, more: number, limit: number): boolean {
  return more === 0 || held === 0 || held + more <= limit
}
