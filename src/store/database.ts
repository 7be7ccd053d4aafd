/**
 * A node's data for its owner's own code: every operation on keys, lists and ranges, locks, and a
 * watch. Values are compact JSON text, given back digit for digit. Filters and static mode are for
 * what comes from outside and do not apply. `server.database` is one.
 */
import type { HybridClock } from '../core/data/clock.ts'
import type { Entry } from '../core/data/entry.ts'
import { StateError } from '../core/errors.ts'
import { compactJson } from '../core/json/json.ts'
import { assertKey, hasGlob, keysOverlap, MAX_KEY_SEGMENTS, matchKey } from '../core/keys/key.ts'
import type { LogPosition } from '../core/wire/protocol.ts'
import type { KeyValueStore } from './key-value-store.ts'
import type { LockingBatchOptions, LockingStore, LockingWriteOptions } from './locking-store.ts'
import type { KeyLocks, Lock, LockMetrics, LockOptions } from './locks/locks.ts'
import { assertDrift, type EntryMeta, planSetWithMeta } from './plans/set-with-meta.ts'
import { planSilentDelete } from './plans/silent-delete.ts'
import type { BeforeRead, ReadHooks } from './read-hooks.ts'
import { checkedWrite, checkedWrites } from './types/checked-write.ts'
import { assertRange, assertSpan, definedRange, type ListRange } from './types/ranges.ts'
import {
  type DeleteResult,
  type DurabilityOption,
  deletedOf,
  resultOf,
  type Write,
  type WriteResult,
  type Written,
} from './types/write.ts'
import { type WatchEvent, Watcher } from './watcher.ts'

export interface DatabaseOptions {
  readonly store: KeyValueStore
  /** Its writes wait for `locks`. */
  readonly lockingStore: LockingStore
  readonly locks: KeyLocks
  readonly reads: ReadHooks
  /** The clock that stamps the store's writes. */
  readonly clock: HybridClock
  /** Keys and globs whose changes watchers are not told. Default none. */
  readonly noBroadcastKeys?: readonly string[]
}

export interface WatchOptions {
  /** A key or glob. Default: everything. */
  readonly pattern?: string | undefined
  /** Tells what came after this position, which an event, `position` or a `snapshot` gave. Default: now. */
  readonly after?: LogPosition | undefined
  /** Aborting it ends the watch, as if nothing more came. */
  readonly signal?: AbortSignal | undefined
  /** Bytes of commits that may wait for the reader before the log takes their place. Default 1 MiB. */
  readonly maxBufferedBytes?: number | undefined
}

/** Committed changes as an async iterable; `return` or the end of a `for await` ends it. */
export interface Watch extends AsyncIterableIterator<WatchEvent, undefined> {
  /** Everything up to here has been given out, or was not asked for. */
  readonly position: LogPosition
}

/** A lock with the entry it was taken for. */
export interface LockedEntry {
  readonly lock: Lock
  readonly entry: Entry
}

/** Gauges of this moment, and counters since the database was made. */
export interface DatabaseMetrics {
  readonly locks: LockMetrics
  readonly watchers: number
  /** Bytes of commits that wait for their watchers, roughly. */
  readonly watchBufferedBytes: number
  /** How often a watcher fell behind and went on from the change log. */
  readonly watchersFellBehind: number
  /** Reads that went on because their hooks took too long. */
  readonly lateReadHooks: number
}

const DEFAULT_BUFFERED_BYTES = 1024 * 1024

/** @throws StateError everywhere; each operation names the codes of its own. */
export class Database {
  readonly #options: DatabaseOptions
  readonly #store: KeyValueStore
  readonly #lockingStore: LockingStore
  readonly #locks: KeyLocks
  readonly #watchers = new Set<Watcher>()
  #fellBehind = 0

  constructor(options: DatabaseOptions) {
    this.#options = options
    this.#store = options.store
    this.#lockingStore = options.lockingStore
    this.#locks = options.locks
  }

  /** The entry of a plain key; undefined when there is none. @throws `invalid_key`, `invalid_glob`. */
  async get(key: string): Promise<Entry | undefined> {
    assertPlain(key)
    await this.#options.reads.run(key)
    return this.#store.get(key)
  }

  /**
   * The entries of a glob: newest first or oldest first, all or the first `limit`, of all time or of a
   * span. @throws `invalid_glob` for a plain key, `invalid_option` naming what is wrong with a range.
   */
  async list(glob: string, range: ListRange = {}): Promise<Entry[]> {
    assertGlob(glob)
    assertRange(range)
    await this.#options.reads.run(glob)
    return this.#store.list(glob, definedRange(range))
  }

