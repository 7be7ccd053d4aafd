/** Who follows whom, and how that changes when another node is to lead. */

import type { ScopeOptions } from '../../cluster/members/placement.ts'
import { type Placement, planPlacement, scopeOf } from '../../cluster/members/placement.ts'
import type { NodePlan } from './history.ts'

/** Host of the leader of each host; undefined for the node at the top. */
export type Topology = ReadonlyMap<string, string | undefined>

export function topologyOf(plans: readonly NodePlan[]): Topology {
  return new Map(plans.map(({ host, follows }) => [host, follows]))
}

/** The same tree with `top` at the top: only the nodes above it turn around. */
export function leadFrom(topology: Topology, top: string): Topology {
  const turned = new Map(topology)
  let below: string | undefined
  for (let host: string | undefined = top; host !== undefined; ) {
    const above = topology.get(host)
    turned.set(host, below)
    below = host
    host = above
  }
  return turned
}

export function placementOf({ keys, follows }: NodeConfiguration): Placement {
  return planPlacement(keys, follows, 'nodes/*')
}

/** Host of the leader a node follows for a key; undefined when it leads it or does not replicate it. */
export function leaderOfKey(placement: Placement, key: string): string | undefined {
  const leader = scopeOf(placement, key)?.leader
  return leader === undefined ? undefined : hostOf(new URL(leader).host)
}

/** What nodes are configured with: each learns it when it starts next. */
export interface Configuration {
  readonly topology: Topology
  /** Nodes that spell the address of their leader in another way. */
  readonly respelt: ReadonlySet<string>
  /** Every node replicates one scope more. */
  readonly isWide: boolean
}

/** The configuration of one node. */
export interface NodeConfiguration {
  /** Address of its leader; undefined for a node at the top. */
  readonly follows: string | undefined
  readonly keys: readonly ScopeOptions[]
}

/** Another name of every host. */
const ALIAS = 'alias.'
const EXTRA: ScopeOptions = { path: 'notes/*' }

export function configurationOf(
  { topology, respelt, isWide }: Configuration,
  { host, keys }: NodePlan,
): NodeConfiguration {
  const leader = topology.get(host)
  const follows = leader !== undefined && respelt.has(host) ? `${ALIAS}${leader}` : leader
  return { follows, keys: isWide ? [...keys, EXTRA] : keys }
}

/** The host with this name or alias. */
export function hostOf(address: string): string {
  return address.startsWith(ALIAS) ? address.slice(ALIAS.length) : address
}

/** The topology in which `host` follows `leader`; the same where that would be a circle. */
export function moveBelow(topology: Topology, host: string, leader: string): Topology {
  for (let above: string | undefined = leader; above !== undefined; above = topology.get(above)) {
    if (above === host) return topology
  }
  return topology.get(host) === undefined ? topology : new Map(topology).set(host, leader)
}
