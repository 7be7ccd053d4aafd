/** The storage of `ooo serve`: in memory, in a folder, or in a PostgreSQL database. */
import type { Logger } from '../../src/core/ports/logger.ts'
import type { StorageAdapter } from '../../src/core/ports/storage-adapter.ts'
import { LevelStorage } from '../../storage-adapters/leveldb/leveldb.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'
import { PostgresStorage } from '../../storage-adapters/postgres/postgres.ts'
import type { ServeConfig } from '../settings/config.ts'

/** The storage that the configuration names; `name` is the node's. */
export function storageOf(
  { memory, data, postgres, postgresNamespace }: ServeConfig,
  name: string,
  logger: Logger,
): StorageAdapter {
  if (memory) return new MemoryStorage()
  if (postgres === undefined) return new LevelStorage({ directory: data })
  return new PostgresStorage({
    url: postgres,
    namespace: postgresNamespace ?? name,
    onRetry: (error, delayMs) =>
      logger.warn('the database is not there yet, trying again', {
        reason: error.message,
        inMs: delayMs,
      }),
  })
}
