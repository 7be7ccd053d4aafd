/**
 * The members of a cluster over HTTP. Any node can be asked; it passes the question on to its leader, unless it has
 * followers of its own by configuration: those are members there.
 *
 * - `GET /-/nodes`: `{"nodes":[MemberReport,…]}`, who joined first, first.
 * - `POST /-/nodes` with `{"forget":"<id>"}`, with the cluster's credential: answers `{"forgotten":<bool>}`.
 *   What it had not yet acknowledged is not kept for it any more: when it comes back it is compared with. Voters are
 *   not changed by it.
 */
import type { IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { StateError } from '../../src/core/errors.ts'
import { UNKNOWN_LEADER } from '../../src/core/unknown-leader.ts'
import type { LeaderAnswer, Replication, Reply } from '../../src/server/contract/plugin.ts'
import type { ResolvedClusterOptions } from '../config/options.ts'
import { hostAndPort } from '../members/membership.ts'
import { leaderOfNodes, type NodeRole } from '../node/role.ts'

export const NODES_PATH = '/-/nodes'

/** A member as `GET /-/nodes` tells it. */
export interface MemberReport {
  readonly id: string
  readonly name: string
  /** `host:port`; null when it has not told. */
  readonly address: string | null
  readonly version: string | null
  readonly connected: boolean
  /** Since when it is away, milliseconds since the Unix epoch; null while it is connected. */
  readonly awaySinceMs: number | null
}

export interface NodesRoutes {
  readonly nodeRole: Pick<NodeRole, 'member' | 'placement' | 'lease'>
  readonly options: Pick<ResolvedClusterOptions, 'nodesKey' | 'token'>
  readonly calls: Pick<Replication, 'call'>
}

/** Header of a request that was passed on: it is not passed on again. */
const PASSED_HEADER = 'ooo-nodes-passed'
const TIMEOUT_MS = 5_000
const MAX_BODY_BYTES = 1024
const ID = /^[\w.-]{1,200}$/

/** @throws StateError `not_open`, … */
export async function readNodes(routes: NodesRoutes, request: IncomingMessage): Promise<Reply> {
  const member = memberOf(routes)
  const isAsked = routes.nodeRole.lease() === undefined && member.engine.members().length > 0
  const answered = isAsked ? undefined : await passOn(routes, request, 'GET')
  if (answered !== undefined) return reply(answered.status, answered.body)
  return reply(200, JSON.stringify({ nodes: reportMembers(member) }))
}

/** @throws StateError `not_open`, `invalid_message`, `too_large`, … */
export async function forgetNode(routes: NodesRoutes, request: IncomingMessage): Promise<Reply> {
  const member = memberOf(routes)
  const body = await bodyOf(request)
  const id = idIn(body)
  // Here too: what an earlier release copied to this node is of no use any more.
  const here = await member.forget(id)
  const answered = await passOn(routes, request, 'POST', body)
  const isDone = here && answered?.status === 200
  if (answered !== undefined && !isDone) return reply(answered.status, answered.body)
  return reply(200, JSON.stringify({ forgotten: here }))
}

function memberOf({ nodeRole: { member } }: NodesRoutes): NonNullable<NodeRole['member']> {
  if (member === undefined) throw new StateError('not_open', 'nodes: the node is starting')
  return member
}

function reportMembers(member: NonNullable<NodeRole['member']>): MemberReport[] {
  return member.engine
    .members()
    .map(({ id, name, node, connected, awaySinceMs, lastContactMs }) => ({
      ...{ id, name },
      address: node === undefined ? null : hostAndPort(node.host, node.port),
      version: node?.version ?? null,
      connected,
      awaySinceMs: connected ? null : (awaySinceMs ?? lastContactMs),
    }))
}

/** What the leader answers; undefined when this node leads, or the request was passed on to it. */
async function passOn(
  { nodeRole, options, calls }: NodesRoutes,
  request: IncomingMessage,
  method: 'GET' | 'POST',
  body?: string,
): Promise<LeaderAnswer | undefined> {
  const leader = leaderOfNodes(nodeRole.placement, options)
  if (leader === undefined || leader === UNKNOWN_LEADER) return undefined
  if (request.headers[PASSED_HEADER] !== undefined) return undefined
  const headers = { [PASSED_HEADER]: '1', 'content-type': 'application/json' }
  return calls.call(leader, { method, target: NODES_PATH, headers, body, timeoutMs: TIMEOUT_MS })
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const length = Number(request.headers['content-length'] ?? Number.NaN)
  if (length <= MAX_BODY_BYTES) return text(request)
  throw new StateError('too_large', `nodes: give a body of at most ${MAX_BODY_BYTES} bytes`)
}

function idIn(body: string): string {
  let fields: Readonly<Record<string, unknown>>
  try {
    fields = Object(JSON.parse(body)) as Readonly<Record<string, unknown>>
  } catch (cause) {
    throw new StateError('invalid_message', 'nodes: the body is not JSON', { cause })
  }
  const { forget, ...more } = fields
  if (typeof forget === 'string' && ID.test(forget) && Object.keys(more).length === 0) return forget
  throw new StateError('invalid_message', 'nodes: give {"forget":"<id>"}, the id of a node')
}

function reply(status: number, body: string | Uint8Array): Reply {
  const type = status === 200 ? 'application/json' : 'text/plain'
  return { status, headers: { 'Content-Type': type, 'Cache-Control': 'no-store' }, body }
}
