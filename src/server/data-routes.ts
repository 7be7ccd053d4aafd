/** REST on keys: GET, HEAD, POST, PATCH, DELETE. Every answer is data; nothing here writes a response. */
import type { IncomingMessage } from 'node:http'
import { deepMerge } from '../core/deep-merge.ts'
import { indexOfKey, metaJson, metaListJson } from '../core/entry.ts'
import { isStateError, StateError } from '../core/errors.ts'
import { assertKey, assertWritableGlob, hasGlob, isGlob } from '../core/key.ts'
import type { TimeSource } from '../core/time.ts'
import type { FilterOperation, Filters } from '../store/filters.ts'
import type { Store } from '../store/store.ts'
import { jsonReply, methodNotAllowedReply, type Reply, textReply } from './reply.ts'
import { readJsonBody } from './request-body.ts'

export interface DataContext {
  readonly store: Store
  /** What is opened in static mode; undefined when everything is. */
  readonly filters: Filters | undefined
  readonly maxBodyBytes: number
  readonly deadlineMs: number
  readonly time: TimeSource
}

const ALLOWED_METHODS = 'GET, HEAD, POST, PATCH, DELETE, OPTIONS'

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
      return get(context, key)
    case 'POST':
      return underDeadline(context, post(context, request, key))
    case 'PATCH':
      return underDeadline(context, patch(context, request, key))
    case 'DELETE':
      return underDeadline(context, remove(context, key))
    case 'OPTIONS':
      return Promise.resolve({ status: 204, headers: { Allow: ALLOWED_METHODS } })
    default:
      return Promise.resolve(methodNotAllowedReply(ALLOWED_METHODS))
  }
}

/**
 * Throws the refusal of static mode when neither a list nor an object at `key` may be read.
 * Single keys may be read when either is opened, lists only when lists are.
 */
export function assertReadable(filters: Filters | undefined, key: string): void {
  if (filters === undefined || filters.permits('read-list', key)) return
  if (!filters.permits('read-object', key)) {
    throw new StateError('not_routed', 'filters: route not defined')
  }
  if (hasGlob(key)) throw notRouted(key)
}

async function get({ store, filters }: DataContext, key: string): Promise<Reply> {
  assertKey(key)
  assertReadable(filters, key)
  if (hasGlob(key)) return jsonReply(metaListJson(await store.list(key)))
  const entry = await store.get(key)
  if (entry === undefined) throw new StateError('not_found', 'ooo: empty key')
  return jsonReply(metaJson(entry))
}

async function post(context: DataContext, request: IncomingMessage, key: string): Promise<Reply> {
  const { store, filters, maxBodyBytes } = context
  assertKey(key)
  assertWritableGlob(key)
  if (hasGlob(key) && !isGlob(key)) {
    throw new StateError('invalid_glob', 'key: glob pattern must be a whole path segment')
  }
  const json = await readJsonBody(request, maxBodyBytes)
  assertPermitted(filters, 'write', key)
  const written = isGlob(key) ? await store.push(key, json) : await store.set(key, json)
  return indexReply(written.index)
}

async function patch(context: DataContext, request: IncomingMessage, key: string): Promise<Reply> {
  const { store, filters, maxBodyBytes } = context
  assertKey(key)
  if (isGlob(key)) {
    throw new StateError('invalid_glob', 'ooo: glob pattern not allowed for this operation')
  }
  const json = await readJsonBody(request, maxBodyBytes)
  if (hasGlob(key)) throw new StateError('not_found', 'ooo: not found')
  try {
    await store.update(key, (current) => {
      const merged = deepMerge(current.data, json)
      assertPermitted(filters, 'write', key)
      return merged
    })
  } catch (error) {
    if (!isStateError(error, 'not_found')) throw error
    throw new StateError('not_found', 'ooo: not found', { cause: error })
  }
  return indexReply(indexOfKey(key))
}

async function remove({ store, filters }: DataContext, key: string): Promise<Reply> {
  assertKey(key)
  assertPermitted(filters, 'delete', key)
  await store.delete(key)
  return { status: 204 }
}

function assertPermitted(
  filters: Filters | undefined,
  operation: FilterOperation,
  key: string,
): void {
  if (filters !== undefined && !filters.permits(operation, key)) throw notRouted(key)
}

function notRouted(key: string): StateError {
  return new StateError('not_routed', `filters: route not defined, key:${key}`)
}

/** An index has only characters that JSON takes as they are. */
function indexReply(index: string): Reply {
  return jsonReply(`{"index":"${index}"}`)
}

/** The reply, or 503 when it takes too long; the change itself may still happen. */
async function underDeadline(context: DataContext, answer: Promise<Reply>): Promise<Reply> {
  let cancel = (): void => undefined
  const late = new Promise<Reply>((resolve) => {
    cancel = context.time.after(context.deadlineMs, () =>
      resolve(textReply(503, 'ooo: server deadline reached')),
    )
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    cancel()
  }
}
