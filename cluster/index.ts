/** Public API of the cluster: the plugin that makes a server a node of a replicated cluster. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { errorText, StateError } from '../src/core/errors.ts'
import { isLoopback } from '../src/core/loopback.ts'
import type { MessageSocket, SocketHandlers } from '../src/core/ports/transport.ts'
import { NO_LEADER } from '../src/core/unknown-leader.ts'
import { STREAM_PATH } from '../src/core/wire/protocol.ts'
import type { PluginHost, ServerPlugin } from '../src/server/contract/plugin.ts'
import type { ConflictLog } from '../src/store/conflicts/conflict-log.ts'
import type { ClusterOptions, ResolvedClusterOptions } from './config/options.ts'
import { resolveClusterOptions } from './config/options.ts'
import { failFastCalls } from './election/fail-fast.ts'
import { LEADER_PATH } from './election/peer-knowledge.ts'
import { cloneWarnings } from './members/clone-text.ts'
import { LeaderCalls } from './members/leader-call.ts'
import { hostAndPort } from './members/membership.ts'
import { planPlacement } from './members/placement.ts'
import { type NodeDoor, requireMember, requireToken, showsToken } from './members/token.ts'
import { clusterMetrics, METRICS_TYPE } from './metrics/metrics.ts'
import type { ClusterStatus } from './node/engine.ts'
import type { Member } from './node/member.ts'
import { guardNodes } from './node/nodes-guard.ts'
import { type PivotInfo, pivotInfo } from './node/pivot-info.ts'
import { setupPivot2 } from './node/pivot2.ts'
import { createNodeRole, leaderOfNodes, type NodeRole } from './node/role.ts'
import { reportCluster, withoutBusAddress } from './node/status.ts'
import { linkWarnings } from './node/warnings.ts'
import { replicationOf } from './node/write-statuses.ts'
import { answerConflicts, CONFLICTS_PATH } from './routes/conflict-routes.ts'
import { answerLeader } from './routes/leader-route.ts'
import { answerNodes, NODES_PATH } from './routes/nodes-routes.ts'
import { answerVoters, VOTERS_PATH } from './routes/voter-routes.ts'

export type { BusReport } from './bus/report.ts'
export type { ClusterLimits, ClusterOptions } from './config/options.ts'
export { DEFAULT_LIMITS } from './config/options.ts'
export type { LeaseReport } from './election/election.ts'
export type {
  Candidate,
  Holder,
  Lease,
  LeaseMark,
  LeaseView,
  PodLabelReport,
} from './election/lease/lease.ts'
export type { PodLabelChoice } from './election/lease/pod-label.ts'
export type {
  CustomLeaderOptions,
  KubernetesLeaderOptions,
  LeaderOptions,
  LeaseOptions,
  RedisLeaderOptions,
  VoterOptions,
} from './election/options.ts'
export type { Attendance, VotersReport } from './election/voters/report.ts'
export type { LinkStatus } from './follower/follower.ts'
export type { CloneReport } from './incarnation/clone-guard.ts'
export type { FollowerStatus } from './leader/leader.ts'
export type { Refusal, RefusalReport } from './leader/refusals.ts'
export type { TrafficReport } from './leader/traffic.ts'
export type { NodeRecord } from './members/membership.ts'
export type { ScopeOptions } from './members/placement.ts'
export type { ClusterRole, ClusterStatus } from './node/engine.ts'
export type { FollowerReport, LinkReport } from './node/monitor.ts'
export type { PivotInfo, PivotNode } from './node/pivot-info.ts'
export type { ClusterReport, LinkDetails, ScopeReport } from './node/status.ts'

const OPEN_CLUSTER =
  'the cluster is open: whoever reaches this address can join it, read and write everything'
const CLOSED_CLUSTER =
  'there is no cluster token, so nodes of other machines are refused; give all nodes one, or say --open-cluster'

/** A server plugin that also tells how the node stands in its cluster. */
export interface ClusterPlugin extends ServerPlugin {
  /** undefined until the server has started. */
  status(): ClusterStatus | undefined
  /**
   * Lists these nodes of protocol 2.0 (see `ClusterOptions.pivot2`) from now on, and no others.
   * @throws StateError `invalid_option`.
   */
  listPivot2(nodes: readonly string[]): void
}

/**
 * Replicates `options.keys`: serves followers on `/_pivot/stream`, follows leaders, answers
 * `GET /-/cluster` with a ClusterStatus.
 * @throws StateError `invalid_option` or `invalid_key` naming what is wrong.
 */
