/** What every request and handshake of an open node is given to work with. */
import type { HybridClock } from '../core/data/clock.ts'
import { hasGlob, keysOverlap } from '../core/keys/key.ts'
import type { Logger } from '../core/ports/logger.ts'
import type { Hub } from '../fanout/hub.ts'
import type { LockingStore } from '../store/locking-store.ts'
import type { ReadHooks } from '../store/read-hooks.ts'
import type { ReplicationStore } from '../store/replication-store.ts'
import type { Admission } from './admission/admission.ts'
import { ClockSocket } from './connections/clock-socket.ts'
import type { Sockets } from './connections/sockets.ts'
import type { MemoryMetrics } from './contract/memory-limits.ts'
import type { ResolvedServerOptions } from './contract/options.ts'
import type { ServerAddress } from './contract/plugin.ts'
import type { Replication } from './contract/replication.ts'
import type { DataParts } from './data/request.ts'
import type { WriteContext } from './data/write-answer.ts'
import { PageGuard } from './doors/page-guard.ts'
import { storageWarnings } from './exchange/health.ts'
import { UnreadAnswers } from './exchange/unread-answers.ts'
import { addBuiltIn } from './http/built-in.ts'
import type { PluginRoutes } from './http/plugin-host.ts'
import { pluginRoute, type UpgradeContext } from './http/upgrade.ts'
import { Lists } from './lists/lists.ts'
import type { Registry } from './management/registry.ts'
import { RouteTable } from './routing/route-table.ts'
import { MergeRoom } from './turns/merge-room.ts'
import { Acks } from './write-status/ack.ts'
import { WriteStatusTracker } from './write-status/tracker.ts'

/** What of an open node requests and handshakes work with. */
export interface NodeParts {
  /** Leaves nothing out, unlike that of the options. */
  readonly logger: Logger
  readonly store: ReplicationStore
  /** The store with writes that wait for locks: what requests write to. */
  readonly lockingStore: LockingStore
  /** What runs before each read. */
  readonly reads: ReadHooks
  readonly plugins: PluginRoutes
  readonly hub: Hub
  readonly sockets: Sockets
  readonly admission: Admission
  readonly clock: HybridClock
}

/** What requests and handshakes are given. */
export type NodeContext = UpgradeContext & {
  readonly plugins: PluginRoutes
  /** The server is about to close: `isStaying` answers false from now on. */
  readonly leave: () => void
  /** The server closes: `isServing` answers false from now on. */
  readonly stopServing: () => void
  /** Tells where the server listens, once it does. */
  readonly listensAt: (address: ServerAddress) => void
}

/** The context of one `open`. */
export function createContext(
  options: ResolvedServerOptions,
  registry: Registry,
  parts: NodeParts,
): NodeContext {
  const { store, plugins, hub, sockets, admission, clock } = parts
  const clockSocket = new ClockSocket(options.time, options.tickMs, () => clock.now())
  const writes = createWrites(options, parts)
  const answers = new UnreadAnswers(options.maxAnswerBytes, options.time)
  const lists = new Lists(answers)
  store.onCommit((commit) => lists.committed(commit))
  const memory = (): MemoryMetrics => ({
    bodiesBytes: registry.bodies.bytes,
    bodiesRefused: registry.bodies.refused,
    answerBytes: answers.bytes,
    answersCut: answers.cut,
    listsSent: lists.size,
    waiters: writes.writeStatuses.waiters,
  })
  let phase: 'staying' | 'leaving' | 'closing' = 'staying'
  let bound = ''
  const routes = new RouteTable(registry.router)
  const context: NodeContext = {
    routes,
    plugins,
    hub,
    sockets,
    admission,
    metrics: () => ({
      admission: admission.metrics(),
      sockets: sockets.metrics(),
      fanout: hub.metrics(),
      memory: memory(),
    }),
    filters: options.static ? registry.filters : undefined,
    data: dataParts(options, registry, parts),
    beforeRead: (keyOrGlob) => parts.reads.run(keyOrGlob),
    clock: clockSocket,
    registry,
    management: {
      options,
      registry,
      routes,
      store,
      address: () => bound,
      pools: () => hub.describe(),
      clockConnections: () => clockSocket.size,
      providers: plugins.management,
    },
    name: options.name,
    uiDir: options.uiDir,
    pages: new PageGuard({ ...options, logger: parts.logger, plugins }),
    cors: options,
    compression: options.compression,
    hooks: registry.hooks,
    isResumable: (keyOrGlob) => isResumable(options.noBroadcastKeys, keyOrGlob),
    bodies: registry.bodies,
    answers,
    lists,
    assertRoom: (bytes) => store.assertRoom(bytes),
    ...writes,
    logger: options.logger,
    isServing: () => phase !== 'closing',
    isStaying: () => phase === 'staying',
    lost: () => store.lost,
    warnings: () => [
      ...storageWarnings(store),
      ...admission.warnings(),
      ...plugins.warnings.flatMap((provider) => provider()),
    ],
    damagedCount: (keyOrGlob) => store.damagedCount(keyOrGlob),
    listensAt: ({ url }) => {
      bound = url.slice(url.indexOf('//') + 2)
    },
    leave: () => {
      phase = 'leaving'
    },
    stopServing: () => {
      phase = 'closing'
      writes.writeStatuses.close()
    },
  }
  for (const row of plugins.rows) routes.add(pluginRoute(context, row))
  addBuiltIn(routes, context)
  return context
}

/** What writes need beside the data: their status, waiting for them, and passing them on. */
function createWrites(
  { deadlineMs, time, logger }: ResolvedServerOptions,
  { store, plugins, hub }: NodeParts,
): Omit<WriteContext, 'bodies' | 'data'> & { readonly writeStatuses: WriteStatusTracker } {
  const replication = (): Replication | undefined => plugins.replication
  const leaderOf = (key: string): string | undefined => store.leaderOf(key)
  const writeStatuses = new WriteStatusTracker({ store, replication, time, logger })
  const isReplicated = (key: string): boolean => plugins.replication?.isReplicated(key) ?? false
  const hasVoters = (key: string): boolean => plugins.replication?.hasVoters(key) ?? false
  const acks = new Acks({ writeStatuses, hasVoters, isReplicated, leaderOf })
  const flushed = (): Promise<void> | undefined => hub.flushed()
  return {
    writeStatuses,
    acks,
    leaderOf,
    flushed,
    forward: { store, replication, time, deadlineMs },
  }
}

function dataParts(
  { static: isStatic, logger, maxBodiesBytes }: ResolvedServerOptions,
  { filters, bodies }: Registry,
  { store, lockingStore, reads, plugins }: NodeParts,
): DataParts {
  const beforeRead = (keyOrGlob: string): Promise<void> | undefined => reads.run(keyOrGlob)
  const guard = (keyOrGlob: string, json: string | undefined): void => {
    for (const ask of plugins.guards) ask(keyOrGlob, json)
  }
  return {
    ...{ store, lockingStore, filters, isStatic, logger, guard, beforeRead },
    jsonBounds: bodies.limits.jsonBounds,
    merges: new MergeRoom(maxBodiesBytes),
  }
}

/** Whether two globs have keys in common is not asked: where there are unsent changes, no glob resumes. */
function isResumable(noBroadcastKeys: readonly string[], keyOrGlob: string): boolean {
  if (noBroadcastKeys.length === 0) return true
  return !hasGlob(keyOrGlob) && !noBroadcastKeys.some((listed) => keysOverlap(listed, keyOrGlob))
}
