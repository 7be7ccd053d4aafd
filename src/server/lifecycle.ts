/**
 * Opening and closing a node, in order.
 *
 * Open: plugins' setup, storage, fan-out, listener, plugins' start; then the server runs the `start`
 * hooks. A failure closes what was opened.
 *
 * Close:
 * 1. `preShutdown` hooks, while everything is up; then answers end their connections, for `closeNoticeMs`
 * 2. plugins' stop
 * 3. sweeps of limit filters, the clock's ticks
 * 4. `proxyTeardown` hooks, then the sockets of proxies
 * 5. no new connections; sockets are told 1001
 * 6. requests under way are drained, and cut at the deadline
 * 7. fan-out
 * 8. locks and watches, then storage
 * 9. `postShutdown` hooks, then `close` hooks
 *
 * A step that fails is logged and the next one runs.
 */
import { HybridClock } from '../core/data/clock.ts'
import type { Change } from '../core/data/entry.ts'
import { errorText, type StateError } from '../core/errors.ts'
import { keysOverlap } from '../core/keys/key.ts'
import type { Logger } from '../core/ports/logger.ts'
import { onceAMinute } from '../core/ports/once-a-minute.ts'
import { Hub } from '../fanout/hub.ts'
import { createDatabase, type DatabaseParts } from '../store/create-database.ts'
import type { Database } from '../store/database.ts'
import { ReplicationStore } from '../store/replication-store.ts'
import { Admission } from './admission/admission.ts'
import { announce, CloseHooks } from './connections/hooks.ts'
import { Sockets } from './connections/sockets.ts'
import { jsonBoundsOf, type MemoryMetrics } from './contract/memory-limits.ts'
import type { ResolvedServerOptions } from './contract/options.ts'
import type { ServerAddress } from './contract/plugin.ts'
import { readList } from './data/read.ts'
import type { DataParts } from './data/request.ts'
import { assertProtected } from './doors/protection.ts'
import { handleRequest } from './http/http.ts'
import { createPluginHost, createPluginRoutes } from './http/plugin-host.ts'
import { handleUpgrade } from './http/upgrade.ts'
import { type Listener, openListener } from './listener.ts'
import { subscribedLists } from './lists/subscribed-lists.ts'
import type { Registry } from './management/registry.ts'
import { createContext, type NodeContext } from './node-context.ts'
import { endOnLoss, stoppableOnce } from './storage-loss.ts'
import { WorkerFleet } from './workers/fleet.ts'
import type { Acks } from './write-status/ack.ts'

/** Everything of an open node. */
export interface RunningNode {
  readonly address: ServerAddress
  readonly store: ReplicationStore
  readonly database: Database
  /** Data as requests get it: with filters. */
  readonly data: DataParts
  /** Waits for writes to get to other nodes. */
  readonly acks: Acks
  readonly memory: () => MemoryMetrics
  readonly hub: Hub
  readonly sockets: Sockets
  readonly admission: Admission
  readonly listener: Listener
  readonly closeHooks: CloseHooks
  /** Resolves when another node has taken the storage. */
  readonly storageLost: Promise<StateError>
  /** Undoes `openNode`, last step first. */
  readonly steps: CloseStep[]
  readonly logger: Logger
}

interface CloseStep {
  readonly name: string
  run(): void | Promise<void>
}

