/**
 * The conflict log over HTTP, for who has the cluster's credential where there is one:
 *
 * - `GET /-/conflicts?key=<key or glob>&limit=<n>`: `{"conflicts":[…],"leaders":[…]}`, newest first. Each has
 *   `id`, `key`, `data` (null for a delete that lost), `version`, `origin`, `winner` (`version`, `origin`,
 *   `deleted`) and `at`, versions and times as text of nanoseconds. What the leader refused for good has
 *   `refused`, an error code, in place of `winner`. A node tells what it decided itself;
 *   `leaders` are the nodes to ask for the rest.
 * - `POST /-/conflicts/<id>/restore`: writes what lost again, as a write of this node, and takes it out.
 * - `DELETE /-/conflicts/<id>`: takes it out.
 */
import type { IncomingMessage } from 'node:http'
import { versionOf } from '../../src/core/data/entry.ts'
import { isStateError, StateError } from '../../src/core/errors.ts'
import { assertKey } from '../../src/core/keys/key.ts'
import type { PluginHost, PluginRoute, Reply } from '../../src/server/contract/plugin.ts'
import type { Conflict, ConflictLog } from '../../src/store/conflicts/conflict-log.ts'
import { inScopes, type Placement } from '../members/placement.ts'

/** Where the log is. */
export const CONFLICTS_PATH = '/-/conflicts'

const DEFAULT_LIMIT = 100
const MAX_LIMIT = 1000

export interface ConflictRoutes {
  readonly host: Pick<PluginHost, 'database'>
  readonly placement: Placement
  /** @throws StateError `not_open` before the node has started. */
  readonly log: () => ConflictLog
}

/** The routes. @throws StateError `not_found`, `invalid_option`, … as they answer */
export function conflictRoutes(
  routes: ConflictRoutes,
  authorize: (request: IncomingMessage) => void,
): PluginRoute[] {
  const behind = { who: 'token', authorize } as const
  return [
    {
      ...{ ...behind, path: CONFLICTS_PATH, methods: ['GET', 'HEAD'] },
      description: 'values lost in concurrent writes, past filters',
      http: async (_request, _response, { query }) =>
        jsonReply(await listJson(routes, new URLSearchParams(query))),
    },
    {
      ...{ ...behind, path: `${CONFLICTS_PATH}/{id}`, methods: ['DELETE'] },
      description: 'takes one out',
      http: async (_request, _response, { variables: { id = '' } }) => {
        await discard(routes.log(), id)
        return { status: 204 }
      },
    },
    {
      ...{ ...behind, path: `${CONFLICTS_PATH}/{id}/restore`, methods: ['POST'] },
      description: 'writes what lost again',
      http: async (_request, _response, { variables: { id = '' } }) =>
        jsonReply(await restore(routes, id)),
    },
  ]
}

async function listJson(
  { log, placement }: ConflictRoutes,
  query: URLSearchParams,
): Promise<string> {
  const pattern = query.get('key') ?? undefined
  if (pattern !== undefined) assertKey(pattern)
  const limit = limitOf(query.get('limit'))
  const conflicts = await log().list({ pattern, limit })
  const leaders = new Set<string>()
  for (const [leader, scopes] of placement.upstreams) {
    // Of a glob it is not known which scopes it meets, so every leader is named.
    if (pattern === undefined || pattern.includes('*') || inScopes(scopes, pattern)) {
      leaders.add(leader)
    }
  }
  return `{"conflicts":[${conflicts.map(conflictJson).join(',')}],"leaders":${JSON.stringify([...leaders])}}`
}

/** The data is the user's own text, digit for digit. */
function conflictJson({ id, key, loser, winner, refusedFor, decidedNs }: Conflict): string {
  const fields = JSON.stringify({
    id,
    key,
    version: String(versionOf(loser)),
    origin: loser.origin,
    ...(refusedFor === undefined
      ? {
          winner: {
            version: String(winner.version),
            origin: winner.origin,
            deleted: winner.isDelete,
          },
        }
      : { refused: refusedFor }),
    at: String(decidedNs),
  })
  return `${fields.slice(0, -1)},"data":${loser.kind === 'entry' ? loser.data : 'null'}}`
}

/** Written first and taken out then: what fails in between can be done again. */
async function restore({ host, log }: ConflictRoutes, id: string): Promise<string> {
  const { key, loser } = await log().get(id)
  if (loser.kind === 'entry') {
    const { version } = await host.database.set(key, loser.data)
    await log().remove(id)
    return JSON.stringify({ key, version: String(version) })
  }
  const version = await deleteAgain(host, key)
  await log().remove(id)
  return JSON.stringify({ key, ...(version === undefined ? {} : { version: String(version) }) })
}

async function deleteAgain(
  { database }: ConflictRoutes['host'],
  key: string,
): Promise<bigint | undefined> {
  try {
    return (await database.delete(key)).version
  } catch (error) {
    // Nothing is there: the delete that lost is what holds.
    if (isStateError(error, 'not_found')) return undefined
    throw error
  }
}

async function discard(log: ConflictLog, id: string): Promise<void> {
  await log.get(id)
  await log.remove(id)
}

function limitOf(text: string | null): number {
  if (text === null) return DEFAULT_LIMIT
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0
  if (limit >= 1 && limit <= MAX_LIMIT) return limit
  throw new StateError(
    'invalid_option',
    `conflicts: limit ${JSON.stringify(text)} is not an integer from 1 to ${MAX_LIMIT}`,
  )
}

function jsonReply(body: string): Reply {
  const headers = { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' }
  return { status: 200, headers, body }
}
