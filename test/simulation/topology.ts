/** Who follows whom, and how that changes when another node is to lead. */
import { type Placement, planPlacement, scopeOf } from '../../cluster/placement.ts'
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

export function placementOf(plan: NodePlan, follows: string | undefined): Placement {
  return planPlacement(plan.keys, follows, 'nodes/*')
}

/** Host of the leader a node follows for a key; undefined when it leads it or does not replicate it. */
export function leaderOfKey(placement: Placement, key: string): string | undefined {
  const leader = scopeOf(placement, key)?.leader
  return leader === undefined ? undefined : new URL(leader).host
}
