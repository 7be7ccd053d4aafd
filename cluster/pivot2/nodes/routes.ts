/**
 * The routes of wire protocol 2.0 below `/_pivot`, on every node for every synced key. What comes in
 * is merged by last-write-wins like any change: a push that is older than what is held changes
 * nothing, and its sender is made to pull instead.
 */
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { HybridClock } from '../../../src/core/data/clock.ts'
import { type Entry, metaJson, versionOf } from '../../../src/core/data/entry.ts'
import { errorText, isStateError, StateError } from '../../../src/core/errors.ts'
import { assertKey, hasGlob } from '../../../src/core/keys/key.ts'
import type { Logger } from '../../../src/core/ports/logger.ts'
import type { PluginHost, PluginRoute } from '../../../src/server/contract/plugin.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import { planNodeDelete } from '../peer/plans.ts'
import {
  decodeMeta,
  decodePathOf,
  ORIGINATOR_HEADER,
  type PivotScope,
  parseStamp,
  VERSION_BODY,
} from '../peer/wire.ts'
import { makeTakeable } from './compare.ts'

/** What the routes stand on. */
export interface PivotRoutesOptions {
  readonly store: ReplicationStore
  readonly clock: HybridClock
  readonly logger: Logger
  readonly scopes: readonly PivotScope[]
  /** Largest body accepted, bytes. */
  readonly maxBodyBytes: number
  /** Stamp of the latest change of a scope. */
  readonly activity: (scope: PivotScope) => Promise<bigint>
  /** Whether a listed node at this address takes part in the scope, and may write to it where it wants to. */
  readonly admits: (scope: PivotScope, remote: string, writes: boolean) => Promise<boolean>
  /** Whether that may be told to this address now; see `pivot2/nodes/hold.ts`. */
  readonly mayTell: (scope: PivotScope, remote: string) => Promise<boolean>
  /** Hears that a list was given to this address, as of a seq at least. */
  readonly served: (scope: PivotScope, remote: string, seq: number) => void
  /** Makes 2.0 nodes pull the scope; the sender of what was not taken too. */
  readonly spread: (scope: PivotScope) => void
  /** Looks at the sender, whether it has deleted what it wants deleted; false when it is no known node. */
  readonly suspect: (scope: PivotScope, originator: string) => Promise<boolean>
  /** Pulls now, one path or all; false when this node follows nobody. */
  readonly pull: (path: string | undefined) => Promise<boolean>
  /** JSON text of the known nodes; undefined on a node that does not lead. */
  readonly nodes: () => Promise<string | undefined>
}

/** Marks commits that came from a 2.0 node, so that it is not notified of them. */
export const sourceOf = (originator: string): string => `pivot2:${originator}`
/** The sender of a commit; undefined when it came another way. */
export function originatorOf(source: string | undefined): string | undefined {
  return source?.startsWith('pivot2:') === true ? source.slice('pivot2:'.length) : undefined
}

type Exchange = { readonly request: IncomingMessage; readonly response: ServerResponse }

/**
 * Registers the routes. `authorize` runs before each and throws to refuse; `options` gives undefined
 * while the node is starting or stopping.
 */
export function routePivot(
  host: PluginHost,
  authorize: (request: IncomingMessage) => void,
  options: () => PivotRoutesOptions | undefined,
): void {
  for (const route of ROUTES) {
    host.route({
      ...route,
      authorize,
      http: async (request, response, target) => {
        const current = options()
        if (current === undefined)
          throw new StateError('not_open', 'pivot: the node is not running')
        await answer(current, { request, response }, target.path, rawKeyOf(target.query))
      },
    })
  }
}

const ROUTES: readonly PluginRoute[] = [
  {
    ...{ path: '/_pivot/version', methods: ['GET'], who: 'peer' },
    description: 'the protocol of 2.0 nodes that this node speaks',
  },
  {
    ...{ path: '/_pivot/health/nodes', methods: ['GET'], who: 'peer' },
    description: '2.0 nodes, at their leader',
  },
  {
    ...{ path: '/_pivot/synchronize/{side:pivot|node}', methods: ['GET'], who: 'peer' },
    description: 'pulls from the leader now',
  },
  {
    ...{ path: '/_pivot/activity/{path:.*}', methods: ['GET'], who: 'listed' },
    description: 'the latest change of a path, for 2.0 nodes',
  },
  {
    ...{ path: '/_pivot/pivot/{path:.*}', methods: ['GET', 'POST', 'DELETE'], who: 'listed' },
    description: 'records of a path, for 2.0 nodes',
  },
]

