/** Routes to nodes that are named in the path and recorded, with `ip` and `port`, in a list. */
import type { Entry } from '../core/entry.ts'
import { indexOfKey } from '../core/entry.ts'
import { StateError } from '../core/errors.ts'
import type { ProxyNodeFilter, ProxyResolver, ProxyRoute } from './proxy-config.ts'

/** Reads the records of the nodes. */
export type NodeReader = (glob: string) => Promise<readonly Entry[]>

/**
 * One value per node: the id is what follows the text before the first `*` of `localKey`.
 * @throws StateError `invalid_option`
 */
export function nodeFilterRoute(filter: ProxyNodeFilter, read: NodeReader): ProxyRoute {
  assertComplete(filter)
  const { nodesKey, localKey, remoteKey } = filter
  const star = localKey.indexOf('*')
  const prefix = star === -1 ? localKey : localKey.slice(0, star)
  return asRoute(filter, async (localPath) => {
    const id = localPath.startsWith(prefix) ? localPath.slice(prefix.length) : localPath
    return { address: await nodeAddress(read, nodesKey, id), path: remoteKey }
  })
}

/**
 * A list per node: the id is the segment at the second-to-last `*` of `localKey`, and what follows it
 * takes the place of the last `*` of `remoteKey`.
 * @throws StateError `invalid_option`
 */
export function nodeListFilterRoute(filter: ProxyNodeFilter, read: NodeReader): ProxyRoute {
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
    const address = await nodeAddress(read, nodesKey, segments[position] ?? '')
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

/** @throws StateError `not_routed` when no record has that id, or it has no address. */
async function nodeAddress(read: NodeReader, nodesKey: string, id: string): Promise<string> {
  const entry = (await read(nodesKey)).find((node) => indexOfKey(node.key) === id)
  const address = entry === undefined ? undefined : addressOf(entry.data)
  if (address === undefined) throw new StateError('not_routed', `proxy: node not found: ${id}`)
  return address
}

function addressOf(data: string): string | undefined {
  const record: unknown = JSON.parse(data)
  if (typeof record !== 'object' || record === null) return undefined
  const { ip, IP, port, Port } = record as Record<string, unknown>
  const host = ip ?? IP
  const number = Number(port ?? Port)
  if (typeof host !== 'string' || host === '' || !Number.isInteger(number) || number <= 0) {
    return undefined
  }
  return `${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${number}`
}
