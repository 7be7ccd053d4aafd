/** REST on keys: GET, HEAD, POST, PATCH, DELETE. Every answer is data; nothing here writes a response. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { metaJson, versionOf } from '../../core/data/entry.ts'
import { StateError } from '../../core/errors.ts'
import { assertKey, hasGlob, isGlob } from '../../core/keys/key.ts'
import type { Filters } from '../../store/filters/filters.ts'
import { resultOf, type Written } from '../../store/types/write.ts'
import { jsonReply, type Reply } from '../exchange/reply.ts'
import { listBody } from '../lists/list-body.ts'
import type { Lists } from '../lists/lists.ts'
import { assertReadCondition, etagOf, isUnchanged, writePrecondition } from './conditional.ts'
import { durabilityOf, listRangeOf } from './query.ts'
import { readEntry, readList } from './read.ts'
import type { RequestedWrite } from './request.ts'
import { validateWrite } from './validate.ts'
import { type AskedWrite, answerWrite, type WriteContext } from './write-answer.ts'

export interface DataContext extends WriteContext {
  /** What is opened in static mode; undefined when everything is. */
  readonly filters: Filters | undefined
  readonly lists: Lists
  /** How many stored records of a key or glob are damaged. */
  readonly damagedCount: (keyOrGlob: string) => number
  /** Whether a write of so many bytes may wait for the storage. @throws StateError `overloaded`. */
  readonly assertRoom: (bytes: number) => void
}

/** Header of a list that lacks damaged records: how many. */
export const DAMAGED_HEADER = 'Ooo-Damaged'

/** Answers GET and HEAD. @throws StateError with the status and text of the refusal, as the others do. */
export function readKey(
  context: DataContext,
  request: IncomingMessage,
  response: ServerResponse,
  key: string,
): Promise<Reply> {
  return hasGlob(key) ? getList(context, request, response, key) : get(context, request, key)
}

/** Answers POST of a value: to a plain key, or to a glob that makes one. */
export function postKey(
  context: DataContext,
  request: IncomingMessage,
  key: string,
): Promise<Reply> {
  return writeValue(context, request, isGlob(key) ? 'push' : 'set', key)
}

/** Answers PATCH. */
export function patchKey(
  context: DataContext,
  request: IncomingMessage,
  key: string,
): Promise<Reply> {
  return writeValue(context, request, 'patch', key)
}

/** Answers DELETE of a key, or of all that match a glob. */
export function deleteKey(
  context: DataContext,
  request: IncomingMessage,
  key: string,
): Promise<Reply> {
  return answerWrite(context, request, () => askedDelete(request, key), deletedReply)
}

async function get(context: DataContext, request: IncomingMessage, key: string): Promise<Reply> {
  const { shown, stored } = await readEntry(context.data, { key, caller: 'client' })
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
  { data, lists, damagedCount }: DataContext,
  request: IncomingMessage,
  response: ServerResponse,
  glob: string,
): Promise<Reply> {
  assertKey(glob)
  const range = listRangeOf(request.url)
  const pace = lists.paceOf(response)
  const body = listBody(await readList(data, { ...range, key: glob, caller: 'client', pace }))
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

function writeValue(
  context: DataContext,
  request: IncomingMessage,
  op: 'set' | 'push' | 'patch',
  key: string,
): Promise<Reply> {
  const ask = (): Promise<AskedWrite> => askedWrite(context, request, op, key)
  return answerWrite(context, request, ask, writtenReply)
}

/** A write of one value: its key and condition are judged before its body is read. */
async function askedWrite(
  { bodies, assertRoom }: DataContext,
  request: IncomingMessage,
  op: 'set' | 'push' | 'patch',
  key: string,
): Promise<AskedWrite> {
  const durability = durabilityOf(request)
  const precondition = writePrecondition(request)
  validateWrite({ op, key, precondition })
  const body = await bodies.readJson(request, assertRoom)
  const write: RequestedWrite = { op, key, json: body, precondition }
  return { request: { writes: [write], caller: 'client', durability }, body }
}

async function askedDelete(request: IncomingMessage, key: string): Promise<AskedWrite> {
  const write: RequestedWrite = { op: 'delete', key, precondition: writePrecondition(request) }
  return { request: { writes: [write], caller: 'client', durability: durabilityOf(request) } }
}

const deletedReply = (): Reply => ({ status: 204 })

/** An index has only characters that JSON takes as they are. */
function writtenReply(written: readonly Written[]): Reply {
  const { index, version } = resultOf(written)
  const reply = jsonReply(`{"index":"${index}"}`)
  return { ...reply, headers: { ...reply.headers, ETag: etagOf(version) } }
}
