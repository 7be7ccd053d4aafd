/** The public API of `ooo-cluster/postgres`. */
export {
  type PoolStats,
  PostgresPool,
  type PostgresSession,
  type Queryable,
  type QueryOptions,
  type Rows,
  type TransactionOptions,
} from './connection.ts'
export { DedicatedConnection } from './dedicated.ts'
export { type ListenHandlers, PostgresListener } from './listener.ts'
export { type Migration, migrate } from './migrations.ts'
export type { PostgresOptions, PostgresTime } from './options.ts'
export type { SharedSettings, SharedTablesOptions } from './shared-options.ts'
export type { SharedTableStatus } from './shared-status.ts'
export { type SharedTablesPlugin, sharedTables } from './shared-tables.ts'
export type { PostgresTablesOptions, TableSettings } from './table-options.ts'
export type { EntriesOptions, TableRange } from './table-reads.ts'
export type {
  TableChange,
  TableChanges,
  TableCursor,
  TableEntry,
  TableStats,
} from './table-row.ts'
export type { WatchOptions } from './table-watch.ts'
export { PostgresTables } from './tables.ts'