async function answer(
  options: PivotRoutesOptions,
  exchange: Exchange,
  path: string,
  key: string | undefined,
): Promise<void> {
  const { response } = exchange
  const rest = path.slice('/_pivot/'.length)
  if (rest.startsWith('pivot/')) return answerRecords(options, exchange, rest.slice(6))
  if (rest === 'version') return json(response, VERSION_BODY)
  if (rest === 'health/nodes') {
    const nodes = await options.nodes()
    return json(response, nodes === undefined ? '[]' : `${nodes}\n`)
  }
  if (rest === 'synchronize/pivot' || rest === 'synchronize/node') {
    const isFollowing = await options.pull(rest === 'synchronize/pivot' ? key : undefined)
    if (!isFollowing) throw new StateError('invalid_option', 'no syncers configured')
    return empty(response, 200)
  }
  const base = rest.startsWith('activity/') ? rest.slice('activity/'.length) : undefined
  const scope = options.scopes.find((candidate) => candidate.base === base)
  if (scope === undefined) throw notHere(path)
  await assertAdmitted(options, exchange, scope)
  // What a 2.0 server answers whose storage is not active: the peer skips the key.
  if (!(await options.mayTell(scope, remoteOf(exchange)))) return empty(response, 400)
  json(response, `{"lastEntry":${await options.activity(scope)}}\n`)
}

/** @param rest the path after `/_pivot/pivot/` */
async function answerRecords(
  options: PivotRoutesOptions,
  exchange: Exchange,
  rest: string,
): Promise<void> {
  const { method } = exchange.request
  const target = findTarget(options.scopes, rest, method === 'DELETE')
  if (target === undefined && method === 'POST' && isNested(options.scopes, rest)) {
    return takeSet(options, exchange, undefined)
  }
  if (target === undefined) throw notHere(`/_pivot/pivot/${rest}`)
  await assertAdmitted(options, exchange, target.scope)
  if (method === 'POST') return takeSet(options, exchange, target.scope)
  if (method === 'DELETE') return takeDelete(options, exchange, target)
  if (target.scope.isList) return sendList(options, exchange, target.scope)
  const entry = await options.store.get(target.scope.base)
  // An absent key is a 500 in 2.0, and its nodes tell absence from failure by nothing else.
  if (entry === undefined) return text(exchange.response, 500, 'storage: not found')
  text(exchange.response, 200, `${metaJson(entry)}\n`)
}

/** @throws StateError `forbidden` for who is not listed. */
async function assertAdmitted(
  { admits }: PivotRoutesOptions,
  exchange: Exchange,
  scope: PivotScope,
): Promise<void> {
  const remote = remoteOf(exchange)
  const writes = exchange.request.method === 'POST' || exchange.request.method === 'DELETE'
  if (await admits(scope, remote, writes)) return
  throw new StateError(
    'forbidden',
    `pivot: ${remote} is no place of a listed node of protocol 2.0 that may ${writes ? 'write' : 'read'} ${scope.path}; list it with --pivot2`,
  )
}

interface Target {
  readonly scope: PivotScope
  /** Last segments after the base: an index, a time. */
  readonly tail: readonly string[]
}

function findTarget(
  scopes: readonly PivotScope[],
  rest: string,
  isDelete: boolean,
): Target | undefined {
  for (const scope of scopes) {
    if (rest !== scope.base && !rest.startsWith(`${scope.base}/`)) continue
    const tail = rest.slice(scope.base.length + 1).split('/')
    const isNone = rest === scope.base
    const expected = (scope.isList ? 1 : 0) + (isDelete ? 1 : 0)
    if ((isNone ? 0 : tail.length) === expected) return { scope, tail: isNone ? [] : tail }
  }
  return undefined
}

/** Whether a nested plain key ends in this: 2.0 nodes push one to its last segment. */
function isNested(scopes: readonly PivotScope[], segment: string): boolean {
  return scopes.some(({ base, isList }) => !isList && base.endsWith(`/${segment}`))
}

/** The whole list, oldest first, written as the reader takes it. */
async function sendList(
  { store, served }: PivotRoutesOptions,
  exchange: Exchange,
  scope: PivotScope,
): Promise<void> {
  const { response } = exchange
  const remote = remoteOf(exchange)
  const seq = store.head
  const entries = await store.list(scope.path, { order: 'oldest' })
  response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' })
  let piece = '['
  for (const [i, entry] of entries.entries()) {
    piece += `${i === 0 ? '' : ','}${metaJson(entry)}`
    if (piece.length < 64 * 1024) continue
    if (!response.write(piece)) await drained(response)
    if (response.destroyed) return
    piece = ''
  }
  response.end(`${piece}]\n`)
  served(scope, remote, seq)
}

