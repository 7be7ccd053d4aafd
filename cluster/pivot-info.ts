/** The state of replication in the shape that tools of the older server read (`GET /?api=pivot`). */
import { type Entry, indexOfKey } from '../src/core/entry.ts'
import { parseExact } from '../src/core/json.ts'
import { STREAM_PROTOCOL } from '../src/core/protocol.ts'
import type { ClusterEngine, ClusterRole } from './engine.ts'
import type { LinkStatus } from './follower.ts'
import type { ResolvedClusterOptions } from './options.ts'

/** How a leader sees one registered node. */
export interface PivotNode {
  /** `ip:port` of its record. */
  readonly address: string
  readonly healthy: boolean
  /** RFC 3339, local time: last heard of, or found gone; `Never` before that. */
  readonly lastCheck: string
  /** Version of the replication stream it speaks; `unknown` before it did. */
  readonly protocol: string
  readonly compatible: boolean
}

/** Fields in the order in which they are written. */
export interface PivotInfo {
  readonly role: 'pivot' | 'node' | 'mixed'
  /** The configured leader; empty on a leader. */
  readonly pivotIP: string
  /** Registered nodes; told by leaders only. */
  readonly nodes: readonly PivotNode[]
  readonly syncedKeys: readonly string[]
  /** Whether every leader is in reach; true before the first attempt. */
  readonly pivotHealthy: boolean
  /** RFC 3339, local time; empty before the first attempt. */
  readonly pivotLastCheck: string
  readonly pivotProtocol: ''
  readonly pivotCompatible: false
}

const ROLES: Readonly<Record<ClusterRole, PivotInfo['role']>> = {
  leader: 'pivot',
  follower: 'node',
  mixed: 'mixed',
}

/** @param records entries under the nodes key */
export function pivotInfo(
  engine: Pick<ClusterEngine, 'role' | 'status' | 'departed'>,
  options: Pick<ResolvedClusterOptions, 'clusterUrl'>,
  records: readonly Entry[],
): PivotInfo {
  const { links, followers, scopes } = engine.status()
  const contacts = new Map(followers.map(({ id, lastContactMs }) => [id, lastContactMs]))
  // Of several leaders, one that is out of reach is the news.
  const link = links.find((candidate) => !isHealthy(candidate)) ?? links[0]
  return {
    role: ROLES[engine.role],
    pivotIP: options.clusterUrl ?? link?.url ?? '',
    nodes:
      engine.role === 'leader'
        ? records.flatMap((record) => describeNode(record, contacts, engine.departed) ?? [])
        : [],
    syncedKeys: scopes.map(({ path }) => path),
    pivotHealthy: link === undefined || isHealthy(link),
    pivotLastCheck: link === undefined ? '' : localTime(link.lastCheckMs),
    pivotProtocol: '',
    pivotCompatible: false,
  }
}

function isHealthy({ state, lastCheckMs }: LinkStatus): boolean {
  return state === 'live' || state === 'catchingUp' || lastCheckMs === 0
}

/** undefined for a record that names no address: ordinary data. */
function describeNode(
  record: Entry,
  contacts: ReadonlyMap<string, number>,
  departed: ReadonlyMap<string, number>,
): PivotNode | undefined {
  const fields = parseExact(record.data)
  if (typeof fields !== 'object' || fields === null) return undefined
  const { ip, IP, port, Port } = fields as Readonly<Record<string, unknown>>
  const host = ip ?? IP
  const portNumber = Number(port ?? Port)
  if (typeof host !== 'string' || host === '' || !(portNumber > 0)) return undefined
  const id = indexOfKey(record.key)
  const contact = contacts.get(id)
  const checked = contact ?? departed.get(id)
  return {
    address: `${host.includes(':') ? `[${host}]` : host}:${portNumber}`,
    healthy: contact !== undefined,
    lastCheck: checked === undefined ? 'Never' : localTime(checked),
    protocol: checked === undefined ? 'unknown' : String(STREAM_PROTOCOL),
    compatible: checked !== undefined,
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
