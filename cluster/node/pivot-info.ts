/** The state of replication in the shape that tools of the older server read (`GET /?api=pivot`). */
import { type Entry, indexOfKey } from '../../src/core/data/entry.ts'
import { STREAM_PROTOCOL } from '../../src/core/wire/protocol.ts'
import type { ResolvedClusterOptions } from '../config/options.ts'
import type { LinkStatus } from '../follower/link-status.ts'
import { hostAndPort, nodeAddress } from '../members/membership.ts'
import type { RegisteredFollower } from '../progress/follower-registry.ts'
import type { ClusterEngine } from './engine.ts'
import type { ClusterRole } from './engine-status.ts'
import type { FollowerReport } from './monitor.ts'
import type { ClusterReport } from './status.ts'

/** How a leader sees one registered node. */
export interface PivotNode {
  /** `host:port`. */
  readonly address: string
  readonly healthy: boolean
  /** RFC 3339, local time: last heard of, or found gone; `Never` before that. */
  readonly lastCheck: string
  /** Version of the replication stream it speaks; `unknown` before it did. */
  readonly protocol: string
  readonly compatible: boolean
  /** Changes it has not acknowledged, and the age of the oldest, milliseconds; null while away. */
  readonly lagRows: number | null
  readonly lagMs: number | null
}

/** Fields in the order in which they are written. */
export interface PivotInfo {
  readonly role: 'pivot' | 'node' | 'mixed'
  /** The configured leader; empty on a leader. */
  readonly pivotIP: string
  /** Members, and listed nodes of protocol 2.0; told by leaders only. */
  readonly nodes: readonly PivotNode[]
  readonly syncedKeys: readonly string[]
  /** Whether every leader is in reach; true before the first attempt. */
  readonly pivotHealthy: boolean
  /** RFC 3339, local time; empty before the first attempt. */
  readonly pivotLastCheck: string
  /** `2.0` while this node follows a leader by that protocol, which has no stream; else empty. */
  readonly pivotProtocol: '' | '2.0'
  readonly pivotCompatible: boolean
  /** Everything this node knows of its cluster; not told by the older server. */
  readonly cluster: ClusterReport
}

const ROLES: Readonly<Record<ClusterRole, PivotInfo['role']>> = {
  leader: 'pivot',
  follower: 'node',
  mixed: 'mixed',
}

/** @param records entries under the nodes key, for members that have not told their address otherwise */
export function pivotInfo(
  engine: Pick<ClusterEngine, 'departed'>,
  report: ClusterReport,
  options: Pick<ResolvedClusterOptions, 'clusterUrl'>,
  records: readonly Entry[],
): PivotInfo {
  const { role, links, followers, scopes, registered } = report
  const connected = new Map(followers.map((follower) => [follower.id, follower]))
  // Of several leaders, one that is out of reach is the news.
  const link = links.find((candidate) => !isHealthy(candidate)) ?? links[0]
  return {
    role: ROLES[role],
    pivotIP: options.clusterUrl ?? link?.url ?? '',
    nodes:
      role === 'leader'
        ? registered.flatMap((each) => {
            const address = addressOf(each, records)
            return address === undefined
              ? []
              : [describeNode(each.id, address, connected, engine.departed)]
          })
        : [],
    syncedKeys: scopes.map(({ path }) => path),
    pivotHealthy: link === undefined || isHealthy(link),
    pivotLastCheck: link === undefined ? '' : localTime(link.lastCheckMs),
    pivotProtocol: '',
    pivotCompatible: false,
    cluster: report,
  }
}

function isHealthy({ state, lastCheckMs }: LinkStatus): boolean {
  return state === 'live' || state === 'catchingUp' || state === 'comparing' || lastCheckMs === 0
}

/** Earlier releases tell it by their record only. */
function addressOf(
  { id, node }: RegisteredFollower,
  records: readonly Entry[],
): string | undefined {
  if (node !== undefined) return hostAndPort(node.host, node.port)
  const record = records.find(({ key }) => indexOfKey(key) === id)
  const found = record && nodeAddress(record)
  return found && hostAndPort(found.host, found.port)
}

function describeNode(
  id: string,
  address: string,
  connected: ReadonlyMap<string, FollowerReport>,
  departed: ReadonlyMap<string, number>,
): PivotNode {
  const follower = connected.get(id)
  const checked = follower?.lastContactMs ?? departed.get(id)
  return {
    address,
    healthy: follower !== undefined,
    lastCheck: checked === undefined ? 'Never' : localTime(checked),
    protocol: checked === undefined ? 'unknown' : String(follower?.protocol ?? STREAM_PROTOCOL),
    compatible: checked !== undefined,
    lagRows: follower?.lagRows ?? null,
    lagMs: follower?.lagMs ?? null,
  }
}

/** RFC 3339 with the offset of this machine; empty for 0. */
export function localTime(ms: number): string {
  if (ms === 0) return ''
  const date = new Date(ms)
  const offset = -date.getTimezoneOffset()
  const local = new Date(ms + offset * 60_000).toISOString().slice(0, 19)
  if (offset === 0) return `${local}Z`
  const two = (value: number): string => String(Math.trunc(value)).padStart(2, '0')
  const minutes = Math.abs(offset)
  return `${local}${offset < 0 ? '-' : '+'}${two(minutes / 60)}:${two(minutes % 60)}`
}
