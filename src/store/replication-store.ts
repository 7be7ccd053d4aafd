/** A store with what replication needs of it: the log, the outbox, merges, and what nodes know of each other. */
import { type StoredRecord, versionOf } from '../core/data/entry.ts'
import type { ChangeName } from '../core/data/marks.ts'
import { parseOvertaken } from '../core/data/overtaken.ts'
import type { LogPosition } from '../core/wire/protocol.ts'
import { ConflictLog, type ConflictLogOptions } from './conflicts/conflict-log.ts'
import { overtakenByFollowers } from './format/merged-versions.ts'
import type { SequencedRow } from './format/rows.ts'
import { KeyValueStore } from './key-value-store.ts'
import { endsOfEpochs, planEpoch, previousEpoch } from './log/epochs.ts'
import {
  decodeRetention,
  type ForgetOptions,
  planForget,
  RETENTION_ROW,
  type Retention,
} from './log/tombstones.ts'
import { lowerMaxStamp } from './plans/lower-max-stamp.ts'
import { planMeta } from './plans/meta.ts'
import { planRestamp } from './plans/restamp.ts'
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
import type { KeyState } from './state/state.ts'
import { type PendingQuery, readPending, readPendingRow } from './state/superseded-writes.ts'
import type { DecisionTermsOf, LeaderOf } from './types/store-options.ts'
import type { DurabilityOption } from './types/write.ts'

export class ReplicationStore extends KeyValueStore {
  /** The epoch of the opening before this one; undefined in a new storage. */
  get previousEpoch(): string | undefined {
    return previousEpoch(this.committer.requireMeta('epochs'))
  }

  /** Where each earlier epoch of the log ended, the latest first. */
  get pastEpochs(): LogPosition[] {
    return endsOfEpochs(this.committer.requireMeta('epochs'))
  }

  /** Stores small values kept beside the data, such as a replication cursor; an empty one is removed. */
  async saveMeta(
    meta: ReadonlyMap<string, string>,
    { durability }: DurabilityOption = {},
  ): Promise<void> {
    return this.committer.run(planMeta(meta), durability)
  }

  /** Says which keys are pending for a leader. Set before `open`. */
  setLeaderOf(leaderOf: LeaderOf): void {
    this.committer.leaderOf = leaderOf
  }

  /** Says how this node may decide about the keys that it leads. Set before `open`. */
  setDecisionTerms(decisionTerms: DecisionTermsOf): void {
    this.committer.decisionTerms = decisionTerms
  }

  /**
   * Runs `change`, after which the function given to `setLeaderOf` answers otherwise, between two
   * batches, and what is pending is so for the leader that it names then. @throws StateError of the adapter.
   */
  retarget(change: () => void): Promise<void> {
    this.committer.assertOpen()
    return this.committer.retarget(change)
  }

  /** Begins an epoch of the log, as each opening does. Nobody may be served the log meanwhile. */
  async beginEpoch(id: string): Promise<void> {
    return this.committer.run(planEpoch(id, this.committer.head))
  }

  /**
   * Takes records of a peer: per record the winner under the total order is kept, unless it is stamped
   * later than `notAfter`, or gets another stamp beyond `restampAfter`, or is refused by `core/records/check.ts` or by the storage.
   */
  async merge(records: readonly StoredRecord[], options: RestoreOptions): Promise<RestoreOutcome[]>
  async merge(records: readonly StoredRecord[], options: TakeOptions): Promise<TakeOutcome[]>
  async merge(records: readonly StoredRecord[], options: MergeOptions): Promise<MergeOutcome[]>
  async merge(records: readonly StoredRecord[], options: AnyMergeOptions): Promise<AnyOutcome[]> {
    for (const record of records) this.committer.clock.observe(versionOf(record))
    return mergeApart(this.committer, records, options)
  }

  /**
   * Gives records that `leader` refused as stamped in the future new stamps right after `base`, a time of
   * the leader that exceeds all it holds. @returns how many of them are still pending, in the same order.
   */
  async restamp(leader: string, rows: readonly SentRow[], base: bigint): Promise<number> {
    const { clock } = this.committer
    return this.committer.run(planRestamp(leader, rows, base, (last) => clock.observe(last)))
  }

