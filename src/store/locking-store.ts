/**
 * A store whose writes wait for the locks of their keys. Everything that writes on behalf of a user
 * goes through here; replication and the clean-up of limit filters write to the store itself.
 */
import type { Entry } from '../core/data/entry.ts'
import type { KeyLocks, LockedWriteOptions } from './locks/locks.ts'
import type {
  BatchItem,
  BatchResult,
  DeleteResult,
  DurabilityOption,
  Planner,
  UpdateOptions,
  WriteOptions,
  WriteResult,
} from './planning/operations.ts'
import type { Store } from './store.ts'

/** Options of a write of several keys. */
export interface LockingBatchOptions extends DurabilityOption, LockedWriteOptions {}

/** Options of a write of one key. */
export interface LockingWriteOptions extends WriteOptions, LockedWriteOptions {}

/** The part of `Store` that data is read and written through. */
export type DataStore = Pick<Store, 'get' | 'list' | 'set' | 'push' | 'update' | 'delete' | 'batch'>

/** Errors everywhere: those of `Store`, and `locked`, `lock_lost`, `overloaded`, `closing` of the locks. */
export class LockingStore {
  readonly #store: Store
  readonly #locks: KeyLocks

  constructor(store: Store, locks: KeyLocks) {
    this.#store = store
    this.#locks = locks
  }

  get(key: string): Promise<Entry | undefined> {
    return this.#store.get(key)
  }

  list(...args: Parameters<Store['list']>): ReturnType<Store['list']> {
    return this.#store.list(...args)
  }

  set(key: string, json: string, options: LockingWriteOptions = {}): Promise<WriteResult> {
    return this.#locked([key], options, () => this.#store.set(key, json, options))
  }

  /** Takes no lock: nobody can hold that of a key which does not exist yet. */
  push(...args: Parameters<Store['push']>): ReturnType<Store['push']> {
    return this.#store.push(...args)
  }

  update(
    key: string,
    change: (current: Entry) => string,
    options: LockingWriteOptions & UpdateOptions = {},
  ): Promise<WriteResult> {
    return this.#locked([key], options, () => this.#store.update(key, change, options))
  }

  /** A glob waits for every lock of a key that it matches. */
  delete(keyOrGlob: string, options: LockingWriteOptions = {}): Promise<DeleteResult> {
    return this.#locked([keyOrGlob], options, () => this.#store.delete(keyOrGlob, options))
  }

  batch(items: readonly BatchItem[], options: LockingBatchOptions = {}): Promise<BatchResult[]> {
    const keys = new Set<string>()
    for (const item of items) if (item.op !== 'push') keys.add(item.key)
    return this.#locked([...keys], options, () => this.#store.batch(items, options))
  }

  /** Runs a plan that writes these keys and globs. */
  run<Result>(
    keysOrGlobs: readonly string[],
    options: LockingBatchOptions,
    planner: Planner<Result>,
  ): Promise<Result> {
    return this.#locked(keysOrGlobs, options, () => this.#store.run(planner, options))
  }

  /** Without locks in the way the write begins at once, so that writes keep the order of their calls. */
  async #locked<Result>(
    keysOrGlobs: readonly string[],
    options: LockedWriteOptions,
    write: () => Promise<Result>,
  ): Promise<Result> {
    const turn = this.#locks.enter(keysOrGlobs, options)
    const leave = turn instanceof Promise ? await turn : turn
    try {
      return await write()
    } finally {
      leave()
    }
  }
}
