/** Ordered reads and writes over one storage adapter, and what replication needs of it. See `committer.ts`. */
import type { Commit, Entry } from '../core/data/entry.ts'
import type { LogPosition } from '../core/wire/protocol.ts'
import { Committer } from './commit/committer.ts'
import { StoreCondition } from './condition.ts'
import { type LogPage, readLog } from './log/change-log.ts'
import { currentEpoch, isOnLog } from './log/epochs.ts'
import type { Planner } from './planning/planner.ts'
import { planBatch } from './plans/batch.ts'
import { planSweep } from './plans/sweep.ts'
import { planWrite } from './plans/write.ts'
import type { ListOptions } from './state/state.ts'
import { checkedWrite, checkedWrites } from './types/checked-write.ts'
import type { ListPace } from './types/list-pace.ts'
import type { StoreOptions } from './types/store-options.ts'
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

export class KeyValueStore extends StoreCondition {
  constructor(options: StoreOptions) {
    super(new Committer(options))
  }

  /** Opens the adapter and reads the state. @throws StateError of the adapter, or `corrupt_record`. */
  open(): Promise<void> {
    return this.committer.open()
  }

  /** Waits for writes under way, then closes the adapter. New writes are refused at once. */
  close(): Promise<void> {
    return this.committer.close()
  }

  /** Resolves when no write is under way. */
  settled(): Promise<void> {
    return this.committer.settled()
  }

  /** Id of this node. Made once, kept on disk. */
  get id(): string {
    return this.committer.requireMeta('id')
  }

  /** Id of this life of the change log: a new one each time the store opens. */
  get epoch(): string {
    return currentEpoch(this.committer.requireMeta('epochs'))
  }

  /** Whether everything after `cursor` in this node's log is exactly what its holder lacks. */
  canResume(cursor: LogPosition): boolean {
    return isOnLog(this.committer.requireMeta('epochs'), this.committer.head, cursor)
  }

  /** Seq of the last committed change. */
  get head(): number {
    return this.committer.head
  }

  /** A small durable value kept beside the data, such as a replication cursor. */
  meta(name: string): string | undefined {
    return this.committer.meta(name)
  }

  /** The leader a key is followed from; undefined when it is led here. */
  leaderOf(key: string): string | undefined {
    return this.committer.leaderOf(key)
  }

  /** @throws StateError `corrupt_record` when what is stored under the key is damaged. */
  async get(key: string): Promise<Entry | undefined> {
    this.committer.assertOpen()
    const keyState = await this.committer.records.keyState(key)
    this.committer.damage.assertIntact(key)
    return keyState?.record.kind === 'entry' ? keyState.record : undefined
  }

  /**
   * Entries matching a key or glob. Damaged ones are left out; `damagedCount` tells how many.
   * @param pace how many of them are read; default: at once
   */
  async list(pattern: string, options: ListOptions = {}, pace?: ListPace): Promise<Entry[]> {
    this.committer.assertOpen()
    const { entries } = await this.committer.records.list(pattern, options, pace)
    return entries
  }

  /** All keys that start with `prefix`, bytewise ascending. Default: all keys. */
  async keys(prefix = ''): Promise<string[]> {
    this.committer.assertOpen()
    return this.committer.records.keys(prefix)
  }

  /**
   * Entries in display order, exactly as of commit `seq`.
   * @throws StateError `corrupt_record` when what is stored under a plain key is damaged.
   */
  async read(pattern: string, pace?: ListPace): Promise<{ seq: number; entries: Entry[] }> {
    this.committer.assertOpen()
    const found = await this.committer.records.list(pattern, {}, pace)
    this.committer.damage.assertIntact(pattern)
    return found
  }

  /**
   * Makes one write, or several of which each sees what those before it did: all or none, in one commit.
   * @throws StateError `invalid_key`, `invalid_glob`, `not_found`, `storage_failed`, `overloaded`, `not_open`; with a
   * precondition also `precondition_failed`, and `not_leader` where another node leads the key. Of a batch the text
   * is led by `operations[<i>]: `.
   * The JSON text of the writes is compact, and not checked: the other methods do.
   */
  async write(writes: readonly Write[], options: StoreWriteOptions = {}): Promise<Written[]> {
    const [only] = writes
    if (only === undefined || options.isBatch === true || writes.length > 1) {
      return this.committer.run(planBatch(writes), options.durability)
    }
    return [await this.committer.run(planWrite(only), options.durability)]
  }

  /** Writes `json` (JSON text) under a plain key. Errors as `write`. */
  set(key: string, json: string, options?: WriteOptions): Promise<WriteResult> {
    return this.#one({ op: 'set', key, json, precondition: options?.precondition }, options)
  }

  /** Writes under a new key made from `glob`, whose last segment is `*`. Errors as `write`. */
  push(glob: string, json: string, options?: DurabilityOption): Promise<WriteResult> {
    return this.#one({ op: 'push', key: glob, json }, options)
  }

  /** Replaces an entry's data by what `change` makes of it, atomically. Errors as `write`, and what `change` throws. */
  update(
    key: string,
    change: (current: Entry) => string,
    options?: WriteOptions,
  ): Promise<WriteResult> {
    return this.#one({ op: 'update', key, change, precondition: options?.precondition }, options)
  }

  /** Deletes a key, or every key that matches a glob, leaving tombstones. Errors as `write`. */
  async delete(keyOrGlob: string, options?: WriteOptions): Promise<DeleteResult> {
    const write: Write = { op: 'delete', key: keyOrGlob, precondition: options?.precondition }
    return deletedOf(await this.write([write], options))
  }

  /** All of the writes or none, in one commit. Errors as `write`. */
  async batch(writes: readonly Write[], options?: DurabilityOption): Promise<Written[]> {
    return this.write(checkedWrites(writes), { ...options, isBatch: true })
  }

  /** Deletes what `choose` picks of the entries of `glob`, in one step. Errors as `set`. */
  async sweep(
    glob: string,
    choose: (entries: readonly Entry[]) => readonly Entry[],
  ): Promise<void> {
    await this.committer.run(planSweep(glob, choose))
  }

  /** Runs an operation that is planned elsewhere, in its turn. Errors as `set`, and what it throws. */
  async run<Result>(planner: Planner<Result>, options?: DurabilityOption): Promise<Result> {
    return this.committer.run(planner, options?.durability)
  }

  /** Change-log rows after `seq`, from memory when recent, else from disk. */
  async log(after: number, limit: number): Promise<LogPage> {
    this.committer.assertOpen()
    return readLog({
      after,
      limit,
      head: this.committer.head,
      tail: this.committer.tail,
      adapter: this.committer.adapter,
      keyStates: (keys) => this.committer.records.keyStates(keys),
    })
  }

  /** Hears commits in seq order, synchronously, after they are durable. Must not throw. */
  onCommit(listener: (commit: Commit) => void): () => void {
    return this.committer.onCommit(listener)
  }

  async #one(write: Write, options: DurabilityOption | undefined): Promise<WriteResult> {
    return resultOf(await this.write([checkedWrite(write)], options))
  }
}