  /** Takes the clock, which was too far ahead, back to a leader's time; see `plans/lower-max-stamp.ts`. */
  async lowerMaxStamp(stamp: bigint): Promise<void> {
    await lowerMaxStamp(this.committer.clock, stamp, (planner) => this.run(planner))
  }

  /** Removes tombstones for good, unless they changed since or are pending. @returns how many. */
  async forget(rows: readonly SequencedRow[], options: ForgetOptions): Promise<number> {
    // Written before it is applied: what is gone from memory must not be read from the disk again.
    const [durability] = this.committer.adapter.capabilities.durability
    return this.committer.run(
      planForget(rows, () => this.retention, options),
      durability,
    )
  }

  /** What the change log does not tell any more. */
  get retention(): Retention {
    return decodeRetention(this.committer.meta(RETENTION_ROW))
  }

  /** Drops from the outbox what `leader` has acknowledged, as it was sent; `meta` and `rows` in the same batch. */
  async acknowledge(...acknowledged: Parameters<typeof planAcknowledge>): Promise<void> {
    return this.committer.run(planAcknowledge(...acknowledged))
  }

  /** Owes `leader` every record it leads, for a leader whose log is new to this node. */
  async resendAll(leader: string): Promise<void> {
    await resendAll(this, (await this.committer.scan('')).rows, leader)
  }

  /**
   * Owes `leader` these rows of a scan, durably, where they are still the ones that were read.
   * @returns how many of them were not pending before.
   */
  async enqueue(leader: string, rows: readonly SequencedRow[]): Promise<number> {
    return this.committer.run(planRefill(leader, rows))
  }

  /**
   * What `leader` has not acknowledged yet, oldest change first, those of one origin as they were made. Among them
   * are changes that lost against one of the leader in the meantime, which it is shown all the same.
   */
  pending(...query: PendingQuery): Promise<SequencedRow[]> {
    return readPending(this.committer, query)
  }

  /** What `leader` has not acknowledged yet of this row; undefined when it has, or another change took its place. */
  pendingRow(leader: string, row: SequencedRow): Promise<SequencedRow | undefined> {
    return readPendingRow(this.committer, leader, row)
  }

  /** Whether this change lost here, and is still to be shown to the leader, who says what becomes of it. */
  isToBeShown(key: string, change: ChangeName): boolean {
    return this.committer.superseded.includes(key, change)
  }

  /** Names of what followers push after later changes of its origin, and is to go to `leader` (see `overtaken.ts`). */
  overtakenFor(leader: string): string[] {
    const names = overtakenByFollowers((name) => this.committer.meta(name))
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
    this.committer.assertOpen()
    return this.committer.scan(options.prefix ?? '')
  }

  /**
   * The first rows of the outbox on disk, by seq, whoever leads: also such as stand for nothing any more, and of
   * keys that this node leads by now. @throws StateError of the adapter.
   */
  async outboxRows(limit: number): Promise<{ seq: number; key: string }[]> {
    // What was answered before it was written is there then.
    await this.committer.run(planMeta(new Map()))
    return readOutboxRows(this.committer.adapter, limit)
  }

  /** How many records `leader` has not acknowledged yet. */
  pendingCount(leader: string): number {
    return this.committer.records.pendingCount(leader) + this.committer.superseded.count(leader)
  }

  /** What is known of a key: its record, its place in the log, and for whom it is pending. */
  async keyState(key: string): Promise<KeyState | undefined> {
    this.committer.assertOpen()
    return this.committer.records.keyState(key)
  }

  /** Hears that a leader has acknowledged something that was pending for it. Must not throw. */
  onSettled(listener: () => void): () => void {
    return this.committer.onSettled(listener)
  }

  /** The log of what was lost in concurrent writes; for `MergeOptions.pushed`, and to be read. */
  conflictLog(options: Omit<ConflictLogOptions, 'adapter' | 'run'>): ConflictLog {
    const { adapter } = this.committer
    return new ConflictLog({ ...options, adapter, run: (planner) => this.run(planner) })
  }
}
