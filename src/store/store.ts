/** Ordered reads and writes over one storage adapter, and what replication needs of it. See `committer.ts`. */
import { type Commit, type Entry, type StoredRecord, versionOf } from '../core/data/entry.ts'
import type { ChangeName } from '../core/data/marks.ts'
import { parseOvertaken } from '../core/data/overtaken.ts'
import type { LogPosition } from '../core/wire/protocol.ts'
import { Committer } from './commit/committer.ts'
import { StoreCondition } from './condition.ts'
import { ConflictLog, type ConflictLogOptions } from './conflicts/conflict-log.ts'
import { overtakenByFollowers } from './format/merged-versions.ts'
import type { SequencedRow } from './format/rows.ts'
import { type LogPage, readLog } from './log/change-log.ts'
import { currentEpoch, endsOfEpochs, isOnLog, planEpoch, previousEpoch } from './log/epochs.ts'
import {
  decodeRetention,
  type ForgetOptions,
  planForget,
  RETENTION_ROW,
  type Retention,
} from './log/tombstones.ts'
import type { Planner } from './planning/planner.ts'
import { planBatch } from './plans/batch.ts'
import { lowerMaxStamp } from './plans/lower-max-stamp.ts'
import { planMeta } from './plans/meta.ts'
import { planRestamp } from './plans/restamp.ts'
import { planSweep } from './plans/sweep.ts'
import { planWrite } from './plans/write.ts'
import { mergeApart } from './replication/merge-apart.ts'
import { type RecordStream, recordsOf } from './replication/records-of.ts'
import type {
  AnyMergeOptions,
  AnyOutcome,
  MergeOptions,
  MergeOutcome,
  RestoreOptions,
  RestoreOutcome,
  SentRow,
  TakeOptions,
  TakeOutcome,
} from './replication/replication.ts'
import { planAcknowledge, planRefill } from './replication/replication.ts'
import { resendAll } from './replication/resend-all.ts'
import { readOutboxRows } from './state/outbox-rows.ts'
import type { RecordScan, ScanOptions } from './state/scan-records.ts'
import type { KeyState, ListOptions } from './state/state.ts'
import { type PendingQuery, readPending, readPendingRow } from './state/superseded-writes.ts'
import type { ListPace } from './types/list-pace.ts'
import type { DecisionTermsOf, LeaderOf, StoreOptions } from './types/store-options.ts'
import {
  type DeleteResult,
  type DurabilityOption,
  deletedOf,
  resultOf,
  type StoreWriteOptions,
  type Write,
  type WriteOptions,
  type WriteResult,
  type Written,
} from './types/write.ts'

export type { DecisionTerms, LeaderOf, StoreOptions } from './types/store-options.ts'

export class Store extends StoreCondition {
  readonly #committer: Committer

  constructor(options: StoreOptions) {
    const committer = new Committer(options)
    super(committer)
    this.#committer = committer
  }

  /** Opens the adapter and reads the state. @throws StateError of the adapter, or `corrupt_record`. */
  open(): Promise<void> {
    return this.#committer.open()
  }

  /** Waits for writes under way, then closes the adapter. New writes are refused at once. */
  close(): Promise<void> {
    return this.#committer.close()
  }

  /** Resolves when no write is under way. */
  settled(): Promise<void> {
    return this.#committer.settled()
  }

  /** Id of this node. Made once, kept on disk. */
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

