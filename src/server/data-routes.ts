/** REST on keys: GET, HEAD, POST, PATCH, DELETE. Every answer is data; nothing here writes a response. */
import type { IncomingMessage } from 'node:http'
import { metaJson, metaListJson, versionOf } from '../core/entry.ts'
import { StateError } from '../core/errors.ts'
import { assertKey, hasGlob, isGlob } from '../core/key.ts'
import type { TimeSource } from '../core/time.ts'
import type { Filters } from '../store/filters.ts'
import type { WriteResult } from '../store/operations.ts'
import type { DataAccess } from './access.ts'
import { assertMergePath, assertUnconditional, assertWritePath } from './access-checks.ts'
import { assertReadCondition, etagOf, isUnchanged, writePrecondition } from './conditional.ts'
import { jsonReply, methodNotAllowedReply, type Reply, textReply } from './reply.ts'
import { readJsonBody } from './request-body.ts'

export { assertReadable } from './access-checks.ts'

export interface DataContext {
  /** What is opened in static mode; undefined when everything is. */
  readonly filters: Filters | undefined
  readonly access: DataAccess
  readonly maxBodyBytes: number
  readonly deadlineMs: number
  readonly time: TimeSource
}

/** Methods of every key, as an `Allow` header has them. */
export const ALLOWED_METHODS = 'GET, HEAD, POST, PATCH, DELETE, OPTIONS'

/**
 * Answers a request for `key`, the decoded path without its leading `/`.
 * @throws StateError with the status and text of the refusal.
 */
export function answerData(
  context: DataContext,
  request: IncomingMessage,
  key: string,
): Promise<Reply> {
  switch (request.method) {
    case 'GET':
    case 'HEAD':
      return get(context, request, key)
    case 'POST':
      return underDeadline(context, post(context, request, key))
    case 'PATCH':
      return underDeadline(context, patch(context, request, key))
    case 'DELETE':
      return underDeadline(context, remove(context, request, key))
    case 'OPTIONS':
      return Promise.resolve({ status: 204, headers: { Allow: ALLOWED_METHODS } })
    default:
      return Promise.resolve(methodNotAllowedReply(ALLOWED_METHODS))
  }
}

/** The reply, or 503 when it takes too long; the change itself may still happen. */
export async function underDeadline(
  { time, deadlineMs }: Pick<DataContext, 'time' | 'deadlineMs'>,
  answer: Promise<Reply>,
): Promise<Reply> {
  let cancel = (): void => undefined
  const late = new Promise<Reply>((resolve) => {
    cancel = time.after(deadlineMs, () => resolve(textReply(503, 'ooo: server deadline reached')))
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    cancel()
  }
}

async function get(context: DataContext, request: IncomingMessage, key: string): Promise<Reply> {
  const { access } = context
  assertKey(key)
  const options = { enforceStatic: true }
  if (hasGlob(key)) return jsonReply(metaListJson(await access.list(key, options)))
  const { shown, stored } = await access.view(key, options)
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

async function post(context: DataContext, request: IncomingMessage, key: string): Promise<Reply> {
  const { access, maxBodyBytes } = context
  assertWritePath(key)
  const precondition = writePrecondition(request)
  if (isGlob(key)) assertUnconditional(key, precondition)
  const json = await readJsonBody(request, maxBodyBytes)
  const options = { enforceStatic: true, precondition }
  const written = isGlob(key)
    ? await access.push(key, json, options)
    : await access.set(key, json, options)
  return writtenReply(written)
}

async function patch(context: DataContext, request: IncomingMessage, key: string): Promise<Reply> {
  const { access, maxBodyBytes } = context
  assertMergePath(key)
  const precondition = writePrecondition(request)
  const json = await readJsonBody(request, maxBodyBytes)
  return writtenReply(await access.patch(key, json, { enforceStatic: true, precondition }))
}

async function remove(
  { access }: DataContext,
  request: IncomingMessage,
  key: string,
): Promise<Reply> {
  assertKey(key)
  await access.delete(key, { enforceStatic: true, precondition: writePrecondition(request) })
  return { status: 204 }
}

/** An index has only characters that JSON takes as they are. */
function writtenReply({ index, version }: WriteResult): Reply {
  const reply = jsonReply(`{"index":"${index}"}`)
  return { ...reply, headers: { ...reply.headers, ETag: etagOf(version) } }
}