/** @throws StateError `unprotected`, `in_use`, or what the storage or a plugin threw; everything is closed again. */
export async function openNode(
  options: ResolvedServerOptions,
  registry: Registry,
): Promise<RunningNode> {
  const { time, logger, closeCallbackBudgetMs: budgetMs } = options
  assertProtected({ ...options, hasMiddleware: registry.middleware.list.length > 0 })
  const steps: CloseStep[] = []
  // What requests bring about is logged through this one.
  const guarded = { ...options, logger: onceAMinute(logger, time) }
  const closeHooks = new CloseHooks({ hooks: registry.hooks, budgetMs, time, logger })
  try {
    const clock = new HybridClock(time)
    const store = createStore(options, clock)
    const plugins = createPluginRoutes()
    const { newId, transport } = options
    const opened = openDatabase(guarded, registry, { store, clock })
    const { database } = opened
    const services = {
      store,
      replicationStore: store,
      database,
      clock,
      time,
      logger,
      newId,
      transport,
    }
    const host = createPluginHost(services, plugins)
    for (const plugin of options.plugins) plugin.setup(host)

    store.starting(true)
    await store.open()
    steps.push({ name: 'storage', run: () => store.close() })
    // After the requests, whose writes may wait for locks, and before the writes end.
    steps.push({ name: 'locks and watches', run: () => database.close() })

    const hub = startFanout(guarded, registry, { store, clock }, steps)
    const { filters } = registry
    filters.start({ store, time, logger, refresh: (path) => hub.refresh(path) })
    steps.push({ name: 'filters', run: () => filters.stop() })

    const admission = new Admission(guarded)
    const workers = await startWorkers(options, hub, steps)
    const shutdownReason = (open: number): string => admission.shutdownReason(open)
    const sockets = new Sockets({ ...options, workers, shutdownReason })
    const context = createContext(guarded, registry, {
      store,
      logger,
      ...opened,
      plugins,
      hub,
      sockets,
      admission,
      clock,
    })
    const listener = await listen(options, context)
    context.listensAt(listener.address)
    steps.push({ name: 'listener', run: () => stopListening(listener, context) })
    // Hooks belong to a node that was open: undoing half an open is not their business.
    let wasOpen = false
    startProxies(guarded, registry, context, steps, async () => {
      if (wasOpen) await closeHooks.run('proxyTeardown')
    })
    steps.push({ name: 'clock', run: () => context.clock.stop() })
    // Sweeps end while everything is up; the step above is for an `open` that fails before this.
    steps.push({ name: 'sweeps', run: () => filters.stop() })

    const stops: (() => Promise<void>)[] = []
    for (const plugin of options.plugins) {
      const stop = stoppableOnce(plugin)
      stops.unshift(stop)
      // Before `start`, so that a start which fails half way is stopped as well.
      steps.push({ name: `plugin ${plugin.name}`, run: stop })
      await plugin.start?.(listener.address)
    }
    wasOpen = true
    store.starting(false)
    // No sweep begins while the rest goes down.
    steps.push({ name: 'sweeps', run: () => filters.stop() })
    steps.push({ name: 'notice', run: () => giveNotice(listener, context, options) })
    const { data, acks } = context
    const { address } = listener
    const stopPlugins = async (): Promise<void> => {
      for (const stop of stops) await stop()
    }
    const storageLost = endOnLoss({ store, sockets, hub, database, logger, stopPlugins })
    return {
      address,
      store,
      database,
      data,
      acks,
      memory: () => context.metrics().memory,
      hub,
      sockets,
      admission,
      listener,
      closeHooks,
      storageLost,
      steps,
      logger,
    }
  } catch (error) {
    await runSteps(steps, logger)
    throw error
  }
}

function startFanout(
  options: ResolvedServerOptions,
  registry: Registry,
  { store, clock }: { readonly store: ReplicationStore; readonly clock: HybridClock },
  steps: CloseStep[],
): Hub {
  const hub = createHub(options, registry, store, clock)
  const unsubscribe = hearCommits(options, registry, store, hub)
  steps.push({
    name: 'fan-out',
    run: () => {
      unsubscribe()
      hub.close()
    },
  })
  return hub
}

/** The processes that hold subscribers' connections; undefined for none. */
async function startWorkers(
  options: ResolvedServerOptions,
  hub: Hub,
  steps: CloseStep[],
): Promise<WorkerFleet | undefined> {
  if (options.workers === 0) return undefined
  const fleet = new WorkerFleet({ ...options, counted: (frames) => hub.count(frames) })
  // After the listener, which closes every connection.
  steps.push({ name: 'workers', run: () => fleet.close() })
  await fleet.started
  return fleet
}

function startProxies(
  options: ResolvedServerOptions,
  { proxies }: Registry,
  { sockets, data, plugins }: NodeContext,
  steps: CloseStep[],
  beforeClose: () => Promise<void>,
): void {
  steps.push({
    name: 'proxies',
    run: async () => {
      await beforeClose()
      proxies.close()
    },
  })
  proxies.open({
    ...options,
    sockets,
    nodes: {
      list: (key) => readList(data, { key, caller: 'process' }),
      member: (id) => plugins.locators.map((locate) => locate(id)).find((found) => found),
      mayReach: (host) => options.proxyHosts.includes(host.toLowerCase()),
    },
  })
}

