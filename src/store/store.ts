/**
 * Ordered reads and writes over one storage adapter, and what replication needs of it. Reads see one
 * point of the order of commits; writes resolve when they are durable. See `committer.ts`.
 */
import { type Commit, type Entry, type StoredRecord, versionOf } from '../core/entry.ts'
import type { LogPosition } from '../core/protocol.ts'
import { type LogPage, readLog } from './change-log.ts'
import { Committer } from './committer.ts'
import { currentEpoch, isOnLog, previousEpoch } from './epochs.ts'
import type { ListOptions } from './mirror.ts'
import type {
  BatchItem,
  BatchResult,
  DeleteResult,
  WriteOptions,
  WriteResult,
} from './operations.ts'
import { planDelete, planPush, planSet, planUpdate } from './operations.ts'
import { planBatch } from './plan-batch.ts'
import { planSweep } from './plan-sweep.ts'
import type { MergeOptions, MergeOutcome, SentRow } from './replication.ts'
import { planAcknowledge, planMerge, planRefill } from './replication.ts'
import type { SequencedRow } from './rows.ts'
import type { LeaderOf, StoreOptions } from './store-options.ts'

export type { LeaderOf, StoreOptions } from './store-options.ts'

export class Store {
  readonly #committer: Committer

  constructor(options: StoreOptions) {
    this.#committer = new Committer(options)
  }

  /** Opens the adapter and reads the state. @throws StateError of the adapter, or `corrupt_record`. */
  open(): Promise<void> {
    return this.#committer.open()
  }

  /** Waits for writes under way, then closes the adapter. New writes are refused at once. */
  close(): Promise<void> {
    return this.#committer.close()
  }

  /** Id of this node: the origin of changes made here. Made once, kept on disk. */
  get id(): string {
    return this.#committer.requireMeta('id')
  }

