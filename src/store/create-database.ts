/** A database over a store, with the parts of it that requests share. */
import type { HybridClock } from '../core/data/clock.ts'
import { type Logger, SILENT_LOGGER } from '../core/ports/logger.ts'
import type { TimeSource } from '../core/ports/time.ts'
import { Database } from './database.ts'
import type { KeyValueStore } from './key-value-store.ts'
import { LockingStore } from './locking-store.ts'
import { KeyLocks } from './locks/locks.ts'
import { type BeforeRead, ReadHooks } from './read-hooks.ts'

export interface DatabaseServices {
  readonly store: KeyValueStore
  /** The clock that stamps the store's writes. */
  readonly clock: HybridClock
  readonly time: TimeSource
  /** Makes lock tokens: unique, not to be guessed. */
  readonly newId: () => string
  readonly logger?: Logger
  /** Keys and globs whose changes watchers are not told. Default none. */
  readonly noBroadcastKeys?: readonly string[]
  /** Milliseconds that locks and writes wait for a lock when they do not say. Default 5000; 0 for not at all. */
  readonly lockWaitMs?: number
  /** Milliseconds a read waits for its hooks. Default 5000; 0 for as long as they take. */
  readonly beforeReadTimeoutMs?: number
  /** Read hooks registered elsewhere, asked at each read. Default none. */
  readonly beforeRead?: () => readonly BeforeRead[]
}

export interface DatabaseParts {
  readonly database: Database
  /** The store, with writes that wait for the database's locks. */
  readonly lockingStore: LockingStore
  /** What runs before each read. */
  readonly reads: ReadHooks
}

/** @throws StateError `invalid_option`. */
export function createDatabase(services: DatabaseServices): DatabaseParts {
  const { store, clock, time, newId, noBroadcastKeys = [], lockWaitMs = 5000 } = services
  const locks = new KeyLocks({ time, newToken: newId, nextFence: () => clock.now(), lockWaitMs })
  const lockingStore = new LockingStore(store, locks)
  const reads = new ReadHooks({
    registered: services.beforeRead ?? (() => []),
    time,
    logger: services.logger ?? SILENT_LOGGER,
    timeoutMs: services.beforeReadTimeoutMs ?? 5000,
  })
  const database = new Database({ store, lockingStore, locks, reads, clock, noBroadcastKeys })
  return { database, lockingStore, reads }
}
