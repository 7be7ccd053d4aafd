/**
 * `GET /-/leader`, for load balancers and scripts: 200 at the node that leads what has no leader of its own,
 * 503 at the others; `{"leader":"<url>"}` either way, null while it is not known who leads. Where the leader
 * is elected also its `id`, the `token` of its grant, and for how long it is known to lead (`validForMs`).
 * When nothing tells who leads any more: `{"leader":null,"last":{"url","id","token","unconfirmedSince"}}`, the last
 * one heard of.
 */
import type { IncomingMessage } from 'node:http'
import type { Reply } from '../../src/server/contract/plugin.ts'
import type { ResolvedClusterOptions } from '../config/options.ts'
import type { LeaseReport } from '../election/election.ts'
import { proveAnswer } from '../members/proof.ts'
import { leaderOfNodes, type NodeRole } from '../node/role.ts'

export function answerLeader(
  nodeRole: Pick<NodeRole, 'leads' | 'url' | 'placement' | 'lease'>,
  options: Pick<ResolvedClusterOptions, 'nodesKey' | 'token'>,
  request: IncomingMessage,
): Reply {
  const lease = nodeRole.lease()
  const followed = leaderOfNodes(nodeRole.placement, options)
  const leader = nodeRole.leads ? nodeRole.url : followed
  const report =
    lease === undefined ? { leader: leader ?? null } : reportOf(nodeRole, lease, followed)
  const body = JSON.stringify(report)
  const headers = {
    'Content-Type': 'application/json',
    'Cache-Control': 'no-store',
    ...proveAnswer(options.token, request.headers, body),
  }
  return { status: nodeRole.leads ? 200 : 503, headers, body }
}

/** What is told on is what the lease said, not what this node follows for want of knowledge. */
function reportOf(
  { leads }: Pick<NodeRole, 'leads'>,
  { state, holder, token, validForMs, unconfirmedSinceMs }: LeaseReport,
  followed: string | undefined,
): object {
  const isConfirmed = leads || (state === 'follower' && unconfirmedSinceMs === undefined)
  if (isConfirmed && holder !== undefined) {
    return { leader: holder.url, id: holder.id, token, validForMs }
  }
  const url = holder?.url ?? followed
  if (unconfirmedSinceMs === undefined || url === undefined) return { leader: null }
  const grant = holder === undefined ? {} : { id: holder.id, token }
  const unconfirmedSince = new Date(unconfirmedSinceMs).toISOString()
  return { leader: null, last: { url, ...grant, unconfirmedSince } }
}
