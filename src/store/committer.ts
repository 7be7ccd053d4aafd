/**
 * The heart of the store: takes operations in turn, makes them durable in batches, applies them to the
 * state in memory and announces them.
 *
 * The order of events, written once: an operation is planned against the committed state, written
 * in an atomic batch together with its change-log and outbox rows, then applied in memory and
 * announced to listeners, and only then answered. So nobody hears of a change that a crash could
 * undo, and every listener and reader sees the same sequence.
 */
import type { HybridClock } from '../core/clock.ts'
import type { Commit } from '../core/entry.ts'
import { errorText, isStateError, StateError } from '../core/errors.ts'
import { type Logger, SILENT_LOGGER } from '../core/logger.ts'
import type { Durability, StorageAdapter } from '../storage-adapter.ts'
import { ChangeTail } from './change-tail.ts'
import { CommitQueue } from './commit-queue.ts'
import { Draft, type Plan } from './draft.ts'
import { Mirror } from './mirror.ts'
import type { Planner } from './operations.ts'
import { loadMirror } from './recovery.ts'
import type { LeaderOf, StoreOptions } from './store-options.ts'

interface Job {
  readonly plan: (draft: Draft) => { plan: Plan | undefined; settle: () => void }
  readonly reject: (error: unknown) => void
}

type CommitterState = 'closed' | 'opening' | 'open' | 'closing'

export class Committer {
  readonly adapter: StorageAdapter
  readonly clock: HybridClock
  /** The newest rows of the change log. */
  readonly tail: ChangeTail
  /** Says which keys are owed to a leader. */
  leaderOf: LeaderOf = () => undefined
  readonly #durability: Durability | undefined
  readonly #newId: () => string
  readonly #logger: Logger
  readonly #queue: CommitQueue<Job>
  readonly #listeners = new Set<(commit: Commit) => void>()
  #state: CommitterState = 'closed'
  #transition: Promise<void> = Promise.resolve()
  #mirror = new Mirror()
  #meta = new Map<string, string>()
  /** Greatest seq given out, also to batches that failed; `#head` is the greatest committed. */
  #lastSeq = 0
  #head = 0

  constructor(options: StoreOptions) {
    this.adapter = options.adapter
    this.clock = options.clock
    this.tail = new ChangeTail(options.tailRows ?? 4096)
    this.#durability = options.durability
    this.#newId = options.newId
    this.#logger = options.logger ?? SILENT_LOGGER
    this.#queue = new CommitQueue({
      flush: (jobs) => this.#flush(jobs),
      maxWaiting: options.maxWaitingOperations ?? 100_000,
      maxBatch: options.maxBatchOperations ?? 1000,
    })
  }

  /** Opens the adapter and reads the state. @throws StateError of the adapter, or `corrupt_record`. */
  open(): Promise<void> {
    if (this.#state === 'open' || this.#state === 'opening') return this.#transition
    this.#state = 'opening'
    this.#transition = this.#transition.catch(() => undefined).then(() => this.#load())
    return this.#transition
  }

  /** Waits for writes under way, then closes the adapter. New writes are refused at once. */
  close(): Promise<void> {
    if (this.#state === 'closed' || this.#state === 'closing') return this.#transition
    this.#state = 'closing'
    this.#transition = this.#transition
      .catch(() => undefined)
      .then(() => this.#queue.drained())
      .then(() => this.adapter.close())
      .finally(() => {
        if (this.#state === 'closing') this.#state = 'closed'
      })
    return this.#transition
  }

  /** The committed state; another object after each `open`. */
  get mirror(): Mirror {
    return this.#mirror
  }

  /** Seq of the last committed change. */
  get head(): number {
    return this.#head
  }

  meta(name: string): string | undefined {
    return this.#meta.get(name)
  }

  /** Hears commits in seq order, synchronously, after they are durable. Must not throw. */
  onCommit(listener: (commit: Commit) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Plans an operation in its turn; resolves with its result once it is durable and announced. */
  run<Result>(planner: Planner<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#state !== 'open') {
        reject(new StateError('not_open', `storage: storage is not active (${this.#state})`))
        return
      }
      const plan: Job['plan'] = (draft) => {
        const { plan: decided, result } = planner({
          slot: (key) => draft.slot(key),
          matching: (glob) => draft.matching(glob),
          now: () => this.clock.now(),
          origin: this.requireMeta('id'),
          leaderOf: this.leaderOf,
        })
        return { plan: decided, settle: () => resolve(result) }
      }
      try {
        this.#queue.push({ plan, reject })
      } catch (error) {
        reject(error)
      }
    })
  }

  async #flush(jobs: readonly Job[]): Promise<void> {
    const draft = new Draft(this.#mirror, this.#lastSeq)
    const planned: { job: Job; settle: () => void }[] = []
    for (const job of jobs) {
      try {
        const { plan, settle } = job.plan(draft)
        draft.add(plan ?? { slots: [] })
        planned.push({ job, settle })
      } catch (error) {
        job.reject(error)
      }
    }
    this.#lastSeq = draft.seq
    const rows = draft.rows(this.clock.last)
    try {
      if (rows.length > 0) await this.adapter.batch(rows, this.#batchOptions())
    } catch (cause) {
      const error = isStateError(cause)
        ? cause
        : new StateError('storage_failed', `storage: ${errorText(cause)}`, { cause })
      this.#logger.error('a batch could not be written', {
        operations: planned.length,
        error: error.message,
      })
      for (const { job } of planned) job.reject(error)
      return
    }
    this.#apply(draft)
    for (const { settle } of planned) settle()
  }

  #batchOptions(): { durability?: Durability } {
    return this.#durability === undefined ? {} : { durability: this.#durability }
  }

  /** Makes a durable batch visible: memory first, then listeners, operation by operation. */
  #apply(draft: Draft): void {
    for (const [name, value] of draft.meta) this.#meta.set(name, value)
    for (const { commit, slots } of draft.commits) {
      for (const slot of slots) {
        const changed = this.#mirror.slot(slot.record.key)?.record !== slot.record
        this.#mirror.put(slot)
        if (changed) this.tail.push({ seq: slot.seq, key: slot.record.key })
      }
      if (commit === undefined) continue
      this.#head = commit.seq
      this.#announce(commit)
    }
  }

  #announce(commit: Commit): void {
    for (const listener of this.#listeners) {
      try {
        listener(commit)
      } catch (error) {
        // The change is durable already: a listener's fault must not fail the write.
        this.#logger.error('a commit listener failed', { seq: commit.seq, error: errorText(error) })
      }
    }
  }

  async #load(): Promise<void> {
    try {
      await this.adapter.open()
      const loaded = await loadMirror(this.adapter, this.leaderOf, this.#newId)
      this.#mirror = loaded.mirror
      this.#meta = loaded.meta
      this.clock.observe(loaded.clock)
      this.#lastSeq = loaded.head
      this.#head = loaded.head
      this.tail.reset(loaded.head)
      if (this.#state === 'opening') this.#state = 'open'
    } catch (error) {
      if (this.#state === 'opening') this.#state = 'closed'
      await this.adapter.close()
      throw error
    }
  }

  /** @throws StateError `not_open`. While closing, reads still work. */
  assertOpen(): void {
    if (this.#state === 'open' || this.#state === 'closing') return
    throw new StateError('not_open', `storage: storage is not active (${this.#state})`)
  }

  /** A meta row that every open store has. @throws StateError `not_open` before that. */
  requireMeta(name: string): string {
    const value = this.#meta.get(name)
    if (value === undefined) throw new StateError('not_open', 'storage: storage is not active')
    return value
  }
}
