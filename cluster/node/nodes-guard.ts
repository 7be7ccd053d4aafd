/**
 * `nodes/*` shows the members of a cluster to clients, which do not write there: what stands there looks
 * like an address to whoever reads it. Nodes of protocol 2.0 register by writing, so the record of one that is
 * listed is taken; listed it is called anyway.
 */
import { StateError } from '../../src/core/errors.ts'
import { parseExact } from '../../src/core/json/json.ts'
import { mayOverlap } from '../../src/core/keys/pattern-overlap.ts'
import type { WriteGuard } from '../../src/server/contract/plugin.ts'
import type { ResolvedClusterOptions } from '../config/options.ts'
import { hostAndPort, recordAddress } from '../members/membership.ts'

export interface NodesGuardOptions
  extends Pick<ResolvedClusterOptions, 'nodesKey' | 'nodesWritable'> {
  /** Whether a node of protocol 2.0 is listed under this `host:port`. */
  readonly isListed: (address: string) => boolean
}

/** @throws StateError `forbidden`, as the guard that is returned does. */
export function guardNodes({ nodesKey, nodesWritable, isListed }: NodesGuardOptions): WriteGuard {
  return (keyOrGlob, json) => {
    if (nodesWritable || !mayOverlap(nodesKey, keyOrGlob)) return
    if (json !== undefined && namesListed(json, isListed)) return
    throw new StateError(
      'forbidden',
      `cluster: ${nodesKey} is written by the nodes themselves, and ${keyOrGlob} is or may be of it; --nodes-writable gives it to clients, --pivot2 lists nodes of protocol 2.0`,
    )
  }
}

/** Whether a record says that a listed 2.0 node is where it is. */
export function namesListed(json: string, isListed: (address: string) => boolean): boolean {
  const found = recordAddress(parseExact(json))
  return found !== undefined && isListed(hostAndPort(found.host, found.port))
}