export function cluster(options: ClusterOptions): ClusterPlugin {
  const resolved = resolveClusterOptions(options)
  const { limits } = resolved
  // What is wrong with the keys is told here, not when the server opens.
  const placement = planPlacement(resolved.keys, resolved.clusterUrl, resolved.nodesKey)
  let host: PluginHost | undefined
  let nodeRole: NodeRole | undefined
  const calls = new LeaderCalls(resolved)
  const listeners = new Set<() => void>()
  return {
    name: 'cluster',
    setup(pluginHost) {
      host = pluginHost
      const parts = { options: resolved, host, calls }
      const nodes = async (): Promise<PivotInfo['nodes']> =>
        (await pivotReport(own, pluginHost, resolved))?.nodes ?? []
      const progressed = (): void => {
        for (const listener of listeners) listener()
      }
      const own = createNodeRole({ ...parts, progressed, nodes })
      nodeRole = own
      host.addLeaderOf((key) => own.leaderOf(key))
      host.replicationStore.setDecisionTerms((key) => own.decisionTerms(key))
      const { nodesKey, nodesWritable, pivot2 } = resolved
      const isListed = (address: string): boolean => pivot2.has(address)
      host.guardWrites(guardNodes({ nodesKey, nodesWritable, isListed }))
      host.replicate(
        replicationOf({
          placement,
          engine: () => own.member?.engine,
          isElected: (key) => own.isElected(key),
          ballot: () => own.ballot,
          listeners,
          calls: failFastCalls(calls),
          forwards: resolved.forward,
        }),
      )
      route(host, own, resolved)
      nameNode(host, resolved)
      host.route(VOTERS_PATH, (request, response, url) =>
        answerVoters({ nodeRole: own, door: resolved, calls }, request, response, url),
      )
      host.route(NODES_PATH, (request, response, url) =>
        answerNodes({ nodeRole: own, options: resolved, calls }, request, response, url),
      )
      host.locateMembers((id) => addressOfMember(own, id))
      host.socket(STREAM_PATH, {
        maxMessageBytes: limits.maxMessageBytes,
        authorize: (request) => admit(request, resolved, own.member),
        connected: (socket, request) => {
          // What a member calls this node is a name of it, also for the writes that it passes on.
          pluginHost.hostName(request.headers.host ?? '', { isOwn: false })
          const address = request.socket.remoteAddress ?? ''
          return own.member?.engine.accept(socket, address) ?? refuse(socket)
        },
      })
    },
    async start(address) {
      if (nodeRole === undefined) throw new StateError('not_open', 'cluster: start before setup')
      logAdmission(resolved, address.host)
      await nodeRole.start(address)
    },
    async stop() {
      await nodeRole?.stop()
      // Whatever the roles were, they shared it.
      await resolved.bus?.close()
      calls.close()
    },
    listPivot2: (nodes) => resolved.pivot2.replace(nodes),
    status: () => (nodeRole === undefined ? undefined : viewOf(nodeRole)?.status()),
  }
}

function logAdmission({ token, openCluster, logger }: ResolvedClusterOptions, host: string): void {
  if (token !== undefined || isLoopback(host)) return
  if (openCluster) logger.warn(OPEN_CLUSTER, { host })
  else logger.info(CLOSED_CLUSTER, { host })
}

