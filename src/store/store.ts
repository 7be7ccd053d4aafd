/**
 * Ordered reads and writes over one storage adapter.
 *
 * The order of events, written once: an operation is planned against the committed state, written
 * in an atomic batch together with its change-log and outbox rows, then applied in memory and
 * announced to listeners, and only then answered. So nobody hears of a change that a crash could
 * undo, and every listener and reader sees the same sequence.
 */
import type { HybridClock } from '../core/clock.ts'
import { type Commit, type Entry, type StoredRecord, versionOf } from '../core/entry.ts'
import { errorText, isStateError, StateError } from '../core/errors.ts'
import { type Logger, SILENT_LOGGER } from '../core/logger.ts'
import type { LogPosition } from '../core/protocol.ts'
import type { Durability, StorageAdapter } from '../storage-adapter.ts'
import { type LogPage, readLog } from './change-log.ts'
import { ChangeTail } from './change-tail.ts'
import { CommitQueue } from './commit-queue.ts'
import { Draft, type Plan } from './draft.ts'
import { currentEpoch, isOnLog, previousEpoch } from './epochs.ts'
import { type ListOptions, Mirror } from './mirror.ts'
import type {
  BatchItem,
  BatchResult,
  DeleteResult,
  Planner,
  WriteOptions,
  WriteResult,
} from './operations.ts'
import { planDelete, planPush, planSet, planUpdate } from './operations.ts'
import { planBatch } from './plan-batch.ts'
import { planSweep } from './plan-sweep.ts'
import { loadMirror } from './recovery.ts'
import type { MergeOptions, MergeOutcome, SentRow } from './replication.ts'
import { planAcknowledge, planMerge, planRefill } from './replication.ts'
import type { SequencedRow } from './rows.ts'
import type { LeaderOf, StoreOptions } from './store-options.ts'

export type { LeaderOf, StoreOptions } from './store-options.ts'

interface Job {
  readonly plan: (draft: Draft) => { plan: Plan | undefined; settle: () => void }
  readonly reject: (error: unknown) => void
}

type StoreState = 'closed' | 'opening' | 'open' | 'closing'

export class Store {
  readonly #adapter: StorageAdapter
  readonly #clock: HybridClock
  readonly #durability: Durability | undefined
  readonly #newId: () => string
  readonly #logger: Logger
  readonly #tail: ChangeTail
  readonly #queue: CommitQueue<Job>
  readonly #listeners = new Set<(commit: Commit) => void>()
  #leaderOf: LeaderOf = () => undefined
  #state: StoreState = 'closed'
  #transition: Promise<void> = Promise.resolve()
  #mirror = new Mirror()
  #meta = new Map<string, string>()
  /** Greatest seq given out, also to batches that failed; `#head` is the greatest committed. */
  #lastSeq = 0
  #head = 0