  /** The entries of a key or glob, newest first, with the position to watch on from. */
  async snapshot(pattern: string): Promise<{ position: LogPosition; entries: Entry[] }> {
    assertKey(pattern)
    await this.#options.reads.run(pattern)
    const { seq, entries } = await this.#store.read(pattern)
    return { position: { epoch: this.#store.epoch, seq }, entries }
  }

  /** The keys that one of these keys and globs covers, each once, bytewise ascending. Default: all. */
  async keys(patterns?: string | readonly string[]): Promise<string[]> {
    if (patterns === undefined) return this.#store.keys()
    const found = new Set<string>()
    for (const pattern of typeof patterns === 'string' ? [patterns] : patterns) {
      assertKey(pattern)
      for (const { key } of await this.#store.list(pattern)) found.add(key)
    }
    return [...found].sort()
  }

  /**
   * The keys of a glob with `from` ≤ `created` ≤ `to`, oldest first. No read hook is asked.
   * @throws `invalid_glob`, `invalid_option` when `to` is less than `from`.
   */
  async keysRange(glob: string, from: bigint, to: bigint): Promise<string[]> {
    assertGlob(glob)
    assertSpan(from, to)
    const entries = await this.#store.list(glob, { order: 'oldest', from, to })
    return entries.map(({ key }) => key)
  }

  /** Writes under a plain key. Errors of `KeyValueStore.set`; `locked`, `lock_lost`. */
  set(key: string, json: string, options?: LockingWriteOptions): Promise<WriteResult> {
    return this.#write({ op: 'set', key, json, precondition: options?.precondition }, options)
  }

  /** Writes under a new key made from a glob that ends in `*` as a segment. */
  push(glob: string, json: string, options?: DurabilityOption): Promise<WriteResult> {
    return this.#write({ op: 'push', key: glob, json }, options)
  }

  /**
   * Writes a value with stamps of the caller's choice, whatever is there. Other nodes keep what they
   * hold under a greater version, and give it back.
   * @throws also `invalid_option` for a stamp below 0 or beyond the year 2200, `clock_drift` for one
   * further in the future than the clock allows (60 s), which every later stamp would have to exceed.
   */
  async setWithMeta(
    key: string,
    json: string,
    meta: EntryMeta,
    options: LockingBatchOptions = {},
  ): Promise<WriteResult> {
    const planner = planSetWithMeta(key, compactJson(json), meta)
    const { clock } = this.#options
    clock.observe(assertDrift(key, meta, clock))
    return resultOf([await this.#lockingStore.run([key], options, planner)])
  }

  /** Replaces the data by what `change` makes of it, atomically. @throws `not_found`; else as `set`. */
  update(
    key: string,
    change: (current: Entry) => string,
    options?: LockingWriteOptions,
  ): Promise<WriteResult> {
    return this.#write({ op: 'update', key, change, precondition: options?.precondition }, options)
  }

  /** Deletes a plain key (`not_found` when absent), or all that a glob matches, in one commit. */
  async delete(keyOrGlob: string, options?: LockingWriteOptions): Promise<DeleteResult> {
    const write: Write = { op: 'delete', key: keyOrGlob, precondition: options?.precondition }
    return deletedOf(await this.#lockingStore.write([write], options))
  }

  /**
   * As `delete`, but nobody on this node is told: no subscriber, watcher or hook. Subscribers go on
   * showing the entries until they get a snapshot read again; other nodes delete, and tell theirs.
   */
  async deleteSilent(keyOrGlob: string, options: LockingWriteOptions = {}): Promise<DeleteResult> {
    const planner = planSilentDelete(keyOrGlob, options)
    return deletedOf([await this.#lockingStore.run([keyOrGlob], options, planner)])
  }

  /** All of the operations in order, or none; one commit. */
  async batch(writes: readonly Write[], options?: LockingBatchOptions): Promise<Written[]> {
    return this.#lockingStore.write(checkedWrites(writes), { ...options, isBatch: true })
  }

  /**
   * Deletes everything, in one commit: tombstones are left, subscribers and other nodes are told. What
   * is written meanwhile may stay.
   */
  async clear(options?: LockingBatchOptions): Promise<DeleteResult> {
    const depths = new Set<number>()
    const writes: Write[] = []
    for (const key of await this.#store.keys()) {
      const depth = key.split('/').length
      // No glob reaches what an earlier release wrote deeper than keys may be now.
      if (depth > MAX_KEY_SEGMENTS) writes.push({ op: 'delete', key })
      else depths.add(depth)
    }
    for (const depth of depths) writes.push({ op: 'delete', key: Array(depth).fill('*').join('/') })
    return deletedOf(await this.#lockingStore.write(writes, options))
  }

  /** Takes the lock of a plain key, whether there is an entry or not. See `KeyLocks.lock`. */
  lock(key: string, options?: LockOptions): Promise<Lock> {
    return this.#locks.lock(key, options)
  }

  /**
   * Takes the lock of a key, then reads it: nobody writes it here until the lock ends.
   * @throws as `lock`; `not_found` when there is no entry, and the lock is given back, as it is
   * whenever the read fails.
   */
  async getAndLock(key: string, options?: LockOptions): Promise<LockedEntry> {
    const lock = await this.#locks.lock(key, options)
    try {
      await this.#options.reads.run(key)
      const entry = await this.#store.get(key)
      if (entry === undefined) throw new StateError('not_found', 'storage: not found')
      this.#locks.assertHeld(key, lock.token)
      return { lock, entry }
    } catch (error) {
      this.#release(lock.key, lock.token)
      throw error
    }
  }

  /**
   * Writes a key whose lock the caller holds, and gives the lock back, also when the write fails.
   * @throws `lock_lost` unless `token` holds the lock, which then nothing happens to; else as `set`.
   */
  async setAndUnlock(key: string, json: string, token: string): Promise<WriteResult> {
    assertPlain(key)
    this.#locks.assertHeld(key, token)
    try {
      return await this.set(key, json, { lock: token })
    } finally {
      this.#release(key, token)
    }
  }

  /** Gives a lock back. @throws `lock_lost` unless `token` holds it. */
  unlock(key: string, token: string): void {
    this.#locks.unlock(key, token)
  }

  /** Makes a lock last `ttlMs` (default 30 000) from now. @throws `lock_lost` unless `token` holds it. */
  extendLock(key: string, token: string, ttlMs?: number): void {
    this.#locks.extend(key, token, ttlMs)
  }

  /**
   * Tells committed changes in the order of commits, from the moment of this call or from a position.
   * Every watch hears everything it asks for, at its own speed and in bounded memory: see `Watcher`.
   * It ends when the database closes.
   * @throws `position_lost` when `after` is not on the log of this node: take a `snapshot` and watch
   * from there; `invalid_key`, `invalid_option`.
   */
  watch(options: WatchOptions = {}): Watch {
    const { pattern, after, signal } = options
    if (pattern !== undefined) assertKey(pattern)
    // Also refuses while the store is not open.
    const { epoch } = this.#store
    const maxBufferedBytes = options.maxBufferedBytes ?? DEFAULT_BUFFERED_BYTES
    assertBytes(maxBufferedBytes)
    if (after !== undefined) this.#assertOnLog(after)
    const position = after ?? { epoch, seq: this.#store.head }
    const silent = this.#options.noBroadcastKeys ?? []
    const abort = (): void => void watcher.return()
    const watcher: Watcher = new Watcher({
      source: this.#store,
      after: position.seq,
      wants: (key) =>
        (pattern === undefined || matchKey(pattern, key)) &&
        !silent.some((listed) => keysOverlap(listed, key)),
      maxBufferedBytes,
      onBehind: () => this.#fellBehind++,
      onEnd: () => {
        this.#watchers.delete(watcher)
        signal?.removeEventListener('abort', abort)
      },
    })
    this.#watchers.add(watcher)
    signal?.addEventListener('abort', abort, { once: true })
    if (signal?.aborted === true) abort()
    return watcher
  }

  /** Puts a read hook in the place of the one set before; undefined for none. Others stay. */
  setBeforeRead(hook: BeforeRead | undefined): void {
    this.#options.reads.set(hook)
  }

  metrics(): DatabaseMetrics {
    const watchers = [...this.#watchers]
    return {
      locks: this.#locks.metrics(),
      watchers: watchers.length,
      watchBufferedBytes: watchers.reduce((sum, { bufferedBytes }) => sum + bufferedBytes, 0),
      watchersFellBehind: this.#fellBehind,
      lateReadHooks: this.#options.reads.late,
    }
  }

  /** Ends locks and watches, with `reason` when there is one; the store stays open. Idempotent. */
  close(reason?: StateError): void {
    this.#locks.close(reason)
    for (const watcher of [...this.#watchers]) watcher.close(reason)
  }

  async #write(write: Write, options?: LockingBatchOptions): Promise<WriteResult> {
    return resultOf(await this.#lockingStore.write([checkedWrite(write)], options))
  }

  /** Ends a lock that may have ended by itself. */
  #release(key: string, token: string): void {
    try {
      this.#locks.unlock(key, token)
    } catch {
      // It expired meanwhile, which is what was wanted.
    }
  }

  #assertOnLog(after: LogPosition): void {
    if (this.#store.canResume(after)) return
    throw new StateError(
      'position_lost',
      `storage: position ${after.seq} of epoch "${after.epoch}" is not on this node's log, which ends at ${this.#store.head} of epoch "${this.#store.epoch}"`,
    )
  }
}

function assertPlain(key: string): void {
  assertKey(key)
  if (!hasGlob(key)) return
  throw new StateError('invalid_glob', 'storage: glob pattern not allowed for this operation')
}

function assertGlob(glob: string): void {
  assertKey(glob)
  if (hasGlob(glob)) return
  throw new StateError('invalid_glob', 'storage: invalid pattern, glob required')
}

function assertBytes(bytes: number): void {
  if (Number.isSafeInteger(bytes) && bytes >= 0) return
  throw new StateError(
    'invalid_option',
    `storage: maxBufferedBytes must be an integer from 0, not ${bytes}`,
  )
}
