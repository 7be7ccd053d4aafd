/**
 * Opening and closing a node, in order.
 *
 * Open: plugins' setup, store, fan-out, listener, plugins' start. A failure closes what was opened.
 * Close: plugins' stop (all still up), no new connections, sockets told 1001, requests drained under
 * the deadline and then cut, fan-out, store. A step that fails is logged and the next one runs.
 */
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { HybridClock } from '../core/clock.ts'
import { errorText, StateError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import { Hub } from '../fanout/hub.ts'
import { Store } from '../store/store.ts'
import { ClockSocket } from './clock-socket.ts'
import { handleRequest } from './http.ts'
import type { ResolvedServerOptions } from './options.ts'
import type { ServerAddress, ServerPlugin } from './plugin.ts'
import { createPluginHost, createPluginRoutes, type PluginRoutes } from './plugin-host.ts'
import type { Registry } from './registry.ts'
import { Sockets } from './sockets.ts'
import { handleUpgrade, type UpgradeContext } from './upgrade.ts'

/** Limits of the HTTP listener, milliseconds. */
const HEADERS_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 60_000
const KEEP_ALIVE_MS = 10_000
/** Without a byte in either direction for this long, an HTTP connection is dropped. */
const INACTIVITY_MS = 60_000

/** Everything of an open node. */
export interface RunningNode {
  readonly address: ServerAddress
  readonly store: Store
  readonly hub: Hub
  readonly sockets: Sockets
  /** Undoes `openNode`, last step first. */
  readonly steps: CloseStep[]
  readonly logger: Logger
}

interface CloseStep {
  readonly name: string
  run(): void | Promise<void>
}

/** @throws StateError `in_use`, or what the storage or a plugin threw; everything is closed again. */
export async function openNode(
  options: ResolvedServerOptions,
  registry: Registry,
): Promise<RunningNode> {
  const { time, logger } = options
  const steps: CloseStep[] = []
  try {
    const clock = new HybridClock(time)
    const store = createStore(options, clock)
    const plugins = createPluginRoutes()
    const { newId, transport } = options
    const host = createPluginHost({ store, clock, time, logger, newId, transport }, plugins)
    for (const plugin of options.plugins) plugin.setup(host)

    await store.open()
    steps.push({ name: 'storage', run: () => store.close() })

    const hub = createHub(options, store, clock)
    const unhear = store.onCommit((commit) => hub.commit(commit))
    steps.push({
      name: 'fan-out',
      run: () => {
        unhear()
        hub.close()
      },
    })

    const sockets = new Sockets(options)
    const context = createContext(options, registry, { store, plugins, hub, sockets, clock })
    const http = await listen(options, context)
    steps.push({
      name: 'listener',
      run: () => {
        context.stopServing()
        return closeHttp(http, sockets, options)
      },
    })

    const address = addressOf(http, options.host)
    for (const plugin of options.plugins) await startPlugin(plugin, address, steps)
    return { address, store, hub, sockets, steps, logger }
  } catch (error) {
    await runSteps(steps, logger)
    throw error
  }
}

export function closeNode(node: RunningNode): Promise<void> {
  return runSteps(node.steps, node.logger)
}

/** Runs the steps last first; one that fails does not keep the others from running. */
async function runSteps(steps: readonly CloseStep[], logger: Logger): Promise<void> {
  for (const step of steps.toReversed()) {
    try {
      await step.run()
    } catch (error) {
      logger.error('a step of closing failed', { step: step.name, error: errorText(error) })
    }
  }
}

async function startPlugin(
  plugin: ServerPlugin,
  address: ServerAddress,
  steps: CloseStep[],
): Promise<void> {
  // Before `start`, so that a start which fails half way is stopped as well.
  steps.push({ name: `plugin ${plugin.name}`, run: () => plugin.stop?.() })
  await plugin.start?.(address)
}

function createStore(options: ResolvedServerOptions, clock: HybridClock): Store {
  return new Store({
    adapter: options.storage,
    clock,
    newId: options.newId,
    logger: options.logger,
    ...(options.durability === undefined ? {} : { durability: options.durability }),
  })
}

function createHub(options: ResolvedServerOptions, store: Store, clock: HybridClock): Hub {
  return new Hub({
    source: store,
    time: options.time,
    nextVersion: () => clock.now(),
    maxIdlePools: options.maxIdlePools,
    maxBufferedBytes: options.maxBufferedBytes,
    slowConsumerTimeoutMs: options.slowConsumerTimeoutMs,
    logger: options.logger,
  })
}

interface Parts {
  readonly store: Store
  readonly plugins: PluginRoutes
  readonly hub: Hub
  readonly sockets: Sockets
  readonly clock: HybridClock
}

type NodeContext = UpgradeContext & { readonly stopServing: () => void }

function createContext(
  options: ResolvedServerOptions,
  registry: Registry,
  parts: Parts,
): NodeContext {
  const { store, plugins, hub, sockets, clock } = parts
  let phase: 'serving' | 'closing' = 'serving'
  return {
    store,
    plugins,
    hub,
    sockets,
    filters: options.static ? registry.filters : undefined,
    clock: new ClockSocket(options.time, options.tickMs, () => clock.now()),
    name: options.name,
    uiDir: options.uiDir,
    allowedOrigins: options.allowedOrigins,
    maxBodyBytes: options.maxBodyBytes,
    deadlineMs: options.deadlineMs,
    time: options.time,
    logger: options.logger,
    isServing: () => phase === 'serving',
    stopServing: () => {
      phase = 'closing'
    },
  }
}

function listen(options: ResolvedServerOptions, context: NodeContext): Promise<HttpServer> {
  const http = createHttpServer({
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
  })
  http.setTimeout(INACTIVITY_MS)
  http.on('request', (request, response) => {
    // While closing, a connection that has just become idle is not kept for another request.
    response.on('close', () => {
      if (!context.isServing()) http.closeIdleConnections()
    })
    void handleRequest(context, request, response)
  })
  http.on('upgrade', (request, socket, head) => {
    void handleUpgrade(context, request, socket as Socket, head)
  })
  const { host, port } = options
  return new Promise((resolve, reject) => {
    http.once('error', (cause) => reject(listenError(cause, host, port)))
    http.listen({ host, port }, () => {
      http.removeAllListeners('error')
      http.on('error', (error) => {
        options.logger.error('the listener failed', { error: error.message })
      })
      resolve(http)
    })
  })
}

function listenError(cause: NodeJS.ErrnoException, host: string, port: number): StateError {
  const place = `${bracketed(host)}:${port}`
  return cause.code === 'EADDRINUSE'
    ? new StateError('in_use', `ooo: ${place} is in use`, { cause })
    : new StateError('invalid_option', `ooo: cannot listen on ${place}: ${cause.message}`, {
        cause,
      })
}

/** Resolves when no connection is left; what is still open at the deadline is cut. */
async function closeHttp(
  http: HttpServer,
  sockets: Sockets,
  options: ResolvedServerOptions,
): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    http.close(() => resolve())
  })
  await sockets.close()
  http.closeIdleConnections()
  const cancel = options.time.after(options.deadlineMs, () => http.closeAllConnections())
  await closed
  cancel()
}

function addressOf(http: HttpServer, host: string): ServerAddress {
  const { port } = http.address() as AddressInfo
  return { host, port, url: `http://${bracketed(host)}:${port}` }
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}