/** Closes an open node; see the order above. Never rejects. */
export async function closeNode(node: RunningNode): Promise<void> {
  await node.closeHooks.run('preShutdown')
  await runSteps(node.steps, node.logger)
  await node.closeHooks.run('postShutdown')
  await node.closeHooks.run('close')
}

/**
 * What happens to a commit once it is durable: `afterWriteOp` hooks, the fan-out, limits, and when its
 * frames are on their way `afterWrite` hooks and `storageEvent` hooks.
 * The fan-out is told of every commit, without the changes that are not broadcast. Of a silent
 * commit no hook is told, and the fan-out tells nobody.
 */
function hearCommits(
  { noBroadcastKeys, logger }: ResolvedServerOptions,
  { hooks, filters }: Registry,
  store: ReplicationStore,
  hub: Hub,
): () => void {
  const isSent = ({ key }: Change): boolean =>
    !noBroadcastKeys.some((listed) => keysOverlap(listed, key))
  return store.onCommit((commit) => {
    const heard = commit.silent === true ? [] : commit.changes.filter(isVisible)
    const notify = (kind: 'afterWriteOp' | 'afterWrite'): void => {
      for (const { key, after } of hooks.has(kind) ? heard : []) {
        announce(hooks, kind, logger, key, after.kind === 'entry' ? 'set' : 'del')
      }
    }
    notify('afterWriteOp')
    const sent = { ...commit, changes: noBroadcastKeys.length === 0 ? heard : heard.filter(isSent) }
    hub.commit(commit.silent === true ? commit : sent)
    filters.committed(commit)
    const notifyAfterWrite = (): void => {
      notify('afterWrite')
      for (const change of sent.changes) announce(hooks, 'storageEvent', logger, change)
    }
    const flushed = hub.flushed()
    if (flushed === undefined) notifyAfterWrite()
    else void flushed.then(notifyAfterWrite)
  })
}

/** Whether it concerns those who read values. */
function isVisible({ isInternal }: Change): boolean {
  return isInternal !== true
}

function giveNotice(
  listener: Listener,
  context: NodeContext,
  { closeNoticeMs }: ResolvedServerOptions,
): Promise<void> {
  context.leave()
  return listener.giveNotice(closeNoticeMs)
}

function stopListening(listener: Listener, context: NodeContext): Promise<void> {
  context.stopServing()
  return listener.close(() => context.sockets.close())
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

function createStore(options: ResolvedServerOptions, clock: HybridClock): ReplicationStore {
  return new ReplicationStore({
    adapter: options.storage,
    clock,
    newId: options.newId,
    logger: options.logger,
    time: options.time,
    maxValueBytes: options.maxValueBytes,
    jsonBounds: jsonBoundsOf(options),
    ...(options.cacheBytes === undefined ? {} : { cacheBytes: options.cacheBytes }),
    ...(options.durability === undefined ? {} : { durability: options.durability }),
  })
}

function openDatabase(
  options: ResolvedServerOptions,
  { hooks }: Registry,
  parts: { readonly store: ReplicationStore; readonly clock: HybridClock },
): DatabaseParts {
  return createDatabase({ ...options, ...parts, beforeRead: () => hooks.list('beforeRead') })
}

function createHub(
  options: ResolvedServerOptions,
  { filters }: Registry,
  store: ReplicationStore,
  clock: HybridClock,
): Hub {
  return new Hub({
    source: subscribedLists(store, options.maxUnreadBytes),
    shape: filters,
    noPatch: options.noPatch,
    time: options.time,
    nextVersion: () => clock.now(),
    settled: () => store.settled(),
    maxIdlePools: options.maxIdlePools,
    maxBufferedBytes: options.maxBufferedBytes,
    maxUnreadBytes: options.maxUnreadBytes,
    maxPoolBytes: options.maxPoolBytes,
    slowConsumerTimeoutMs: options.slowConsumerTimeoutMs,
    logger: options.logger,
  })
}

function listen(options: ResolvedServerOptions, context: NodeContext): Promise<Listener> {
  return openListener(options, {
    isServing: context.isServing,
    connected: (socket) => context.admission.connected(socket),
    request: (request, response) => void handleRequest(context, request, response),
    upgrade: (request, socket, head) => void handleUpgrade(context, request, socket, head),
  })
}
