/** A database over a store in memory, or over the adapter given, on a virtual clock. */
import { HybridClock } from '../../src/core/data/clock.ts'
import { createDatabase, type DatabaseServices } from '../../src/store/create-database.ts'
import type { Database } from '../../src/store/database.ts'
import { ReplicationStore } from '../../src/store/replication-store.ts'
import type { StoreOptions } from '../../src/store/types/store-options.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'
import { FakeTime } from './fake-time.ts'

export interface TestDatabaseOptions extends Partial<Omit<DatabaseServices, 'time'>> {
  readonly time?: FakeTime
  readonly storeOptions?: Partial<StoreOptions>
}

export interface TestDatabase {
  readonly database: Database
  readonly store: ReplicationStore
  readonly time: FakeTime
  readonly clock: HybridClock
}

let nodes = 0

export async function openDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const time = options.time ?? new FakeTime()
  const clock = new HybridClock(time)
  const node = `node${++nodes}`
  let ids = 0
  const newId = (): string => `${node}x${++ids}`
  const adapter = new MemoryStorage()
  const store = new ReplicationStore({ adapter, clock, newId, ...options.storeOptions })
  await store.open()
  const { database } = createDatabase({ store, clock, newId, ...options, time })
  return { database, store, time, clock }
}
