/**
 * Passes writes that do not merge on to the node that may decide them: conditional writes and batches, of
 * keys that another node leads. They pass this node's own checks and filters first, then those of the
 * leader. A request says by which nodes it was passed on, so that it can not go in a circle.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { versionOf } from '../../core/data/entry.ts'
import { isStateError, StateError } from '../../core/errors.ts'
import { NS_PER_MS, type TimeSource } from '../../core/ports/time.ts'
import { RETRY_AFTER_MS_HEADER } from '../../core/retry-hint.ts'
import type { ReplicationStore } from '../../store/replication-store.ts'
import type { LeaderAnswer, Replication } from '../contract/replication.ts'
import { parseWriteId, WRITE_ID_HEADER } from '../contract/write-id.ts'
import type { Reply } from '../exchange/reply.ts'
import { type Ack, MAX_ACK_TIMEOUT_MS } from '../write-status/ack.ts'

export interface ForwardContext {
  readonly store: Pick<ReplicationStore, 'id' | 'keyState' | 'onCommit'>
  readonly replication: () => Replication | undefined
  readonly time: TimeSource
  readonly deadlineMs: number
}

/** A write that was refused here because another node leads its key. */
export interface RefusedWrite {
  /** The refusal, which the answer is when it is not passed on. */
  readonly refusal: StateError
  readonly leader: string
  /** JSON text; undefined for a delete. */
  readonly body: string | undefined
  readonly ack: Ack | undefined
  /** The keys written, as far as the answer tells them, to be waited for here. */
  readonly keysOf: (answer: string) => readonly string[]
}

/** The nodes that passed a request on, from the first, separated by commas. */
export const PASSED_BY_HEADER = 'ooo-passed-by'
/**
 * Header of every answer to a request that was passed on: the id of the node that gave it. An answer without
 * it is not a node's: a portal that wants a login, or a proxy that has failed, answers anything with a page.
 */
export const NODE_HEADER = 'ooo-node'
/** Header of an answer that a leader gave: its URL. */
export const ANSWERED_BY_HEADER = 'ooo-answered-by'

/** Longest way of a request. */
const MAX_PASSES = 8
/** Longest wait for the change to come back to this node, milliseconds; the leader's answer stands anyway. */
const RETURN_MS = 2000

/** Headers of one connection, or that this node sets itself. */
const NOT_PASSED: ReadonlySet<string> = new Set([
  'accept-encoding',
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'origin',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/**
 * The leader's answer.
 * @throws the refusal when forwarding is off or the request has been here; StateError `unreachable`
 *   when the leader gave no answer, saying whether it may have made the write.
 */
export async function forwardWrite(
  context: ForwardContext,
  request: IncomingMessage,
  write: RefusedWrite,
): Promise<Reply> {
  const { store, deadlineMs } = context
  const replication = context.replication()
  const passedBy = listOf(request.headers[PASSED_BY_HEADER])
  if (replication?.forwards !== true || passedBy.length >= MAX_PASSES) throw write.refusal
  if (passedBy.includes(store.id)) {
    throw new StateError('not_leader', `${write.refusal.message} (passed in a circle)`)
  }
  const answer = await replication.call(write.leader, {
    method: request.method ?? 'POST',
    target: request.url ?? '/',
    headers: {
      ...passedHeaders(request),
      [PASSED_BY_HEADER]: [...passedBy, store.id].join(','),
    },
    body: write.body,
    timeoutMs: deadlineMs + Math.min(write.ack?.timeoutMs ?? 0, MAX_ACK_TIMEOUT_MS),
  })
  if (!isOfNode(answer)) throw strangeAnswer(answer, write.leader)
  if (answer.status < 300) await comeBack(context, answer, write)
  return replyOf(answer, write.leader)
}

/** Tells who passed a request on that a node answers it; to be called before the answer is begun. */
export function signAnswer(request: IncomingMessage, response: ServerResponse, id: string): void {
  if (request.headers[PASSED_BY_HEADER] !== undefined) response.setHeader(NODE_HEADER, id)
}

/** Leaders of earlier builds name only the writes that they made. */
function isOfNode({ headers }: LeaderAnswer): boolean {
  return headers[NODE_HEADER] !== undefined || headers[WRITE_ID_HEADER] !== undefined
}

function strangeAnswer({ status, headers }: LeaderAnswer, leader: string): StateError {
  const type = headers['content-type']?.slice(0, 100) ?? 'no content type'
  return new StateError(
    'unreachable',
    `cluster: the answer from ${leader} is not a node's (${status}, ${type}): something on the way gave it, a portal or a proxy; the write may have been made`,
  )
}

/** Whether another node has to decide a write that failed so. */
export function isForElsewhere(error: unknown): error is StateError {
  return isStateError(error, 'not_leader')
}

/** Waits until this node holds what the leader wrote, so that who wrote it here can read it here. */
async function comeBack(
  { store, time }: ForwardContext,
  answer: LeaderAnswer,
  { keysOf }: RefusedWrite,
): Promise<void> {
  const id = answer.headers[WRITE_ID_HEADER]
  const keys = keysOf(new TextDecoder().decode(answer.body))
  const key = keys.at(-1)
  if (typeof id !== 'string' || key === undefined) return
  const { version } = parseWriteId(id)
  const isHere = async (): Promise<boolean> => {
    const record = (await store.keyState(key))?.record
    return record !== undefined && versionOf(record) >= version
  }
  const endNs = time.monotonicNs() + BigInt(RETURN_MS) * NS_PER_MS
  let ring = (): void => undefined
  const unsubscribe = store.onCommit(() => ring())
  try {
    for (;;) {
      const rung = new Promise<void>((resolve) => {
        ring = resolve
      })
      if (await isHere()) return
      const leftMs = Number((endNs - time.monotonicNs()) / NS_PER_MS)
      if (leftMs <= 0) return
      const cancel = time.after(leftMs, ring)
      await rung
      cancel()
    }
  } finally {
    unsubscribe()
  }
}

function passedHeaders(request: IncomingMessage): Record<string, string | readonly string[]> {
  const dropped = new Set(NOT_PASSED)
  for (const name of listOf(request.headers.connection)) dropped.add(name.toLowerCase())
  const headers: Record<string, string | readonly string[]> = {}
  for (const [name, values] of Object.entries(request.headersDistinct)) {
    if (values === undefined || dropped.has(name)) continue
    headers[name] = values.length === 1 ? (values[0] ?? '') : values
  }
  headers['content-type'] ??= 'application/json'
  return headers
}

/** Of the leader's headers, those that are about the write. */
const ANSWER_HEADERS: readonly string[] = [
  'content-type',
  'etag',
  'ooo-ack',
  'retry-after',
  RETRY_AFTER_MS_HEADER,
  WRITE_ID_HEADER,
]

function replyOf({ status, headers, body }: LeaderAnswer, leader: string): Reply {
  const kept: Record<string, string> = { [ANSWERED_BY_HEADER]: leader }
  for (const name of ANSWER_HEADERS) {
    const value = headers[name]
    if (typeof value === 'string') kept[name] = value
  }
  return { status, headers: kept, ...(body.length === 0 ? {} : { body }) }
}

function listOf(value: string | readonly string[] | undefined): string[] {
  return [value ?? []]
    .flat()
    .flatMap((text) => text.split(','))
    .map((part) => part.trim())
    .filter((part) => part !== '')
}
