/** The public API of `ooo-cluster/postgres`. */
export {
  type PoolStats,
  PostgresPool,
  type PostgresSession,
  type Queryable,
  type QueryOptions,
  type Rows,
  type TransactionOptions,
} from './connection/connection.ts'
export { DedicatedConnection } from './connection/dedicated.ts'
export { type ListenHandlers, PostgresListener } from './connection/listener.ts'
export { type Migration, migrate } from './connection/migrations.ts'
export type { PostgresOptions, PostgresTime } from './connection/options.ts'
export type { SharedSettings, SharedTablesOptions } from './shared/options.ts'
export type { SharedTableStatus } from './shared/status.ts'
export { type SharedTablesPlugin, sharedTables } from './shared/tables.ts'
export type { PostgresTablesOptions, TableSettings } from './tables/options.ts'
export type { EntriesOptions, TableRange } from './tables/reads.ts'
export type {
  TableChange,
  TableChanges,
  TableCursor,
  TableEntry,
  TableStats,
} from './tables/row.ts'
export { PostgresTables } from './tables/tables.ts'
export type { WatchOptions } from './tables/watch.ts'
