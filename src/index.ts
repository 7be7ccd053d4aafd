/** Public API of a node. */
export { HybridClock } from './core/clock.ts'
export { encodeJson } from './core/encode-json.ts'
export type { Change, Commit, Entry, StoredRecord, Tombstone } from './core/entry.ts'
export { EMPTY_META, indexOfKey, metaJson, metaListJson, versionOf } from './core/entry.ts'
export type { ErrorCode, ErrorMeaning } from './core/errors.ts'
export { ERROR_TABLE, isStateError, StateError } from './core/errors.ts'
export { compactJson, parseExact } from './core/json.ts'
export { JsonNumber } from './core/json-number.ts'
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
export type { Precondition } from './core/precondition.ts'
export type { LogPosition } from './core/protocol.ts'
export type { JsonSchema, Schema, StandardSchema } from './core/schema.ts'
export type { CancelTimer, Random, TimeSource } from './core/time.ts'
export type { DialRequest, MessageSocket, SocketHandlers, Transport } from './core/transport.ts'
export type { HubMetrics, PoolDescription } from './fanout/hub.ts'
export type { AckLevel } from './server/ack.ts'
export type { AdmissionMetrics } from './server/admission.ts'
export type { AdmissionOptions } from './server/admission-options.ts'
export type { RefusalReason } from './server/admission-refusals.ts'
export type {
  Endpoint,
  EndpointContext,
  EndpointMethod,
  NodeEndpoint,
  WebEndpoint,
} from './server/endpoint.ts'
export type { HookKind, Hooks, HookTable, Unregister, WriteOperation } from './server/hooks.ts'
export type {
  IoAckOptions,
  IoEntry,
  IoListOptions,
  IoWriteOptions,
  IoWritten,
  ServerIo,
} from './server/io.ts'
export type { Middleware, Next } from './server/middleware.ts'
export type { PathVariables } from './server/path-template.ts'
export type {
  CredentialCheck,
  Holders,
  LeaderAnswer,
  LeaderRequest,
  ManagementProvider,
  PluginHost,
  Replication,
  RouteHandler,
  ServerAddress,
  ServerPlugin,
  SocketRoute,
  WarningProvider,
} from './server/plugin.ts'
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
} from './server/proxy.ts'
export type { AgentFor, ProxyAgentsOptions } from './server/proxy-agents.ts'
export { ProxyAgents } from './server/proxy-agents.ts'
export type { ProxyChoice, ProxyRules } from './server/proxy-choice.ts'
export { proxyChoice } from './server/proxy-choice.ts'
export type { Server, ServerOptions } from './server/server.ts'
export { createServer } from './server/server.ts'
export type { SocketMetrics } from './server/sockets.ts'
export { createSystemTime } from './server/system-time.ts'
export type { TlsOptions } from './server/tls.ts'
export { loadTrustedCas } from './server/tls.ts'
export type { CloseSignal, SignalSource } from './server/wait-close.ts'
export { waitClose } from './server/wait-close.ts'
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
} from './store/filters.ts'
export type { LockingBatchOptions, LockingWriteOptions } from './store/locking-store.ts'
export type { Lock, LockedWriteOptions, LockMetrics, LockOptions } from './store/locks.ts'
export type {
  BatchItem,
  BatchResult,
  DeleteResult,
  WriteOptions,
  WriteResult,
} from './store/operations.ts'
export type { EntryMeta } from './store/plan-set-with-meta.ts'
export type { ListRange } from './store/ranges.ts'
export type { BeforeRead } from './store/read-hooks.ts'
export type { StoreOptions } from './store/store.ts'
export { Store } from './store/store.ts'
export type { WatchEvent } from './store/watcher.ts'