  constructor(options: StoreOptions) {
    this.#adapter = options.adapter
    this.#clock = options.clock
    this.#durability = options.durability
    this.#newId = options.newId
    this.#logger = options.logger ?? SILENT_LOGGER
    this.#tail = new ChangeTail(options.tailRows ?? 4096)
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
      .then(() => this.#adapter.close())
      .finally(() => {
        if (this.#state === 'closing') this.#state = 'closed'
      })
    return this.#transition
  }

  /** Id of this node: the origin of changes made here. Made once, kept on disk. */
  get id(): string {
    return this.#requireMeta('id')
  }

  /** Id of this life of the change log: a new one each time the store opens. */
  get epoch(): string {
    return currentEpoch(this.#requireMeta('epochs'))
  }

  /** The epoch of the opening before this one; undefined in a new storage. */
  get previousEpoch(): string | undefined {
    return previousEpoch(this.#requireMeta('epochs'))
  }

  /** Whether everything after `cursor` in this node's log is exactly what its holder lacks. */
  canResume(cursor: LogPosition): boolean {
    return isOnLog(this.#requireMeta('epochs'), this.#head, cursor)
  }

  /** Seq of the last committed change. */
  get head(): number {
    return this.#head
  }

  /** A small durable value kept beside the data, such as a replication cursor. */
  meta(name: string): string | undefined {
    return this.#meta.get(name)
  }

  /** Stores small values kept beside the data, such as a replication cursor. */
  async saveMeta(meta: ReadonlyMap<string, string>): Promise<void> {
    return this.#run(() => ({ plan: { slots: [], meta }, result: undefined }))
  }

  /** Says which keys are owed to a leader. Set before `open`; decides for all later writes. */
  setLeaderOf(leaderOf: LeaderOf): void {
    this.#leaderOf = leaderOf
  }

  async get(key: string): Promise<Entry | undefined> {
    this.#assertOpen()
    return this.#mirror.entry(key)
  }

  /** Entries matching a key or glob. */
  async list(pattern: string, options?: ListOptions): Promise<Entry[]> {
    this.#assertOpen()
    return this.#mirror.list(pattern, options)
  }

  /** All keys that start with `prefix`, bytewise ascending. Default: all keys. */
  async keys(prefix = ''): Promise<string[]> {
    this.#assertOpen()
    return this.#mirror.keys(prefix)
  }

  /** Entries in display order, exactly as of commit `seq`. */
  async read(pattern: string): Promise<{ seq: number; entries: Entry[] }> {
    this.#assertOpen()
    return { seq: this.#head, entries: this.#mirror.list(pattern) }
  }

  /**
   * Writes `json` (compact JSON text) under a concrete key.
   * @throws StateError `invalid_key`, `invalid_glob`, `storage_failed`, `overloaded`, `not_open`; with a
   * precondition also `precondition_failed`, and `not_leader` where another node leads the key.
   */
  async set(key: string, json: string, options?: WriteOptions): Promise<WriteResult> {
    return this.#run(planSet(key, json, options))
  }

  /** Writes under a new key made from `glob`, whose last segment is `*`. Errors as `set`. */
  async push(glob: string, json: string): Promise<WriteResult> {
    return this.#run(planPush(glob, json))
  }

  /**
   * Replaces an entry's data by what `change` makes of it, atomically. What `change` throws is
   * thrown. @throws StateError `not_found` when the key is absent; else as `set`.
   */
  async update(
    key: string,
    change: (current: Entry) => string,
    options?: WriteOptions,
  ): Promise<WriteResult> {
    return this.#run(planUpdate(key, change, options))
  }

  /**
   * Deletes a key, or every key that matches a glob, leaving tombstones.
   * @throws StateError `not_found` when a plain key is absent; else as `set`.
   */
  async delete(keyOrGlob: string, options?: WriteOptions): Promise<DeleteResult> {
    return this.#run(planDelete(keyOrGlob, options))
  }

  /**
   * Does all of the operations, each seeing what those before it did, or none of them; one commit.
   * @throws StateError what an operation would throw alone, its text led by `operations[<i>]: `.
   */
  async batch(items: readonly BatchItem[]): Promise<BatchResult[]> {
    return this.#run(planBatch(items))
  }

  /** Deletes what `choose` picks of the entries of `glob`, in one step. Errors as `set`. */
  async sweep(
    glob: string,
    choose: (entries: readonly Entry[]) => readonly Entry[],
  ): Promise<void> {
    await this.#run(planSweep(glob, choose))
  }

  /** Takes records of a peer: per record the winner under the total order is kept. */
  async merge(records: readonly StoredRecord[], options: MergeOptions): Promise<MergeOutcome[]> {
    for (const record of records) this.#clock.observe(versionOf(record))
    return this.#run(planMerge(records, options))
  }

  /** Drops from the outbox what `leader` has acknowledged, as it was sent; `meta` in the same batch. */
  async acknowledge(
    leader: string,
    sent: readonly SentRow[],
    meta: ReadonlyMap<string, string>,
  ): Promise<void> {
    return this.#run(planAcknowledge(leader, sent, meta))
  }

  /** Owes `leader` every record it leads, for a leader whose log is new to this node. */
  async refill(leader: string, pageSize = 5000): Promise<void> {
    const slots = [...this.#mirror.slots()].filter(
      (slot) => this.#leaderOf(slot.record.key) === leader && slot.owedTo !== leader,
    )
    for (let i = 0; i < slots.length; i += pageSize) {
      await this.#run(planRefill(leader, slots.slice(i, i + pageSize)))
    }
    this.#mirror.sortOutboxes()
  }

  /**
   * What `leader` has not acknowledged yet, oldest change first: at most `limit` rows, leaving out
   * the seqs in `skip` (those under way).
   */
  owed(leader: string, limit: number, skip: ReadonlySet<number>): SequencedRow[] {
    const rows: SequencedRow[] = []
    for (const [seq, key] of this.#mirror.owed(leader)) {
      if (rows.length >= limit) break
      const slot = this.#mirror.slot(key)
      if (slot !== undefined && !skip.has(seq)) rows.push({ seq, record: slot.record })
    }
    return rows
  }

  /** Everything that is known, tombstones included, in no particular order. */
  *records(): IterableIterator<StoredRecord> {
    for (const { record } of this.#mirror.slots()) yield record
  }

  /** How many records `leader` has not acknowledged yet. */
  owedCount(leader: string): number {
    return this.#mirror.owed(leader).size
  }

  /** Change-log rows after `seq`, from memory when recent, else from disk. */
  async log(after: number, limit: number): Promise<LogPage> {
    this.#assertOpen()
    return readLog({
      after,
      limit,
      head: this.#head,
      tail: this.#tail,
      adapter: this.#adapter,
      slot: (key) => this.#mirror.slot(key),
    })
  }

  /** Hears commits in seq order, synchronously, after they are durable. Must not throw. */
  onCommit(listener: (commit: Commit) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #run<Result>(planner: Planner<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#state !== 'open') {
        reject(new StateError('not_open', `storage: storage is not active (${this.#state})`))
        return
      }
      const plan: Job['plan'] = (draft) => {
        const { plan: decided, result } = planner({
          slot: (key) => draft.slot(key),
          matching: (glob) => draft.matching(glob),
          now: () => this.#clock.now(),
          origin: this.id,
          leaderOf: this.#leaderOf,
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
    const rows = draft.rows(this.#clock.last)
    try {
      if (rows.length > 0) await this.#adapter.batch(rows, this.#batchOptions())
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
        if (changed) this.#tail.push({ seq: slot.seq, key: slot.record.key })
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
      await this.#adapter.open()
      const loaded = await loadMirror(this.#adapter, this.#leaderOf, this.#newId)
      this.#mirror = loaded.mirror
      this.#meta = loaded.meta
      this.#clock.observe(loaded.clock)
      this.#lastSeq = loaded.head
      this.#head = loaded.head
      this.#tail.reset(loaded.head)
      if (this.#state === 'opening') this.#state = 'open'
    } catch (error) {
      if (this.#state === 'opening') this.#state = 'closed'
      await this.#adapter.close()
      throw error
    }
  }

  #assertOpen(): void {
    if (this.#state === 'open' || this.#state === 'closing') return
    throw new StateError('not_open', `storage: storage is not active (${this.#state})`)
  }

  #requireMeta(name: string): string {
    const value = this.#meta.get(name)
    if (value === undefined) throw new StateError('not_open', 'storage: storage is not active')
    return value
  }
}
