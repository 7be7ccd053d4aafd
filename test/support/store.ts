/** Stores over memory for tests, with ids that say which store made them. */
import { HybridClock } from '../../src/core/data/clock.ts'
import type { StorageAdapter } from '../../src/core/ports/storage-adapter.ts'
import type { TimeSource } from '../../src/core/ports/time.ts'
import { ReplicationStore } from '../../src/store/replication-store.ts'
import type { LeaderOf, StoreOptions } from '../../src/store/types/store-options.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'

/** A wall clock the test moves by hand; timers never run. */
export class ManualTime implements TimeSource {
  ns = 1_700_000_000_000_000_000n

  wallNs(): bigint {
    return this.ns
  }

  monotonicNs(): bigint {
    return this.ns
  }

  after(): () => void {
    return () => undefined
  }
}

export interface TestStoreOptions extends Partial<StoreOptions> {
  readonly name?: string
  readonly adapter?: StorageAdapter
  readonly time?: TimeSource
  readonly leaderOf?: LeaderOf
}

let stores = 0

export async function openStore(options: TestStoreOptions = {}): Promise<ReplicationStore> {
  const name = options.name ?? `store${++stores}`
  let ids = 0
  const store = new ReplicationStore({
    adapter: options.adapter ?? new MemoryStorage(),
    clock: new HybridClock(options.time ?? new ManualTime()),
    newId: () => `${name}-${ids++}`,
    ...options,
  })
  if (options.leaderOf !== undefined) store.setLeaderOf(options.leaderOf)
  await store.open()
  return store
}
