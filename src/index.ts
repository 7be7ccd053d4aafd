/** Public API of a node. */
export { HybridClock } from './core/data/clock.ts'
export type { Change, Commit, Entry, StoredRecord, Tombstone } from './core/data/entry.ts'
export { EMPTY_META, indexOfKey, metaJson, metaListJson, versionOf } from './core/data/entry.ts'
export type { Precondition } from './core/data/precondition.ts'
export type { ErrorCode, ErrorMeaning } from './core/errors.ts'
export { ERROR_TABLE, isStateError, StateError } from './core/errors.ts'
export { encodeJson } from './core/json/encode.ts'
export { compactJson, parseExact } from './core/json/json.ts'
export { JsonNumber } from './core/json/number.ts'
export type { JsonSchema, Schema, StandardSchema } from './core/json/schema.ts'
export {
  buildKey,
  decodeIndex,
  hasGlob,
  isGlob,
  isValidKey,
  keysOverlap,
  matchKey,
} from './core/keys/key.ts'
export type { LogFields, Logger } from './core/ports/logger.ts'
export { SILENT_LOGGER } from './core/ports/logger.ts'
export type {
  BatchOperation,
  BatchOptions,
  Durability,
  Row,
  RowRange,
  StorageAdapter,
  StorageCapabilities,
} from './core/ports/storage-adapter.ts'
export type { CancelTimer, Random, TimeSource } from './core/ports/time.ts'
export type {
  DialRequest,
  MessageSocket,
  SocketHandlers,
  Transport,
} from './core/ports/transport.ts'
export type { LogPosition } from './core/wire/protocol.ts'
export type { HubMetrics, PoolDescription } from './fanout/hub.ts'
export type { AdmissionMetrics } from './server/admission/admission.ts'
export type { AdmissionOptions } from './server/admission/options.ts'
export type { RefusalReason } from './server/admission/refusals.ts'
export type {
  HookKind,
  Hooks,
  HookTable,
  Unregister,
  WriteOperation,
} from './server/connections/hooks.ts'
export type { SocketMetrics } from './server/connections/sockets.ts'
export type {
  CredentialCheck,
  Holders,
  LeaderAnswer,
  LeaderRequest,
  ManagementProvider,
  PluginHost,
  PluginRoute,
  Replication,
  Reply,
  RouteHandler,
  RouteInfo,
  RouteTarget,
  ServerAddress,
  ServerPlugin,
  SocketRoute,
  WarningProvider,
  Who,
} from './server/contract/plugin.ts'
export type { TlsOptions } from './server/contract/tls.ts'
export { loadTrustedCas } from './server/contract/tls.ts'
export type {
  IoAckOptions,
  IoEntry,
  IoListOptions,
  IoUpdated,
  IoUpdateOptions,
  IoWriteOptions,
  IoWritten,
  ServerIo,
} from './server/data/io.ts'
export type { AgentFor, ProxyAgentsOptions } from './server/dial/agents.ts'
export { ProxyAgents } from './server/dial/agents.ts'
export type { ProxyChoice, ProxyRules } from './server/dial/choice.ts'
export { proxyChoice } from './server/dial/choice.ts'
export type { WsTransportOptions } from './server/dial/ws-transport.ts'
export { createWsTransport } from './server/dial/ws-transport.ts'
export type { Middleware, Next } from './server/exchange/middleware.ts'
export { createSystemTime } from './server/process/system-time.ts'
export type { CloseSignal, SignalSource } from './server/process/wait-close.ts'
export { waitClose } from './server/process/wait-close.ts'
export type {
  Proxies,
  ProxyCapabilities,
  ProxyDescription,
  ProxyMetrics,
  ProxyNodeFilter,
  ProxyRequest,
  ProxyResolver,
  ProxyRoute,
  ProxyRouteOptions,
  ProxySubscribeOptions,
  ProxyTarget,
} from './server/reverse-proxy/proxy.ts'
export type {
  Endpoint,
  EndpointContext,
  EndpointMethod,
  NodeEndpoint,
  WebEndpoint,
} from './server/routing/endpoint.ts'
export type { PathVariables } from './server/routing/path-template.ts'
export type { Server, ServerOptions } from './server/server.ts'
export { createServer } from './server/server.ts'
export type { AckLevel } from './server/write-status/ack.ts'
export type {
  Database,
  DatabaseMetrics,
  LockedEntry,
  Watch,
  WatchOptions,
} from './store/database.ts'
export type {
  AfterWriteFilter,
  DeleteFilter,
  FilterEntry,
  FilterInfo,
  FilterMeta,
  FilterOperation,
  Filters,
  LimitFilterConfig,
  ReadListFilter,
  ReadObjectFilter,
  WriteFilter,
} from './store/filters/filters.ts'
export { KeyValueStore } from './store/key-value-store.ts'
export type { LockingBatchOptions, LockingWriteOptions } from './store/locking-store.ts'
export type { Lock, LockedWriteOptions, LockMetrics, LockOptions } from './store/locks/locks.ts'
export type { EntryMeta } from './store/plans/set-with-meta.ts'
export type { BeforeRead } from './store/read-hooks.ts'
export type { ListRange } from './store/types/ranges.ts'
export type { StoreOptions } from './store/types/store-options.ts'
export type {
  DeleteResult,
  Write,
  WriteOptions,
  WriteResult,
  Written,
} from './store/types/write.ts'
export type { WatchEvent } from './store/watcher.ts'
