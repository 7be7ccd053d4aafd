/**
 * `GET /-/leader`, for load balancers and scripts: 200 at the node that leads what has no leader of its own,
 * 503 at the others; `{"leader":"<url>"}` either way, null while it is not known who leads.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ResolvedClusterOptions } from './options.ts'
import { leaderOfNodes, type Seat } from './seat.ts'

export const LEADER_PATH = '/-/leader'

export function answerLeader(
  seat: Pick<Seat, 'leads' | 'url' | 'placement'>,
  options: Pick<ResolvedClusterOptions, 'nodesKey'>,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { allow: 'GET, HEAD' }).end()
    return
  }
  const leader = seat.leads ? seat.url : leaderOfNodes(seat.placement, options)
  response.writeHead(seat.leads ? 200 : 503, {
    'content-type': 'application/json',
    'cache-control': 'no-store',
  })
  response.end(JSON.stringify({ leader: leader ?? null }))
}
