/** What a proxy route is told, checked and completed once at registration. */
import { type IncomingMessage, validateHeaderName, validateHeaderValue } from 'node:http'
import { errorText, StateError } from '../../core/errors.ts'

/** Where a request or a subscription goes. */
export interface ProxyTarget {
  /** `host:port`; an IPv6 host in brackets. */
  readonly address: string
  /** Path on the target, without a leading `/`, not percent-encoded. */
  readonly path: string
}

/** What a resolver may look at besides the path. */
export interface ProxyRequest {
  readonly request: IncomingMessage
  /** The variables of the route's template. */
  readonly variables: Readonly<Record<string, string>>
}

/**
 * Finds the target of a local path, which has no leading `/`. What it throws is answered with status
 * 400 and the error's text.
 */
export type ProxyResolver = (
  localPath: string,
  context: ProxyRequest,
) => ProxyTarget | Promise<ProxyTarget>

/** What a proxy lets through; a missing field is false. */
export interface ProxyCapabilities {
  /** GET and subscriptions. */
  readonly read?: boolean
  /** POST and PATCH. */
  readonly write?: boolean
  readonly delete?: boolean
}

export interface ProxySubscribeOptions {
  /** Request headers sent to the target besides the `headers` of the route. Default none. */
  readonly headers?: Readonly<Record<string, string>>
  /** Milliseconds the target has for a WebSocket handshake. Default 2000. */
  readonly handshakeTimeoutMs?: number
  /** `wss` for a target with TLS, over HTTP as well. Default `ws`. */
  readonly protocol?: 'ws' | 'wss'
  /** True to log nothing about lost targets. Default false. */
  readonly silence?: boolean
  /**
   * Milliseconds that local sockets are kept while the target is away; then they are closed with 4005, so
   * that their clients come back and are resolved again. Default 60 000; 0 closes them at once.
   */
  readonly maxOutageMs?: number
  /** Largest frame from the target, and largest state kept for it, bytes. Default 64 MiB. */
  readonly maxMessageBytes?: number
  /** Milliseconds between two pings to the target; three without a byte in return end the connection. Default 20 000. */
  readonly pingIntervalMs?: number
}

/** What all kinds of proxy routes have in common. */
export interface ProxyRouteOptions {
  /** Default: everything. When given, only what it names. */
  readonly capabilities?: ProxyCapabilities
  /** For people; shown by `?api=proxies`. Default none. */
  readonly description?: string
  /** Request headers sent to the target; nothing of the caller's is. Default none. */
  readonly headers?: Readonly<Record<string, string>>
  readonly subscribe?: ProxySubscribeOptions
  /** Certificate authorities trusted for `wss` targets, PEM, in place of the system's. */
  readonly ca?: string | readonly string[]
  /** Milliseconds the resolver may take, and a target may be silent, before the request fails with 502. Default 10 000. */
  readonly timeoutMs?: number
  /** Requests under way at once; one more is answered 503. Default 256. */
  readonly maxConcurrentRequests?: number
}

export interface ProxyRoute extends ProxyRouteOptions {
  /** A key, a glob, or a router template, as the kind of registration says; no leading `/`. */
  readonly localPath: string
  readonly resolve: ProxyResolver
}

/** A route of `ip` and `port` records, one node each. */
export interface ProxyNodeFilter extends ProxyRouteOptions {
  /** Glob of the node records, `{ ip, port }` each. */
  readonly nodesKey: string
  readonly localKey: string
  readonly remoteKey: string
}

/** A route's options, complete. */
export interface ResolvedProxyRoute {
  readonly localPath: string
  readonly resolve: ProxyResolver
  readonly capabilities: Readonly<Required<ProxyCapabilities>>
  readonly description: string
  readonly headers: Readonly<Record<string, string>>
  readonly subscribe: Readonly<Required<Omit<ProxySubscribeOptions, 'headers'>>>
  readonly ca: readonly string[] | undefined
  readonly timeoutMs: number
  readonly maxConcurrentRequests: number
}

const ALL: Readonly<Required<ProxyCapabilities>> = { read: true, write: true, delete: true }

/** @throws StateError `invalid_option`, with the texts that registration errors always had. */
export function resolveProxyRoute(route: ProxyRoute): ResolvedProxyRoute {
  if (typeof route.resolve !== 'function') refuseOption('proxy: Resolver is required')
  if (typeof route.localPath !== 'string' || route.localPath === '') {
    refuseOption('proxy: LocalPath is required')
  }
  const { subscribe = {}, capabilities } = route
  const resolved: ResolvedProxyRoute = {
    localPath: route.localPath.replace(/^\//, ''),
    resolve: route.resolve,
    capabilities: capabilities === undefined ? ALL : onlyNamed(capabilities),
    description: route.description ?? '',
    headers: { ...route.headers, ...subscribe.headers },
    subscribe: {
      handshakeTimeoutMs: subscribe.handshakeTimeoutMs ?? 2000,
      protocol: subscribe.protocol ?? 'ws',
      silence: subscribe.silence ?? false,
      maxOutageMs: subscribe.maxOutageMs ?? 60_000,
      maxMessageBytes: subscribe.maxMessageBytes ?? 64 * 1024 * 1024,
      pingIntervalMs: subscribe.pingIntervalMs ?? 20_000,
    },
    ca: route.ca === undefined ? undefined : [route.ca].flat(),
    timeoutMs: route.timeoutMs ?? 10_000,
    maxConcurrentRequests: route.maxConcurrentRequests ?? 256,
  }
  requireInteger('timeoutMs', resolved.timeoutMs, 1)
  requireInteger('maxConcurrentRequests', resolved.maxConcurrentRequests, 1)
  requireInteger('handshakeTimeoutMs', resolved.subscribe.handshakeTimeoutMs, 1)
  requireInteger('maxOutageMs', resolved.subscribe.maxOutageMs, 0)
  requireInteger('maxMessageBytes', resolved.subscribe.maxMessageBytes, 1)
  requireInteger('pingIntervalMs', resolved.subscribe.pingIntervalMs, 1)
  for (const [name, value] of Object.entries(resolved.headers)) requireHeader(name, value)
  return Object.freeze(resolved)
}

function requireHeader(name: string, value: string): void {
  try {
    validateHeaderName(name)
    validateHeaderValue(name, value)
  } catch (error) {
    refuseOption(`proxy: header ${name} cannot be sent: ${errorText(error)}`)
  }
}

function onlyNamed(capabilities: ProxyCapabilities): Required<ProxyCapabilities> {
  return {
    read: capabilities.read ?? false,
    write: capabilities.write ?? false,
    delete: capabilities.delete ?? false,
  }
}

function requireInteger(name: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return
  refuseOption(`proxy: option ${name} must be an integer of at least ${least}, not ${value}`)
}

function refuseOption(text: string): never {
  throw new StateError('invalid_option', text)
}