  /** Where each earlier epoch of the log ended, the latest first. */
  get pastEpochs(): LogPosition[] {
    return endsOfEpochs(this.#committer.requireMeta('epochs'))
  }

  /** Seq of the last committed change. */
  get head(): number {
    return this.#committer.head
  }

  /** A small durable value kept beside the data, such as a replication cursor. */
  meta(name: string): string | undefined {
    return this.#committer.meta(name)
  }

  /** Stores small values kept beside the data, such as a replication cursor; an empty one is removed. */
  async saveMeta(
    meta: ReadonlyMap<string, string>,
    { durability }: DurabilityOption = {},
  ): Promise<void> {
    return this.#committer.run(planMeta(meta), durability)
  }

  /** The leader a key is followed from; undefined when it is led here. */
  leaderOf(key: string): string | undefined {
    return this.#committer.leaderOf(key)
  }

  /** Says which keys are pending for a leader. Set before `open`. */
  setLeaderOf(leaderOf: LeaderOf): void {
    this.#committer.leaderOf = leaderOf
  }

  /** Says how this node may decide about the keys that it leads. Set before `open`. */
  setDecisionTerms(decisionTerms: DecisionTermsOf): void {
    this.#committer.decisionTerms = decisionTerms
  }

  /**
   * Runs `change`, after which the function given to `setLeaderOf` answers otherwise, between two
   * batches, and what is pending is so for the leader that it names then. @throws StateError of the adapter.
   */
  retarget(change: () => void): Promise<void> {
    this.#committer.assertOpen()
    return this.#committer.retarget(change)
  }

  /** Begins an epoch of the log, as each opening does. Nobody may be served the log meanwhile. */
  async beginEpoch(id: string): Promise<void> {
    return this.#committer.run(planEpoch(id, this.#committer.head))
  }

  /** @throws StateError `corrupt_record` when what is stored under the key is damaged. */
  async get(key: string): Promise<Entry | undefined> {
    this.#committer.assertOpen()
    const keyState = await this.#committer.records.keyState(key)
    this.#committer.damage.assertIntact(key)
    return keyState?.record.kind === 'entry' ? keyState.record : undefined
  }

  /**
   * Entries matching a key or glob. Damaged ones are left out; `damagedCount` tells how many.
   * @param pace how many of them are read; default: at once
   */
  async list(pattern: string, options: ListOptions = {}, pace?: ListPace): Promise<Entry[]> {
    this.#committer.assertOpen()
    const { entries } = await this.#committer.records.list(pattern, options, pace)
    return entries
  }

  /** All keys that start with `prefix`, bytewise ascending. Default: all keys. */
  async keys(prefix = ''): Promise<string[]> {
    this.#committer.assertOpen()
    return this.#committer.records.keys(prefix)
  }

  /**
   * Entries in display order, exactly as of commit `seq`.
   * @throws StateError `corrupt_record` when what is stored under a plain key is damaged.
   */
  async read(pattern: string, pace?: ListPace): Promise<{ seq: number; entries: Entry[] }> {
    this.#committer.assertOpen()
    const found = await this.#committer.records.list(pattern, {}, pace)
    this.#committer.damage.assertIntact(pattern)
    return found
  }

  /**
   * Makes one write, or several of which each sees what those before it did: all or none, in one commit.
   * @throws StateError `invalid_key`, `invalid_glob`, `not_found`, `storage_failed`, `overloaded`, `not_open`; with a
   * precondition also `precondition_failed`, and `not_leader` where another node leads the key. Of a batch the text
   * is led by `operations[<i>]: `.
   */
  async write(writes: readonly Write[], options: StoreWriteOptions = {}): Promise<Written[]> {
    const [only] = writes
    if (only === undefined || options.isBatch === true || writes.length > 1) {
      return this.#committer.run(planBatch(writes), options.durability)
    }
    return [await this.#committer.run(planWrite(only), options.durability)]
  }

  /** Writes `json` (compact JSON text) under a plain key. Errors as `write`. */
  async set(key: string, json: string, options?: WriteOptions): Promise<WriteResult> {
    return resultOf(
      await this.write([{ op: 'set', key, json, precondition: options?.precondition }], options),
    )
  }

  /** Writes under a new key made from `glob`, whose last segment is `*`. Errors as `write`. */
  async push(glob: string, json: string, options?: DurabilityOption): Promise<WriteResult> {
    return resultOf(await this.write([{ op: 'push', key: glob, json }], options))
  }

  /** Replaces an entry's data by what `change` makes of it, atomically. Errors as `write`, and what `change` throws. */
  async update(
    key: string,
    change: (current: Entry) => string,
    options?: WriteOptions,
  ): Promise<WriteResult> {
    return resultOf(
      await this.write(
        [{ op: 'update', key, change, precondition: options?.precondition }],
        options,
      ),
    )
  }

  /** Deletes a key, or every key that matches a glob, leaving tombstones. Errors as `write`. */
  async delete(keyOrGlob: string, options?: WriteOptions): Promise<DeleteResult> {
    return deletedOf(
      await this.write(
        [{ op: 'delete', key: keyOrGlob, precondition: options?.precondition }],
        options,
      ),
    )
  }

  /** All of the writes or none, in one commit. Errors as `write`. */
  batch(writes: readonly Write[], options?: DurabilityOption): Promise<Written[]> {
    return this.write(writes, { ...options, isBatch: true })
  }

  /** Deletes what `choose` picks of the entries of `glob`, in one step. Errors as `set`. */
  async sweep(
    glob: string,
    choose: (entries: readonly Entry[]) => readonly Entry[],
  ): Promise<void> {
    await this.#committer.run(planSweep(glob, choose))
  }

  /** Runs an operation that is planned elsewhere, in its turn. Errors as `set`, and what it throws. */
  async run<Result>(planner: Planner<Result>, options?: DurabilityOption): Promise<Result> {
    return this.#committer.run(planner, options?.durability)
  }

  /**
   * Takes records of a peer: per record the winner under the total order is kept, unless it is stamped
   * later than `notAfter`, or gets another stamp beyond `restampAfter`, or is refused by `core/record-check.ts` or by the storage.
   */
  async merge(records: readonly StoredRecord[], options: RestoreOptions): Promise<RestoreOutcome[]>
  async merge(records: readonly StoredRecord[], options: TakeOptions): Promise<TakeOutcome[]>
  async merge(records: readonly StoredRecord[], options: MergeOptions): Promise<MergeOutcome[]>
  async merge(records: readonly StoredRecord[], options: AnyMergeOptions): Promise<AnyOutcome[]> {
    for (const record of records) this.#committer.clock.observe(versionOf(record))
    return mergeApart(this.#committer, records, options)
  }

  /**
   * Gives records that `leader` refused as stamped in the future new stamps right after `base`, a time of
   * the leader that exceeds all it holds. @returns how many of them are still pending, in the same order.
   */
  async restamp(leader: string, rows: readonly SentRow[], base: bigint): Promise<number> {
    const { clock } = this.#committer
    return this.#committer.run(planRestamp(leader, rows, base, (last) => clock.observe(last)))
  }

  /** Takes the clock, which was too far ahead, back to a leader's time; see `plan-lower-max-stamp.ts`. */
  async lowerMaxStamp(stamp: bigint): Promise<void> {
    await lowerMaxStamp(this.#committer.clock, stamp, (planner) => this.run(planner))
  }

  /** Removes tombstones for good, unless they changed since or are pending. @returns how many. */
  async forget(rows: readonly SequencedRow[], options: ForgetOptions): Promise<number> {
    // Written before it is applied: what is gone from memory must not be read from the disk again.
    const [durability] = this.#committer.adapter.capabilities.durability
    return this.#committer.run(
      planForget(rows, () => this.retention, options),
      durability,
    )
  }

  /** What the change log does not tell any more. */
  get retention(): Retention {
    return decodeRetention(this.#committer.meta(RETENTION_ROW))
  }

  /** Drops from the outbox what `leader` has acknowledged, as it was sent; `meta` and `rows` in the same batch. */
  async acknowledge(...acknowledged: Parameters<typeof planAcknowledge>): Promise<void> {
    return this.#committer.run(planAcknowledge(...acknowledged))
  }

  /** Owes `leader` every record it leads, for a leader whose log is new to this node. */
  async resendAll(leader: string): Promise<void> {
    await resendAll(this, (await this.#committer.scan('')).rows, leader)
  }

  /**
   * Owes `leader` these rows of a scan, durably, where they are still the ones that were read.
   * @returns how many of them were not pending before.
   */
  async enqueue(leader: string, rows: readonly SequencedRow[]): Promise<number> {
    return this.#committer.run(planRefill(leader, rows))
  }

  /**
   * What `leader` has not acknowledged yet, oldest change first, those of one origin as they were made. Among them
   * are changes that lost against one of the leader in the meantime, which it is shown all the same.
   */
  pending(...query: PendingQuery): Promise<SequencedRow[]> {
    return readPending(this.#committer, query)
  }

  /** What `leader` has not acknowledged yet of this row; undefined when it has, or another change took its place. */
  pendingRow(leader: string, row: SequencedRow): Promise<SequencedRow | undefined> {
    return readPendingRow(this.#committer, leader, row)
  }

  /** Whether this change lost here, and is still to be shown to the leader, who says what becomes of it. */
  isToBeShown(key: string, change: ChangeName): boolean {
    return this.#committer.superseded.includes(key, change)
  }

  /** Names of what followers push after later changes of its origin, and is to go to `leader` (see `overtaken.ts`). */
  overtakenFor(leader: string): string[] {
    const names = overtakenByFollowers((name) => this.#committer.meta(name))
    return names.filter((name) => {
      const { key } = parseOvertaken(name)
      return key === '' || this.leaderOf(key) === leader
    })
  }

  /**
   * Every record whose key starts with `prefix` (default: all), tombstones included, key ascending,
   * exactly as of commit `seq`. Streamed; writes go on meanwhile. Damaged ones are left out; one that
   * memory still has whole is told as it is by now.
   */
  async scan(options?: ScanOptions): Promise<RecordStream> {
    const { seq, rows } = await this.scanRows(options)
    return { seq, records: recordsOf(rows) }
  }

  /** As `scan`, each record with the place of its latest change in this node's log. */
  async scanRows(options: ScanOptions = {}): Promise<RecordScan> {
    this.#committer.assertOpen()
    return this.#committer.scan(options.prefix ?? '')
  }

  /**
   * The first rows of the outbox on disk, by seq, whoever leads: also such as stand for nothing any more, and of
   * keys that this node leads by now. @throws StateError of the adapter.
   */
  async outboxRows(limit: number): Promise<{ seq: number; key: string }[]> {
    // What was answered before it was written is there then.
    await this.#committer.run(planMeta(new Map()))
    return readOutboxRows(this.#committer.adapter, limit)
  }

  /** How many records `leader` has not acknowledged yet. */
  pendingCount(leader: string): number {
    return this.#committer.records.pendingCount(leader) + this.#committer.superseded.count(leader)
  }

  /** What is known of a key: its record, its place in the log, and for whom it is pending. */
  async keyState(key: string): Promise<KeyState | undefined> {
    this.#committer.assertOpen()
    return this.#committer.records.keyState(key)
  }

  /** Hears that a leader has acknowledged something that was pending for it. Must not throw. */
  onSettled(listener: () => void): () => void {
    return this.#committer.onSettled(listener)
  }

  /** The log of what was lost in concurrent writes; for `MergeOptions.pushed`, and to be read. */
  conflictLog(options: Omit<ConflictLogOptions, 'adapter' | 'run'>): ConflictLog {
    const { adapter } = this.#committer
    return new ConflictLog({ ...options, adapter, run: (planner) => this.run(planner) })
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
      keyStates: (keys) => this.#committer.records.keyStates(keys),
    })
  }

  /** Hears commits in seq order, synchronously, after they are durable. Must not throw. */
  onCommit(listener: (commit: Commit) => void): () => void {
    return this.#committer.onCommit(listener)
  }
}
