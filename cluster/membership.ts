/** Registration of a follower under the nodes scope, where leaders and tools look for nodes. */
import { networkInterfaces } from 'node:os'
import { VERSION } from '../src/core/version.ts'
import type { ServerAddress } from '../src/server/plugin.ts'
import type { Store } from '../src/store/store.ts'

/** The record of a node, as stored under `nodes/<id>`. */
export interface NodeRecord {
  readonly id: string
  readonly name: string
  readonly ip: string
  readonly port: number
  readonly url: string
  readonly role: string
  readonly version: string
  /** RFC 3339. */
  readonly startedAt: string
}

export interface Registration {
  readonly name: string
  readonly role: string
  readonly advertise: { readonly host: string; readonly port: number } | undefined
  readonly address: ServerAddress
  readonly startedAt: Date
}

/** Writes this node's record; it replicates like any other change. */
export async function registerNode(
  store: Store,
  nodesKey: string,
  registration: Registration,
): Promise<void> {
  const { name, role, advertise, address, startedAt } = registration
  const ip = advertise?.host ?? reachableHost(address.host)
  const port = advertise?.port ?? address.port
  const scheme = new URL(address.url).protocol
  const record: NodeRecord = {
    id: store.id,
    name,
    ip,
    port,
    url: `${scheme}//${ip.includes(':') ? `[${ip}]` : ip}:${port}`,
    role,
    version: VERSION,
    startedAt: startedAt.toISOString(),
  }
  await store.set(nodesKey.replace('*', store.id), JSON.stringify(record))
}

/** A host others can dial: of the wildcard addresses, the first public interface of the machine. */
function reachableHost(host: string): string {
  if (host !== '0.0.0.0' && host !== '::') return host
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  const outward = addresses.find((address) => !address.internal && address.family === 'IPv4')
  return outward?.address ?? '127.0.0.1'
}
