/** Public API of a node. */
export { HybridClock } from './core/clock.ts'
export type { Change, Commit, Entry, StoredRecord, Tombstone } from './core/entry.ts'
export { EMPTY_META, indexOfKey, metaJson, metaListJson, versionOf } from './core/entry.ts'
export type { ErrorCode, ErrorMeaning } from './core/errors.ts'
export { ERROR_TABLE, isStateError, StateError } from './core/errors.ts'
export { compactJson, parseExact } from './core/json.ts'
export {
  buildKey,
  decodeIndex,
  hasGlob,
  isGlob,
  isValidKey,
  keysOverlap,
  matchKey,
} from './core/key.ts'
export type { LogFields, Logger } from './core/logger.ts'
export { SILENT_LOGGER } from './core/logger.ts'
export type { CancelTimer, Random, TimeSource } from './core/time.ts'
export type { DialRequest, MessageSocket, SocketHandlers, Transport } from './core/transport.ts'
export type { HubMetrics, PoolDescription } from './fanout/hub.ts'
export type {
  PluginHost,
  RouteHandler,
  ServerAddress,
  ServerPlugin,
  SocketRoute,
} from './server/plugin.ts'
export type { Server, ServerOptions } from './server/server.ts'
export { createServer } from './server/server.ts'
export { createSystemTime } from './server/system-time.ts'
export type { WsTransportOptions } from './server/ws-transport.ts'
export { createWsTransport } from './server/ws-transport.ts'
export type {
  BatchOperation,
  BatchOptions,
  Durability,
  Row,
  RowRange,
  StorageAdapter,
  StorageCapabilities,
} from './storage-adapter.ts'
export type { StoreOptions } from './store/store.ts'
export { Store } from './store/store.ts'
