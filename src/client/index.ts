/** Public API of the client: for browsers, workers and Node. */

export { type ErrorCode, isStateError, StateError } from '../core/errors.ts'
export { encodeJson } from '../core/json/encode.ts'
export { JsonNumber, parseWithJsonNumbers } from '../core/json/number.ts'
export { hasGlob, isGlob, isValidKey } from '../core/keys/key.ts'
export type { BackoffOptions } from '../core/ports/backoff.ts'
export type { Random, TimeSource } from '../core/ports/time.ts'
export type {
  DialRequest,
  MessageSocket,
  SocketHandlers,
  Transport,
} from '../core/ports/transport.ts'
export {
  type Client,
  createClient,
  type ListOptions,
  type PushOptions,
  type RequestOptions,
  type SubscriptionState,
  type WriteAck,
  type WriteAnswer,
  type WriteDurability,
  type WriteOptions,
} from './client.ts'
export type { ClientEntry } from './entry.ts'
export type { ClientOptions } from './options.ts'
export type { Subscription, SubscriptionHandlers, SubscriptionStatus } from './subscription.ts'
export {
  createWebSocketTransport,
  type WebSocketConstructor,
  type WebSocketLike,
} from './web-socket-transport.ts'
export type { WriteStatus, WriteStatusOptions, WriteVersion } from './write-status.ts'