/** @param addressed undefined: the plain key that the body names */
async function takeSet(
  options: PivotRoutesOptions,
  { request, response }: Exchange,
  addressed: PivotScope | undefined,
): Promise<void> {
  const { store, clock, logger, spread, scopes } = options
  const originator = originatorIn(request)
  let scope: PivotScope
  let entry: Entry
  try {
    const body = await readBody(request, options.maxBodyBytes)
    scope = addressed ?? plainScopeIn(scopes, body)
    if (addressed === undefined) await assertAdmitted(options, { request, response }, scope)
    entry = decodeMeta(scope, body)
  } catch (error) {
    logger.warn('a push of a 2.0 node was refused', { from: originator, error: errorText(error) })
    if (isStateError(error, 'forbidden')) throw error
    return empty(response, isStateError(error, 'too_large') ? 413 : 500)
  }
  const source = sourceOf(originator)
  const [outcome] = await store.merge([entry], { source, notAfter: clock.latest })
  if (outcome === 'drift' || outcome === 'refused') {
    const late = `stamp ${versionOf(entry)} is too far in the future`
    const reason = outcome === 'drift' ? late : store.refused.reasons.get(entry.key)
    logger.warn('a push of a 2.0 node was refused', { from: originator, key: entry.key, reason })
    return empty(response, 500)
  }
  const current = await store.get(entry.key)
  if (outcome !== 'applied' && current?.data !== entry.data) {
    if (current !== undefined) await makeTakeable(store, current, entry)
    spread(scope)
  }
  empty(response, 200)
}

async function takeDelete(
  options: PivotRoutesOptions,
  { request, response }: Exchange,
  { scope, tail }: Target,
): Promise<void> {
  const { store, clock, logger, spread, suspect } = options
  const stamp = parseStamp(tail.at(-1) ?? '')
  const key = scope.isList ? `${scope.base}/${tail[0]}` : scope.base
  const originator = originatorIn(request)
  if (stamp === undefined || stamp > clock.latest || !isTarget(scope, key)) {
    logger.warn('a delete of a 2.0 node was refused', { from: originator, key, stamp: tail.at(-1) })
    return empty(response, 500)
  }
  const source = sourceOf(originator)
  const wasThere = hasGlob(key) || (await store.get(key)) !== undefined
  const { kept } = await store.run(planNodeDelete(key, stamp, source))
  // A node that syncs deletes at its leader all that it merely lacks, with the entries' own stamps.
  if (kept.length > 0 && !(await suspect(scope, originator))) spread(scope)
  empty(response, wasThere ? 200 : 500)
}

/** @throws StateError `invalid_message` when the body names no plain key that is synced. */
function plainScopeIn(scopes: readonly PivotScope[], body: string): PivotScope {
  const path = decodePathOf(body)
  const scope = scopes.find((candidate) => !candidate.isList && candidate.base === path)
  if (scope !== undefined) return scope
  throw new StateError('invalid_message', `pivot: "${path.slice(0, 100)}" is no synced plain key`)
}

function isTarget(scope: PivotScope, key: string): boolean {
  try {
    assertKey(key)
  } catch {
    return false
  }
  return !hasGlob(key) || key === scope.path
}

function remoteOf({ request }: Exchange): string {
  return request.socket.remoteAddress ?? ''
}

function originatorIn(request: IncomingMessage): string {
  const shown = request.headers[ORIGINATOR_HEADER]
  return typeof shown === 'string' ? shown.slice(0, 300) : ''
}

async function readBody(request: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBytes) {
      throw new StateError('too_large', `pivot: a body of over ${size} bytes, limit ${maxBytes}`)
    }
    chunks.push(chunk)
  }
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
}

function notHere(path: string): StateError {
  return new StateError('not_found', `pivot: no synced key for ${path.slice(0, 200)}`)
}

/** The `key` of the query; a configured path, so `+` stands for nothing else. */
function rawKeyOf(query: string): string | undefined {
  const key = new URLSearchParams(query).get('key')
  return key === null || key === '' ? undefined : key
}

function json(response: ServerResponse, body: string): void {
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(body)
}

function text(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' })
  response.end(body)
}

function empty(response: ServerResponse, status: number): void {
  response.writeHead(status, { 'content-length': '0' })
  response.end()
}

/** Resolves when more may be written, or nobody reads any more. */
async function drained(response: ServerResponse): Promise<void> {
  const stop = new AbortController()
  const { signal } = stop
  try {
    await Promise.race([once(response, 'drain', { signal }), once(response, 'close', { signal })])
  } finally {
    stop.abort()
  }
}
