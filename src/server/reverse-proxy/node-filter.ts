/** Routes to nodes that are named in the path and recorded, with `ip` and `port`, in a list. */
import type { Entry } from '../../core/data/entry.ts'
import { indexOfKey } from '../../core/data/entry.ts'
import { StateError } from '../../core/errors.ts'
import { type HostPort, isHost, isPort } from '../../core/host-port.ts'
import type { ProxyNodeFilter, ProxyResolver, ProxyRoute } from './config.ts'

/** How nodes are found, and where requests may go. */
export interface NodeFinder {
  /** Reads the records of the nodes. */
  list(glob: string): Promise<readonly Entry[]>
  /** `host:port` of the member of the cluster with this id; undefined: there is none. */
  member(id: string): string | undefined
  /** Whether requests may go to this host, which is no member's: a record is what anybody wrote. */
  mayReach(host: string): boolean
}

/**
 * One value per node: the id is what follows the text before the first `*` of `localKey`.
 * @throws StateError `invalid_option`
 */
export function nodeFilterRoute(filter: ProxyNodeFilter, nodes: NodeFinder): ProxyRoute {
  assertComplete(filter)
  const { nodesKey, localKey, remoteKey } = filter
  const star = localKey.indexOf('*')
  const prefix = star === -1 ? localKey : localKey.slice(0, star)
  return asRoute(filter, async (localPath) => {
    const id = localPath.startsWith(prefix) ? localPath.slice(prefix.length) : localPath
    return { address: await nodeAddress(nodes, nodesKey, id), path: remoteKey }
  })
}

/**
 * A list per node: the id is the segment at the second-to-last `*` of `localKey`, and what follows it
 * takes the place of the last `*` of `remoteKey`.
 * @throws StateError `invalid_option`
 */
export function nodeListFilterRoute(filter: ProxyNodeFilter, nodes: NodeFinder): ProxyRoute {
  assertComplete(filter)
  const { nodesKey, localKey, remoteKey } = filter
  const globs = localKey.split('/').flatMap((segment, i) => (segment.includes('*') ? [i] : []))
  const position = globs.at(-2)
  if (position === undefined) {
    throw new StateError(
      'invalid_option',
      'proxy: LocalKey must have at least two wildcards for node list filter',
    )
  }
  const remotePrefix = remoteKey.endsWith('*') ? remoteKey.slice(0, -1) : remoteKey
  return asRoute(filter, async (localPath) => {
    const segments = localPath.split('/')
    const rest = segments.slice(position + 1).join('/')
    const address = await nodeAddress(nodes, nodesKey, segments[position] ?? '')
    return { address, path: rest === '' ? remoteKey : `${remotePrefix}${rest}` }
  })
}

function assertComplete({ nodesKey, localKey, remoteKey }: ProxyNodeFilter): void {
  if (nodesKey && localKey && remoteKey) return
  throw new StateError('invalid_option', 'proxy: NodesKey, LocalKey, and RemoteKey are required')
}

function asRoute(filter: ProxyNodeFilter, resolve: ProxyResolver): ProxyRoute {
  const { nodesKey: _nodes, localKey, remoteKey: _remote, ...options } = filter
  return { ...options, localPath: localKey, resolve }
}

/**
 * A member is where it has told its leader; of others the record says where, and the server's owner whether
 * requests may go there.
 * @throws StateError `not_routed` when no record has that id, or it has no address; `forbidden`.
 */
async function nodeAddress(nodes: NodeFinder, nodesKey: string, id: string): Promise<string> {
  const member = nodes.member(id)
  if (member !== undefined) return member
  const entry = (await nodes.list(nodesKey)).find((node) => indexOfKey(node.key) === id)
  const found = entry === undefined ? undefined : addressOf(entry.data)
  if (found === undefined) throw new StateError('not_routed', `proxy: node not found: ${id}`)
  const { host, port } = found
  if (!nodes.mayReach(host)) {
    throw new StateError(
      'forbidden',
      `proxy: node ${id} is no member of the cluster, and its host ${host} is not listed (proxyHosts)`,
    )
  }
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

function addressOf(data: string): HostPort | undefined {
  const record: unknown = JSON.parse(data)
  if (typeof record !== 'object' || record === null) return undefined
  const { ip, IP, port, Port } = record as Record<string, unknown>
  const text = ip ?? IP
  const host = typeof text === 'string' ? text.replace(/^\[(.*)\]$/, '$1') : ''
  const number = Number(port ?? Port)
  return isHost(host) && isPort(number) ? { host, port: number } : undefined
}
