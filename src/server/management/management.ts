/**
 * `GET /?api=<name>`: what tools and the web UI ask about a node. Shapes, field order and the newline at
 * the end are those of the older server. Never subject to static mode or read filters.
 */

import { schemaExample } from '../../core/json/schema-example.ts'
import { SILENT_LOGGER } from '../../core/ports/logger.ts'
import type { PoolDescription } from '../../fanout/hub.ts'
import type { KeyValueStore } from '../../store/key-value-store.ts'
import type { ResolvedServerOptions } from '../contract/options.ts'
import type { ManagementProvider } from '../contract/plugin.ts'
import { jsonReply, type Reply } from '../exchange/reply.ts'
import type { RouteTable } from '../routing/route-table.ts'
import { listKeys, listOrphans } from './keys.ts'
import type { Registry } from './registry.ts'

export interface ManagementContext {
  readonly options: ResolvedServerOptions
  readonly registry: Registry
  readonly routes: RouteTable
  readonly store: KeyValueStore
  /** `host:port` as bound; empty until then. */
  readonly address: () => string
  readonly pools: () => readonly PoolDescription[]
  /** Connections to the clock socket. */
  readonly clockConnections: () => number
  /** Providers of plugins, by the name of the API. */
  readonly providers: ReadonlyMap<string, ManagementProvider>
}

/** The answer to the API the query names; undefined when it names none: that is the web UI's page. */
export async function answerManagement(
  context: ManagementContext,
  query: URLSearchParams,
): Promise<Reply | undefined> {
  const name = query.get('api') ?? ''
  const api = isApi(name) ? APIS[name] : context.providers.get(name)
  if (api === undefined) return undefined
  return jsonReply(managementJson(await api(context, query)))
}

/** JSON with a newline, and without the characters that mean something in HTML. */
export function managementJson(value: unknown): string {
  const text = JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return `${text}\n`
}

/** Whether the server alone answers the API of that name. */
export function isOwnApi(name: string): boolean {
  return name !== 'pivot' && isApi(name)
}

function isApi(name: string): boolean {
  return Object.hasOwn(APIS, name)
}

type Api = (context: ManagementContext, query: URLSearchParams) => unknown

const APIS: Readonly<Record<string, Api>> = {
  keys: ({ store }, query) => listKeys(store, query),
  info,
  filters: ({ registry: { filters } }) => ({
    paths: filters.paths(),
    filters: filters.describe(),
  }),
  state,
  pivot: async ({ providers }) => (await providers.get('pivot')?.()) ?? NO_PIVOT,
  routes: ({ routes }) =>
    routes.list().map(({ path, methods, upgrade, who, description }) => {
      return { path, methods, webSocket: upgrade !== undefined, who, description }
    }),
  endpoints: ({ registry }) => registry.endpoints.list().map(describeEndpoint),
  proxies: ({ registry }) => registry.proxies.describe(),
  storage,
  'orphan-keys': ({ store, registry }) => listOrphans(store, registry.filters),
}

const NS_PER_MS = 1_000_000

/** Durations in nanoseconds. A write is announced in its own turn: there are no workers to count. */
function info({ options, address }: ManagementContext): object {
  return {
    name: options.name,
    address: address(),
    deadline: options.deadlineMs * NS_PER_MS,
    readTimeout: options.readTimeoutMs * NS_PER_MS,
    writeTimeout: options.writeTimeoutMs * NS_PER_MS,
    readHeaderTimeout: options.headersTimeoutMs * NS_PER_MS,
    idleTimeout: options.idleTimeoutMs * NS_PER_MS,
    forcePatch: options.forcePatch,
    noPatch: options.noPatch,
    static: options.static,
    silence: options.logger === SILENT_LOGGER,
    workers: 1,
    tick: options.tickMs * NS_PER_MS,
    watchPanics: 0,
    droppedEvents: 0,
  }
}

function state({ pools, clockConnections }: ManagementContext): object {
  const used = pools()
    .map(({ key, connections }) => ({ key, connections }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
  const all = [{ key: '(clock)', connections: clockConnections() }, ...used].filter(
    ({ connections }) => connections > 0,
  )
  return {
    pools: all,
    totalConnections: all.reduce((sum, { connections }) => sum + connections, 0),
  }
}

/** Most damaged keys that are named. */
const MAX_DAMAGED_KEYS = 1000

function storage({ options, store }: ManagementContext): object {
  const damaged = store.damaged()
  const { count, reasons } = store.refused
  const { silentMs, writes, bytes, refused, rows, refusal } = store.backlog
  return {
    persistent: options.storage.capabilities.persistent,
    durability: options.storage.capabilities.durability,
    cacheBytes: options.cacheBytes ?? null,
    maxValueBytes: options.maxValueBytes,
    waitingRows: rows,
    waitingWrites: writes,
    waitingBytes: bytes,
    refusedWrites: refused,
    silentMs,
    ...(refusal === undefined ? {} : { refusal }),
    ...(store.lost === undefined ? {} : { lost: store.lost.clientText }),
    damaged: damaged.length,
    damagedKeys: damaged.slice(0, MAX_DAMAGED_KEYS),
    findings: store.damageFindings,
    refused: count,
    refusedReasons: [...reasons.values()],
  }
}

/** The answer of a node whose keys are not replicated. */
const NO_PIVOT = Object.freeze({
  role: 'none',
  pivotIP: '',
  nodes: null,
  syncedKeys: null,
  pivotHealthy: false,
  pivotLastCheck: '',
  pivotProtocol: '',
  pivotCompatible: false,
})

function describeEndpoint({
  endpoint,
  template,
}: ReturnType<Registry['endpoints']['list']>[number]): object {
  const methods = Object.entries(endpoint.methods).map(
    ([method, { request, response, params }]) => ({
      method,
      ...present('request', request === undefined ? undefined : schemaExample(request)),
      ...present('response', response === undefined ? undefined : schemaExample(response)),
      ...present('params', params),
    }),
  )
  const vars = endpoint.vars ?? Object.fromEntries(template.variables)
  return {
    path: endpoint.path,
    methods,
    description: endpoint.description ?? '',
    ...present('vars', vars),
  }
}

/** The field, unless there is nothing in it. */
function present(name: string, value: object | undefined): object {
  return value === undefined || Object.keys(value).length === 0 ? {} : { [name]: value }
}
