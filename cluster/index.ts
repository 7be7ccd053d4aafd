/** Public API of the cluster: the plugin that makes a server a node of a replicated cluster. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { errorText, StateError } from '../src/core/errors.ts'
import { STREAM_PATH } from '../src/core/protocol.ts'
import type { MessageSocket, SocketHandlers } from '../src/core/transport.ts'
import type { PluginHost, ServerAddress, ServerPlugin } from '../src/server/plugin.ts'
import type { ConflictLog } from '../src/store/conflict-log.ts'
import { answerConflicts, CONFLICTS_PATH } from './conflict-routes.ts'
import type { ClusterStatus } from './engine.ts'
import { ClusterEngine } from './engine.ts'
import { LeaderCalls } from './leader-call.ts'
import { Registrar } from './membership.ts'
import { clusterMetrics, METRICS_TYPE } from './metrics.ts'
import type { ClusterOptions, ResolvedClusterOptions } from './options.ts'
import { resolveClusterOptions } from './options.ts'
import { type PivotInfo, pivotInfo } from './pivot-info.ts'
import { Pivot2, setupPivot2 } from './pivot2/pivot2.ts'
import type { Placement } from './placement.ts'
import { planPlacement, scopeOf } from './placement.ts'
import { reportCluster } from './status.ts'
import { isLoopback, requireToken } from './token.ts'
import { replicationOf } from './write-fates.ts'

export type { ClusterRole, ClusterStatus } from './engine.ts'
export type { LinkStatus } from './follower.ts'
export type { FollowerStatus } from './leader.ts'
export type { NodeRecord } from './membership.ts'
export type { FollowerReport, LinkReport } from './monitor.ts'
export type { ClusterLimits, ClusterOptions, ScopeOptions } from './options.ts'
export { DEFAULT_LIMITS } from './options.ts'
export type { PivotInfo, PivotNode } from './pivot-info.ts'
export type { Refusal, RefusalReport } from './refusals.ts'
export type { ClusterReport, LinkDetails, ScopeReport } from './status.ts'
export type { TrafficReport } from './traffic.ts'

const EXPOSED =
  'listening beyond this machine without a cluster token: whoever reaches this address can join the cluster, read and write; set OOO_CLUSTER_TOKEN'

/** A server plugin that also tells how the node stands in its cluster. */
export interface ClusterPlugin extends ServerPlugin {
  /** undefined until the server has started. */
  status(): ClusterStatus | undefined
}

/**
 * Replicates `options.keys`: serves followers on `/_pivot/stream`, follows leaders, answers
 * `GET /-/cluster` with a ClusterStatus.
 * @throws StateError `invalid_option` or `invalid_key` naming what is wrong.
 */
export function cluster(options: ClusterOptions): ClusterPlugin {
  const resolved = resolveClusterOptions(options)
  const { keys, clusterUrl, nodesKey, limits, token } = resolved
  const placement = planPlacement(keys, clusterUrl, nodesKey)
  let host: PluginHost | undefined
  let engine: ClusterEngine | undefined
  let registrar: Registrar | undefined
  let pivot2: Pivot2 | undefined
  const calls = new LeaderCalls(resolved)
  const listeners = new Set<() => void>()
  return {
    name: 'cluster',
    setup(pluginHost) {
      host = pluginHost
      host.addLeaderOf((key) => scopeOf(placement, key)?.leader)
      host.replicate(
        replicationOf({
          placement,
          engine: () => engine,
          listeners,
          calls,
          forwards: resolved.forward,
        }),
      )
      routeConflicts(host, placement, () => engine)
      host.management('pivot', () => tellPivot(engine, pivot2, pluginHost, resolved))
      setupPivot2(host, token, () => pivot2)
      host.route('/-/cluster', (_request, response, { pathname }) =>
        answerStatus(response, pathname, viewOf(engine, pivot2), pluginHost),
      )
      host.socket(STREAM_PATH, {
        maxMessageBytes: limits.maxMessageBytes,
        authorize: (request) => admit(request, token, engine),
        connected: (socket, request) =>
          engine === undefined
            ? refuse(socket)
            : engine.accept(socket, request.socket.remoteAddress ?? ''),
      })
    },
    async start(address) {
      if (host === undefined) throw new StateError('not_open', 'cluster: start before setup')
      const pluginHost = host
      const { store, clock, time, transport, newId } = host
      const { random, logger } = resolved
      if (token === undefined && !isLoopback(address.host))
        logger.warn(EXPOSED, { host: address.host })
      const spoken = { options: resolved, placement, store, clock, time, transport }
      const nodes = async (): Promise<PivotInfo['nodes']> =>
        (await tellPivot(engine, pivot2, pluginHost, resolved))?.nodes ?? []
      pivot2 = new Pivot2({ ...spoken, nodes })
      pivot2.start()
      engine = new ClusterEngine({ ...spoken, transport: pivot2.transport, random, newId })
      engine.onProgress(() => {
        for (const listener of listeners) listener()
      })
      await engine.start()
      void engine.conflicts.trim()
      registrar = registrarOf(engine, host, placement, resolved, address)
      await registrar?.start()
    },
    async stop() {
      await registrar?.stop()
      registrar = undefined
      await pivot2?.stop()
      pivot2 = undefined
      await engine?.stop()
      engine = undefined
      calls.close()
    },
    status: () => viewOf(engine, pivot2)?.status(),
  }
}

