/** Public API of the cluster: the plugin that makes a server a node of a replicated cluster. */
import type { ServerResponse } from 'node:http'
import { StateError } from '../src/core/errors.ts'
import { STREAM_PATH } from '../src/core/protocol.ts'
import type { MessageSocket, SocketHandlers } from '../src/core/transport.ts'
import type { PluginHost, ServerAddress, ServerPlugin } from '../src/server/plugin.ts'
import type { ClusterStatus } from './engine.ts'
import { ClusterEngine } from './engine.ts'
import { registerNode } from './membership.ts'
import type { ClusterOptions, ResolvedClusterOptions } from './options.ts'
import { resolveClusterOptions } from './options.ts'
import { type PivotInfo, pivotInfo } from './pivot-info.ts'
import type { Placement } from './placement.ts'
import { planPlacement, scopeOf } from './placement.ts'
import { requireToken } from './token.ts'

export type { ClusterRole, ClusterStatus } from './engine.ts'
export type { LinkStatus } from './follower.ts'
export type { FollowerStatus } from './leader.ts'
export type { NodeRecord } from './membership.ts'
export type { ClusterLimits, ClusterOptions, ScopeOptions } from './options.ts'
export { DEFAULT_LIMITS } from './options.ts'
export type { PivotInfo, PivotNode } from './pivot-info.ts'

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
  return {
    name: 'cluster',
    setup(pluginHost) {
      host = pluginHost
      host.addLeaderOf((key) => scopeOf(placement, key)?.leader)
      host.management('pivot', () => tellPivot(engine, pluginHost, resolved))
      host.route('/-/cluster', (_request, response) => answerStatus(response, engine))
      host.socket(STREAM_PATH, {
        maxMessageBytes: limits.maxMessageBytes,
        authorize: (request) => requireToken(request, token),
        connected: (socket, request) =>
          engine === undefined
            ? refuse(socket)
            : engine.accept(socket, request.socket.remoteAddress ?? ''),
      })
    },
    async start(address) {
      if (host === undefined) throw new StateError('not_open', 'cluster: start before setup')
      const { store, clock, time, transport, newId } = host
      const { random } = resolved
      engine = new ClusterEngine({
        options: resolved,
        placement,
        store,
        clock,
        time,
        random,
        transport,
        newId,
      })
      await engine.start()
      await register(engine, host, placement, nodesKey, resolved.advertise, address)
    },
    async stop() {
      await engine?.stop()
      engine = undefined
    },
    status: () => engine?.status(),
  }
}

/** Followers register; a node that leads the nodes scope is known by its address already. */
async function register(
  engine: ClusterEngine,
  host: PluginHost,
  placement: Placement,
  nodesKey: string,
  advertise: ClusterOptions['advertise'],
  address: ServerAddress,
): Promise<void> {
  const followed = placement.scopes.find((scope) => scope.path === nodesKey)?.leader !== undefined
  if (!followed) return
  const { name, role } = engine
  await registerNode(host.store, nodesKey, {
    name,
    role,
    advertise,
    address,
    startedAt: new Date(Number(host.time.wallNs() / 1_000_000n)),
  })
}

/** Until the node has started there is nothing to tell. */
async function tellPivot(
  engine: ClusterEngine | undefined,
  { store }: PluginHost,
  options: ResolvedClusterOptions,
): Promise<PivotInfo | undefined> {
  if (engine === undefined) return undefined
  const records = engine.role === 'leader' ? await store.list(options.nodesKey) : []
  return pivotInfo(engine, options, records)
}

function answerStatus(response: ServerResponse, engine: ClusterEngine | undefined): void {
  if (engine === undefined) throw new StateError('not_open', 'cluster: the node is starting')
  response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' })
  response.end(JSON.stringify(engine.status()))
}

function refuse(socket: MessageSocket): SocketHandlers {
  socket.close(4002, 'the node is starting')
  return { message: () => undefined, close: () => undefined }
}
