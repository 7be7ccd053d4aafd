/**
 * `GET /-/leader`, for load balancers and scripts: 200 at the node that leads what has no leader of its own,
 * 503 at the others; `{"leader":"<url>"}` either way, null while it is not known who leads. Where the leader
 * is elected also its `id`, and the `token` of its grant.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ResolvedClusterOptions } from './options.ts'
import { proveAnswer } from './proof.ts'
import { leaderOfNodes, type Seat } from './seat.ts'

export function answerLeader(
  seat: Pick<Seat, 'leads' | 'url' | 'placement' | 'lease'>,
  options: Pick<ResolvedClusterOptions, 'nodesKey' | 'token'>,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { allow: 'GET, HEAD' }).end()
    return
  }
  const leader = seat.leads ? seat.url : leaderOfNodes(seat.placement, options)
  const lease = seat.lease()
  // What is told on is what the lease said, not what this node follows for want of knowledge.
  const isCurrent = lease?.state === 'leader' || lease?.state === 'follower'
  const holder = isCurrent && lease.holder?.url === leader ? lease.holder : undefined
  const grant = holder === undefined ? {} : { id: holder.id, token: lease?.token }
  const body = JSON.stringify({ leader: leader ?? null, ...grant })
  response.writeHead(seat.leads ? 200 : 503, {
    'content-type': 'application/json',
    'cache-control': 'no-store',
    ...proveAnswer(options.token, request.headers, body),
  })
  response.end(body)
}
