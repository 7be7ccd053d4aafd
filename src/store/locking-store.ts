/**
 * A store whose writes wait for the locks of their keys. Everything that writes on behalf of a user
 * goes through here; replication and the clean-up of limit filters write to the store itself.
 */

import type { KeyValueStore } from './key-value-store.ts'
import type { KeyLocks, LockedWriteOptions } from './locks/locks.ts'
import type { Planner } from './planning/planner.ts'
import type {
  DurabilityOption,
  StoreWriteOptions,
  Write,
  WriteOptions,
  Written,
} from './types/write.ts'

/** Options of a write of several keys. */
export interface LockingBatchOptions extends DurabilityOption, LockedWriteOptions {}

/** Options of a write of one key. */
export interface LockingWriteOptions extends WriteOptions, LockedWriteOptions {}

/** Errors everywhere: those of `KeyValueStore`, and `locked`, `lock_lost`, `overloaded`, `closing` of the locks. */
export class LockingStore {
  readonly #store: KeyValueStore
  readonly #locks: KeyLocks

  constructor(store: KeyValueStore, locks: KeyLocks) {
    this.#store = store
    this.#locks = locks
  }

  /**
   * As `KeyValueStore.write`. A glob waits for every lock of a key that it matches; a push for none, since nobody can hold
   * that of a key which does not exist yet.
   */
  write(
    writes: readonly Write[],
    options: StoreWriteOptions & LockedWriteOptions = {},
  ): Promise<Written[]> {
    const keys = new Set<string>()
    for (const { op, key } of writes) if (op !== 'push') keys.add(key)
    return this.#locked([...keys], options, () => this.#store.write(writes, options))
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