function routeConflicts(
  host: PluginHost,
  placement: Placement,
  engine: () => ClusterEngine | undefined,
): void {
  const log = (): ConflictLog => {
    const conflicts = engine()?.conflicts
    if (conflicts !== undefined) return conflicts
    throw new StateError('not_open', 'cluster: the node is starting')
  }
  host.route(CONFLICTS_PATH, (request, response, url) =>
    answerConflicts({ host, placement, log }, request, response, url),
  )
}

/** Followers register; a node that leads the nodes scope is known by its address already. */
function registrarOf(
  { name, role }: ClusterEngine,
  { store, time }: PluginHost,
  placement: Placement,
  { nodesKey, advertise, logger }: ResolvedClusterOptions,
  address: ServerAddress,
): Registrar | undefined {
  const scope = placement.scopes.find(({ path }) => path === nodesKey)
  if (scope?.leader === undefined) return undefined
  return new Registrar({ store, time, logger, nodesKey, name, role, advertise, address })
}

/** The engine's status, with links that speak 2.0 as they are. */
function viewOf(
  engine: ClusterEngine | undefined,
  pivot2: Pivot2 | undefined,
): Pick<ClusterEngine, 'status'> | undefined {
  return engine === undefined ? undefined : (pivot2?.view(engine) ?? engine)
}

/** Until the node has started there is nothing to tell. */
async function tellPivot(
  engine: ClusterEngine | undefined,
  pivot2: Pivot2 | undefined,
  { store, clock }: PluginHost,
  options: ResolvedClusterOptions,
): Promise<PivotInfo | undefined> {
  if (engine === undefined) return undefined
  const records = engine.role === 'leader' ? await store.list(options.nodesKey) : []
  const report = await reportCluster(pivot2?.view(engine) ?? engine, store, clock)
  const info = pivotInfo(engine, report, options, records)
  return pivot2?.describe(info) ?? info
}

async function answerStatus(
  response: ServerResponse,
  path: string,
  engine: Pick<ClusterEngine, 'status'> | undefined,
  { store, clock }: PluginHost,
): Promise<void> {
  const isMetrics = path === '/-/cluster/metrics'
  if (!isMetrics && path !== '/-/cluster') {
    throw new StateError('not_found', `cluster: there is nothing at ${path.slice(0, 100)}`)
  }
  if (engine === undefined) throw new StateError('not_open', 'cluster: the node is starting')
  const report = await reportCluster(engine, store, clock)
  response.writeHead(200, {
    'content-type': isMetrics ? METRICS_TYPE : 'application/json',
    'cache-control': 'no-store',
  })
  response.end(isMetrics ? clusterMetrics(report) : JSON.stringify(report))
}

/** @throws StateError `unauthorized`, which is counted, unless the request shows the token. */
function admit(
  request: IncomingMessage,
  token: string | undefined,
  engine: ClusterEngine | undefined,
): void {
  try {
    requireToken(request, token)
  } catch (error) {
    engine?.refused('unauthorized', errorText(error), request.socket.remoteAddress ?? '')
    throw error
  }
}

function refuse(socket: MessageSocket): SocketHandlers {
  socket.close(4002, 'the node is starting')
  return { message: () => undefined, close: () => undefined }
}