  /** Id of this life of the change log: a new one each time the store opens. */
  get epoch(): string {
    return currentEpoch(this.#committer.requireMeta('epochs'))
  }

  /** The epoch of the opening before this one; undefined in a new storage. */
  get previousEpoch(): string | undefined {
    return previousEpoch(this.#committer.requireMeta('epochs'))
  }

  /** Whether everything after `cursor` in this node's log is exactly what its holder lacks. */
  canResume(cursor: LogPosition): boolean {
    return isOnLog(this.#committer.requireMeta('epochs'), this.#committer.head, cursor)
  }

  /** Seq of the last committed change. */
  get head(): number {
    return this.#committer.head
  }

  /** A small durable value kept beside the data, such as a replication cursor. */
  meta(name: string): string | undefined {
    return this.#committer.meta(name)
  }

  /** Stores small values kept beside the data, such as a replication cursor. */
  async saveMeta(meta: ReadonlyMap<string, string>): Promise<void> {
    return this.#committer.run(() => ({ plan: { slots: [], meta }, result: undefined }))
  }

  /** Says which keys are owed to a leader. Set before `open`; decides for all later writes. */
  setLeaderOf(leaderOf: LeaderOf): void {
    this.#committer.leaderOf = leaderOf
  }

  async get(key: string): Promise<Entry | undefined> {
    this.#committer.assertOpen()
    return this.#committer.mirror.entry(key)
  }

  /** Entries matching a key or glob. */
  async list(pattern: string, options?: ListOptions): Promise<Entry[]> {
    this.#committer.assertOpen()
    return this.#committer.mirror.list(pattern, options)
  }

  /** All keys that start with `prefix`, bytewise ascending. Default: all keys. */
  async keys(prefix = ''): Promise<string[]> {
    this.#committer.assertOpen()
    return this.#committer.mirror.keys(prefix)
  }

  /** Entries in display order, exactly as of commit `seq`. */
  async read(pattern: string): Promise<{ seq: number; entries: Entry[] }> {
    this.#committer.assertOpen()
    return { seq: this.#committer.head, entries: this.#committer.mirror.list(pattern) }
  }

  /**
   * Writes `json` (compact JSON text) under a concrete key.
   * @throws StateError `invalid_key`, `invalid_glob`, `storage_failed`, `overloaded`, `not_open`; with a
   * precondition also `precondition_failed`, and `not_leader` where another node leads the key.
   */
  async set(key: string, json: string, options?: WriteOptions): Promise<WriteResult> {
    return this.#committer.run(planSet(key, json, options))
  }

  /** Writes under a new key made from `glob`, whose last segment is `*`. Errors as `set`. */
  async push(glob: string, json: string): Promise<WriteResult> {
    return this.#committer.run(planPush(glob, json))
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
    return this.#committer.run(planUpdate(key, change, options))
  }

  /**
   * Deletes a key, or every key that matches a glob, leaving tombstones.
   * @throws StateError `not_found` when a plain key is absent; else as `set`.
   */
  async delete(keyOrGlob: string, options?: WriteOptions): Promise<DeleteResult> {
    return this.#committer.run(planDelete(keyOrGlob, options))
  }

  /**
   * Does all of the operations, each seeing what those before it did, or none of them; one commit.
   * @throws StateError what an operation would throw alone, its text led by `operations[<i>]: `.
   */
  async batch(items: readonly BatchItem[]): Promise<BatchResult[]> {
    return this.#committer.run(planBatch(items))
  }

  /** Deletes what `choose` picks of the entries of `glob`, in one step. Errors as `set`. */
  async sweep(
    glob: string,
    choose: (entries: readonly Entry[]) => readonly Entry[],
  ): Promise<void> {
    await this.#committer.run(planSweep(glob, choose))
  }

  /** Takes records of a peer: per record the winner under the total order is kept. */
  async merge(records: readonly StoredRecord[], options: MergeOptions): Promise<MergeOutcome[]> {
    for (const record of records) this.#committer.clock.observe(versionOf(record))
    return this.#committer.run(planMerge(records, options))
  }

  /** Drops from the outbox what `leader` has acknowledged, as it was sent; `meta` in the same batch. */
  async acknowledge(
    leader: string,
    sent: readonly SentRow[],
    meta: ReadonlyMap<string, string>,
  ): Promise<void> {
    return this.#committer.run(planAcknowledge(leader, sent, meta))
  }

  /** Owes `leader` every record it leads, for a leader whose log is new to this node. */
  async refill(leader: string, pageSize = 5000): Promise<void> {
    const slots = [...this.#committer.mirror.slots()].filter(
      (slot) => this.#committer.leaderOf(slot.record.key) === leader && slot.owedTo !== leader,
    )
    for (let i = 0; i < slots.length; i += pageSize) {
      await this.#committer.run(planRefill(leader, slots.slice(i, i + pageSize)))
    }
    this.#committer.mirror.sortOutboxes()
  }

  /**
   * What `leader` has not acknowledged yet, oldest change first: at most `limit` rows, leaving out
   * the seqs in `skip` (those under way).
   */
  owed(leader: string, limit: number, skip: ReadonlySet<number>): SequencedRow[] {
    const rows: SequencedRow[] = []
    for (const [seq, key] of this.#committer.mirror.owed(leader)) {
      if (rows.length >= limit) break
      const slot = this.#committer.mirror.slot(key)
      if (slot !== undefined && !skip.has(seq)) rows.push({ seq, record: slot.record })
    }
    return rows
  }

  /** Everything that is known, tombstones included, in no particular order. */
  *records(): IterableIterator<StoredRecord> {
    for (const { record } of this.#committer.mirror.slots()) yield record
  }

  /** How many records `leader` has not acknowledged yet. */
  owedCount(leader: string): number {
    return this.#committer.mirror.owed(leader).size
  }

  /** Change-log rows after `seq`, from memory when recent, else from disk. */
  async log(after: number, limit: number): Promise<LogPage> {
    this.#committer.assertOpen()
    return readLog({
      after,
      limit,
      head: this.#committer.head,
      tail: this.#committer.tail,
      adapter: this.#committer.adapter,
      slot: (key) => this.#committer.mirror.slot(key),
    })
  }

  /** Hears commits in seq order, synchronously, after they are durable. Must not throw. */
  onCommit(listener: (commit: Commit) => void): () => void {
    return this.#committer.onCommit(listener)
  }
}
