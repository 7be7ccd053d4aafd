/** REST on keys: GET, HEAD, POST, PATCH, DELETE. Every answer is data; nothing here writes a response. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { metaJson, versionOf } from '../../core/data/entry.ts'
import { StateError } from '../../core/errors.ts'
import { assertKey, hasGlob, isGlob } from '../../core/keys/key.ts'
import type { Filters } from '../../store/filters/filters.ts'
import type { WriteResult } from '../../store/planning/operations.ts'
import type { DataAccess } from './access.ts'
import { assertMergePath, assertUnconditional, assertWritePath } from './access-checks.ts'
import { assertReadCondition, etagOf, isUnchanged, writePrecondition } from './conditional.ts'
import { durabilityOf } from './durability-query.ts'
import { listBody } from '../lists/list-body.ts'
import { listRangeOf } from './list-query.ts'
import type { Lists } from '../lists/lists.ts'
import { jsonReply, methodNotAllowedReply, type Reply } from '../exchange/reply.ts'
import { answerWrite, type KeepWrite, type WriteContext, type Written } from './write-answer.ts'

export { assertReadable } from './access-checks.ts'

export interface DataContext extends WriteContext {
  /** What is opened in static mode; undefined when everything is. */
  readonly filters: Filters | undefined
  readonly access: DataAccess
  readonly lists: Lists
  /** How many stored records of a key or glob are damaged. */
  readonly damagedCount: (keyOrGlob: string) => number
  /** Whether a write of so many bytes may wait for the storage. @throws StateError `overloaded`. */
  readonly assertRoom: (bytes: number) => void
}

/** Header of a list that lacks damaged records: how many. */
export const DAMAGED_HEADER = 'Ooo-Damaged'

/** Methods of every key, as an `Allow` header has them. */
export const ALLOWED_METHODS = 'GET, HEAD, POST, PATCH, DELETE, OPTIONS'

/**
 * Answers a request for `key`, the decoded path without its leading `/`.
 * @throws StateError with the status and text of the refusal.
 */
export function answerData(
  context: DataContext,
  request: IncomingMessage,
  response: ServerResponse,
  key: string,
): Promise<Reply> {
  switch (request.method) {
    case 'GET':
    case 'HEAD':
      return hasGlob(key) ? getList(context, request, response, key) : get(context, request, key)
    case 'POST':
      return answerWrite(context, request, (keep) => post(context, request, key, keep))
    case 'PATCH':
      return answerWrite(context, request, (keep) => patch(context, request, key, keep))
    case 'DELETE':
      return answerWrite(context, request, (keep) => remove(context, request, key, keep))
    case 'OPTIONS':
      return Promise.resolve({ status: 204, headers: { Allow: ALLOWED_METHODS } })
    default:
      return Promise.resolve(methodNotAllowedReply(ALLOWED_METHODS))
  }
}

async function get(context: DataContext, request: IncomingMessage, key: string): Promise<Reply> {
  const { access } = context
  assertKey(key)
  const { shown, stored } = await access.view(key, { enforceStatic: true })
  if (shown === undefined) throw new StateError('not_found', 'ooo: empty key')
  // What a read filter invented has no version that a write could name.
  if (stored === undefined) return jsonReply(metaJson(shown))
  assertReadCondition(request, stored)
  const headers = { ETag: etagOf(versionOf(stored)) }
  // What a read filter changed may change again while the version stays, so it is always sent.
  if (shown === stored && isUnchanged(request, stored)) return { status: 304, headers }
  const reply = jsonReply(metaJson(shown))
  return { ...reply, headers: { ...reply.headers, ...headers } }
}

async function getList(
  { access, lists, damagedCount }: DataContext,
  request: IncomingMessage,
  response: ServerResponse,
  glob: string,
): Promise<Reply> {
  assertKey(glob)
  const range = listRangeOf(request.url)
  const pace = lists.paceOf(response)
  const body = listBody(await access.list(glob, { enforceStatic: true, ...range, pace }))
  if (typeof body === 'string') return withDamage(jsonReply(body), damagedCount(glob))
  await lists.begin(response, glob, body, range.order === 'oldest')
  const { status, headers = {} } = jsonReply('')
  const reply = { status, headers, list: { list: body, turns: lists.turns } }
  return withDamage(reply, damagedCount(glob))
}

/** A list without its damaged records says so. */
function withDamage(reply: Reply, damaged: number): Reply {
  if (damaged === 0) return reply
  return { ...reply, headers: { ...reply.headers, [DAMAGED_HEADER]: String(damaged) } }
}

async function post(
  { access, bodies, assertRoom }: DataContext,
  request: IncomingMessage,
  key: string,
  keep: KeepWrite,
): Promise<Written> {
  assertWritePath(key)
  const durability = durabilityOf(request)
  const precondition = writePrecondition(request)
  if (isGlob(key)) assertUnconditional(key, precondition)
  const json = await bodies.readJson(request, assertRoom)
  keep({ keys: [key], body: json })
  const options = { enforceStatic: true, precondition, durability }
  const written = isGlob(key)
    ? await access.push(key, json, options)
    : await access.set(key, json, options)
  return writtenReply(written)
}

async function patch(
  { access, bodies, assertRoom }: DataContext,
  request: IncomingMessage,
  key: string,
  keep: KeepWrite,
): Promise<Written> {
  assertMergePath(key)
  const durability = durabilityOf(request)
  const precondition = writePrecondition(request)
  const json = await bodies.readJson(request, assertRoom)
  keep({ keys: [key], body: json })
  const options = { enforceStatic: true, precondition, durability }
  return writtenReply(await access.patch(key, json, options))
}

async function remove(
  { access }: DataContext,
  request: IncomingMessage,
  key: string,
  keep: KeepWrite,
): Promise<Written> {
  assertKey(key)
  const durability = durabilityOf(request)
  const precondition = writePrecondition(request)
  keep({ keys: [key] })
  const { ends = [] } = await access.delete(key, { enforceStatic: true, precondition, durability })
  return { reply: { status: 204 }, ends }
}

/** An index has only characters that JSON takes as they are. */
function writtenReply({ key, index, version, origin }: WriteResult): Written {
  const reply = jsonReply(`{"index":"${index}"}`)
  const headers = { ...reply.headers, ETag: etagOf(version) }
  return { reply: { ...reply, headers }, ends: [{ key, version, origin }] }
}