/** Under which names requests may come, and what shows that they come from the cluster. */
function nameNode(
  host: PluginHost,
  { keys, clusterUrl, advertise, token }: ResolvedClusterOptions,
): void {
  if (advertise !== undefined)
    host.hostName(hostAndPort(advertise.host, advertise.port), { isOwn: true })
  for (const url of [clusterUrl, ...keys.map((scope) => scope.clusterUrl)]) {
    if (url !== undefined) host.hostName(url.replace(/^https?:\/\//, ''), { isOwn: false })
  }
  if (token !== undefined) host.credential((request) => showsToken(request, token))
}

/** Where a member of this node's cluster is; undefined when it is none, or has not told. */
function addressOfMember({ member }: NodeRole, id: string): string | undefined {
  const node = member?.engine.members().find((each) => each.id === id)?.node
  return node && hostAndPort(node.host, node.port)
}

/** What a node is asked over HTTP. */
function route(host: PluginHost, nodeRole: NodeRole, resolved: ResolvedClusterOptions): void {
  const log = (): ConflictLog => {
    const conflicts = nodeRole.member?.engine.conflicts
    if (conflicts !== undefined) return conflicts
    throw new StateError('not_open', 'cluster: the node is starting')
  }
  host.route(CONFLICTS_PATH, (request, response, url) => {
    // Values are shown and restored past the filters of the data.
    requireToken(request, resolved.token)
    return answerConflicts({ host, placement: nodeRole.placement, log }, request, response, url)
  })
  host.management('pivot', () => pivotReport(nodeRole, host, resolved))
  host.warnings(() => warningsOf(nodeRole, resolved))
  setupPivot2(host, resolved, () => nodeRole.member?.pivot2)
  const { token } = resolved
  host.route('/-/cluster', (request, response, { pathname }) => {
    const isMember = token !== undefined && showsToken(request, token)
    return answerStatus(response, pathname, viewOf(nodeRole), host, isMember)
  })
  host.route(LEADER_PATH, (request, response) =>
    answerLeader(nodeRole, resolved, request, response),
  )
}

function warningsOf(nodeRole: NodeRole, options: ResolvedClusterOptions): string[] {
  const status = viewOf(nodeRole)?.status()
  const links = [...linkWarnings(status?.links ?? []), ...cloneWarnings(status?.clones ?? [])]
  const lease = nodeRole.lease()
  const { reason, concerns: warnings = [] } = nodeRole.voters() ?? {}
  if (reason !== undefined) {
    return [`conditional writes are refused: ${reason}`, ...warnings, ...links]
  }
  // Before the lease has answered, the leader of before may lead on.
  const isFollowing = lease?.state === 'unknown' && leaderOfNodes(nodeRole.placement, options)
  if (
    lease === undefined ||
    lease.state === 'leader' ||
    lease.state === 'follower' ||
    isFollowing
  ) {
    return [...warnings, ...links]
  }
  const why = lease.lastError === undefined ? '' : ` (${lease.lastError})`
  return [`${NO_LEADER}${why}: conditional writes are refused`, ...warnings, ...links]
}

/** The status of what runs, with links that speak 2.0 as they are. */
function viewOf(nodeRole: NodeRole): Pick<Member, 'status'> | undefined {
  const { member } = nodeRole
  const lease = nodeRole.lease()
  if (member === undefined || lease === undefined) return member
  const voters = nodeRole.voters()
  const details = voters === undefined ? { lease } : { lease, voters }
  return { status: () => ({ ...member.status(), ...details }) }
}

/** Until the node has started there is nothing to tell. */
async function pivotReport(
  nodeRole: NodeRole,
  { replicationStore: store, clock }: PluginHost,
  options: ResolvedClusterOptions,
): Promise<PivotInfo | undefined> {
  const view = viewOf(nodeRole)
  const { member } = nodeRole
  if (member === undefined || view === undefined) return undefined
  const { engine, pivot2 } = member
  const isShown = engine.role === 'leader' && !options.nodesWritable
  const records = isShown ? await store.list(options.nodesKey) : []
  const report = withoutBusAddress(await reportCluster(view, store, clock))
  return pivot2.describe(pivotInfo(engine, report, options, records))
}

async function answerStatus(
  response: ServerResponse,
  path: string,
  view: Pick<Member, 'status'> | undefined,
  { replicationStore: store, clock }: PluginHost,
  isMember: boolean,
): Promise<void> {
  const isMetrics = path === '/-/cluster/metrics'
  if (!isMetrics && path !== '/-/cluster') {
    throw new StateError('not_found', `cluster: there is nothing at ${path.slice(0, 100)}`)
  }
  if (view === undefined) throw new StateError('not_open', 'cluster: the node is starting')
  const full = await reportCluster(view, store, clock)
  const report = isMember ? full : withoutBusAddress(full)
  response.writeHead(200, {
    'content-type': isMetrics ? METRICS_TYPE : 'application/json',
    'cache-control': 'no-store',
  })
  response.end(isMetrics ? clusterMetrics(report) : JSON.stringify(report))
}

/** @throws StateError `unauthorized` or `forbidden`, which is counted, unless the request may come in. */
function admit(request: IncomingMessage, door: NodeDoor, member: Member | undefined): void {
  try {
    requireMember(request, door)
  } catch (error) {
    member?.engine.refused('unauthorized', errorText(error), request.socket.remoteAddress ?? '')
    throw error
  }
}

function refuse(socket: MessageSocket): SocketHandlers {
  socket.close(4002, 'the node is starting')
  return { message: () => undefined, close: () => undefined }
}
