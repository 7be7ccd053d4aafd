/** Public API of the cluster: the plugin that makes a server a node of a replicated cluster. */
import type { IncomingMessage } from 'node:http'
import { errorText, StateError } from '../src/core/errors.ts'
import { isLoopback } from '../src/core/loopback.ts'
import type { MessageSocket, SocketHandlers } from '../src/core/ports/transport.ts'
import { NO_LEADER } from '../src/core/unknown-leader.ts'
import { STREAM_PATH } from '../src/core/wire/protocol.ts'
import type { PluginHost, Reply, ServerPlugin } from '../src/server/contract/plugin.ts'
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
import type { ClusterStatus } from './node/engine-status.ts'
import type { Member } from './node/member.ts'
import { guardNodes } from './node/nodes-guard.ts'
import { type PivotInfo, pivotInfo } from './node/pivot-info.ts'
import { setupPivot2 } from './node/pivot2.ts'
import { createNodeRole, leaderOfNodes, type NodeRole } from './node/role.ts'
import { type ClusterReport, reportCluster, withoutBusAddress } from './node/status.ts'
import { linkWarnings } from './node/warnings.ts'
import { replicationOf } from './node/write-statuses.ts'
import { conflictRoutes } from './routes/conflict-routes.ts'
import { answerLeader } from './routes/leader-route.ts'
import { forgetNode, NODES_PATH, readNodes } from './routes/nodes-routes.ts'
import { changeVoters, readVoters, VOTERS_PATH } from './routes/voter-routes.ts'

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
export type { LinkStatus } from './follower/link-status.ts'
export type { CloneReport } from './incarnation/clone-guard.ts'
export type { FollowerStatus } from './leader/leader.ts'
export type { Refusal, RefusalReport } from './leader/refusals.ts'
export type { TrafficReport } from './leader/traffic.ts'
export type { NodeRecord } from './members/membership.ts'
export type { ScopeOptions } from './members/placement.ts'
export type { ClusterRole, ClusterStatus } from './node/engine-status.ts'
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
      route(host, own, resolved, calls)
      nameNode(host, resolved)
      host.locateMembers((id) => addressOfMember(own, id))
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

/** What a node is asked over HTTP, and the stream of its followers. */
function route(
  host: PluginHost,
  nodeRole: NodeRole,
  resolved: ResolvedClusterOptions,
  calls: LeaderCalls,
): void {
  const log = (): ConflictLog => {
    const conflicts = nodeRole.member?.engine.conflicts
    if (conflicts !== undefined) return conflicts
    throw new StateError('not_open', 'cluster: the node is starting')
  }
  const withToken = (request: IncomingMessage): void => requireToken(request, resolved.token)
  const asMember = (request: IncomingMessage): void => requireMember(request, resolved)
  const { placement } = nodeRole
  // Values are shown and restored past the filters of the data.
  for (const each of conflictRoutes({ host, placement, log }, withToken)) host.route(each)
  const read = { methods: ['GET', 'HEAD'], who: 'client' } as const
  host.route({
    ...{ ...read, path: VOTERS_PATH, description: 'who votes' },
    http: (request) => readVoters({ nodeRole, calls }, request),
  })
  host.route({
    ...{ path: VOTERS_PATH, methods: ['POST'], who: 'node', authorize: asMember },
    description: 'changes who votes',
    http: (request) => changeVoters({ nodeRole, calls }, request),
  })
  host.route({
    ...{ ...read, path: NODES_PATH, description: 'the members of the cluster' },
    http: (request) => readNodes({ nodeRole, options: resolved, calls }, request),
  })
  host.route({
    ...{ path: NODES_PATH, methods: ['POST'], who: 'token', authorize: withToken },
    description: 'forgets a member that will not return',
    http: (request) => forgetNode({ nodeRole, options: resolved, calls }, request),
  })
  host.route({
    ...{ path: STREAM_PATH, methods: [], who: 'peer' },
    description: 'the stream of a follower',
    authorize: (request) => admit(request, resolved, nodeRole.member),
    socket: {
      maxMessageBytes: resolved.limits.maxMessageBytes,
      connected: (socket, request) => {
        // What a member calls this node is a name of it, also for the writes that it passes on.
        host.hostName(request.headers.host ?? '', { isOwn: false })
        const address = request.socket.remoteAddress ?? ''
        return nodeRole.member?.engine.accept(socket, address) ?? refuse(socket)
      },
    },
  })
  host.management('pivot', () => pivotReport(nodeRole, host, resolved))
  host.warnings(() => warningsOf(nodeRole, resolved))
  setupPivot2(host, resolved, () => nodeRole.member?.pivot2)
  const report = (request: IncomingMessage): Promise<ClusterReport> => {
    const isMember = resolved.token !== undefined && showsToken(request, resolved.token)
    return reportOf(nodeRole, host, isMember)
  }
  host.route({
    ...{ ...read, path: '/-/cluster', description: 'role, cursor, lag and outbox, as JSON' },
    http: async (request) => reportReply(JSON.stringify(await report(request))),
  })
  host.route({
    ...{ ...read, path: '/-/cluster/metrics', description: 'replication, for Prometheus' },
    http: async (request) => reportReply(clusterMetrics(await report(request)), METRICS_TYPE),
  })
  host.route({
    ...{ ...read, path: LEADER_PATH, description: '200 on the leader; 503 elsewhere, naming it' },
    http: (request) => answerLeader(nodeRole, resolved, request),
  })
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

/** Who is no member is not told where the bus is. @throws StateError `not_open`. */
async function reportOf(
  nodeRole: NodeRole,
  { replicationStore: store, clock }: PluginHost,
  isMember: boolean,
): Promise<ClusterReport> {
  const view = viewOf(nodeRole)
  if (view === undefined) throw new StateError('not_open', 'cluster: the node is starting')
  const full = await reportCluster(view, store, clock)
  return isMember ? full : withoutBusAddress(full)
}

function reportReply(body: string, type = 'application/json'): Reply {
  return { status: 200, headers: { 'Content-Type': type, 'Cache-Control': 'no-store' }, body }
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
