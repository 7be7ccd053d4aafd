/** What every request and handshake of an open node is given to work with. */
import type { HybridClock } from '../core/clock.ts'
import { hasGlob, keysOverlap } from '../core/key.ts'
import type { Hub } from '../fanout/hub.ts'
import type { GuardedStore } from '../store/guarded-store.ts'
import type { ReadHooks } from '../store/read-hooks.ts'
import type { Store } from '../store/store.ts'
import { createDataAccess, type DataAccess } from './access.ts'
import { ClockSocket } from './clock-socket.ts'
import { storageConcerns } from './health.ts'
import type { ResolvedServerOptions } from './options.ts'
import type { ServerAddress } from './plugin.ts'
import type { PluginRoutes } from './plugin-host.ts'
import type { Registry } from './registry.ts'
import type { Sockets } from './sockets.ts'
import type { UpgradeContext } from './upgrade.ts'

/** What of an open node requests and handshakes work with. */
export interface NodeParts {
  readonly store: Store
  /** The store with writes that wait for locks: what requests write to. */
  readonly guarded: GuardedStore
  /** What runs before each read. */
  readonly reads: ReadHooks
  readonly plugins: PluginRoutes
  readonly hub: Hub
  readonly sockets: Sockets
  readonly clock: HybridClock
}

/** What requests and handshakes are given. */
export type NodeContext = UpgradeContext & {
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
  const { store, plugins, hub, sockets, clock } = parts
  const clockSocket = new ClockSocket(options.time, options.tickMs, () => clock.now())
  let phase: 'serving' | 'closing' = 'serving'
  let bound = ''
  return {
    plugins,
    hub,
    sockets,
    filters: options.static ? registry.filters : undefined,
    access: createAccess(options, registry, parts),
    beforeRead: (keyOrGlob) => parts.reads.run(keyOrGlob),
    clock: clockSocket,
    registry,
    management: {
      options,
      registry,
      store,
      address: () => bound,
      pools: () => hub.describe(),
      clockConnections: () => clockSocket.size,
      providers: plugins.management,
    },
    name: options.name,
    uiDir: options.uiDir,
    cors: options,
    compression: options.compression,
    hooks: registry.hooks,
    isResumable: (keyOrGlob) => isResumable(options.noBroadcastKeys, keyOrGlob),
    maxBodyBytes: options.maxBodyBytes,
    deadlineMs: options.deadlineMs,
    time: options.time,
    logger: options.logger,
    isServing: () => phase === 'serving',
    concerns: () => storageConcerns(store),
    damagedCount: (keyOrGlob) => store.damagedCount(keyOrGlob),
    listensAt: ({ url }) => {
      bound = url.slice(url.indexOf('//') + 2)
    },
    stopServing: () => {
      phase = 'closing'
    },
  }
}

function createAccess(
  { static: isStatic, logger }: ResolvedServerOptions,
  { filters }: Registry,
  { guarded: store, reads }: NodeParts,
): DataAccess {
  const beforeRead = (keyOrGlob: string): Promise<void> | undefined => reads.run(keyOrGlob)
  return createDataAccess({ store, filters, isStatic, logger, beforeRead })
}

/** Whether two globs have keys in common is not asked: where there are unsent changes, no glob resumes. */
function isResumable(noBroadcastKeys: readonly string[], keyOrGlob: string): boolean {
  if (noBroadcastKeys.length === 0) return true
  return !hasGlob(keyOrGlob) && !noBroadcastKeys.some((listed) => keysOverlap(listed, keyOrGlob))
}
