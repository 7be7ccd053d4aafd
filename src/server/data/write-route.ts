/**
 * `GET /-/writes/<id>?key=<key>`: what has become of a write (see `write-status.ts` for the JSON). With
 * `Accept: text/event-stream`, or over a WebSocket, each change of it until nothing more can change.
 *
 * `&until=leader|replicated|<n>` holds the answer back until the leader has it, every follower, or so many
 * other nodes, at most `&timeoutMs=` (default 5000, at most 60 000): the answer then tells how far it got.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { WebSocket } from 'ws'
import { clientTextOf, errorText, isStateError, StateError } from '../../core/errors.ts'
import { assertKey, hasGlob } from '../../core/keys/key.ts'
import type { Logger } from '../../core/ports/logger.ts'
import type { Filters } from '../../store/filters/filters.ts'
import type { Admission } from '../admission/admission.ts'
import { parseWriteId, type WriteId } from '../contract/write-id.ts'
import { jsonReply, type Reply } from '../exchange/reply.ts'
import { parseTarget } from '../exchange/request-url.ts'
import { closeSocket } from '../websocket/ws-socket.ts'
import { type Ack, ackOf } from '../write-status/ack.ts'
import { statusForMajorityJson, statusJson, type WriteStatus } from '../write-status/status.ts'
import { type StatusWait, WRITES_PREFIX, type WriteStatusTracker } from '../write-status/tracker.ts'
import { assertReadable } from './permit.ts'

export interface WriteStatusContext {
  readonly writeStatuses: WriteStatusTracker
  /** What is opened in static mode; undefined when everything is. */
  readonly filters: Filters | undefined
  readonly logger: Logger
  readonly admission: Pick<Admission, 'clientOf'>
}

/** Which write a request asks after. */
export interface StatusQuestion {
  readonly id: WriteId
  readonly key: string
  readonly wait: Pick<StatusWait, 'level' | 'timeoutMs'> | undefined
}

/** @throws StateError `invalid_option`, `invalid_key`, `not_routed` where the key may not be read. */
export function statusQuestion(
  { filters }: WriteStatusContext,
  request: Pick<IncomingMessage, 'url'>,
): StatusQuestion {
  const target = parseTarget(request.url)
  const id = parseWriteId(target?.path.slice(WRITES_PREFIX.length) ?? '')
  const query = new URLSearchParams(target?.query)
  const key = query.get('key')
  if (key === null) {
    throw new StateError('invalid_option', 'ooo: ?key= is missing: the key that was written')
  }
  assertKey(key)
  if (hasGlob(key)) throw new StateError('invalid_glob', `ooo: key ${key} is a glob`)
  assertReadable(filters, key)
  return { id, key, wait: waitOf(query) }
}

/** Answers with the status, at once or when it is as asked for. */
export async function answerWriteStatus(
  context: WriteStatusContext,
  request: IncomingMessage,
): Promise<Reply> {
  const { id, key, wait } = statusQuestion(context, request)
  const address = context.admission.clientOf(request)
  const status = await readStatus(context, { id, key, wait }, address)
  const reply = jsonReply(
    wait?.level === 'majority' ? statusForMajorityJson(status) : statusJson(status),
  )
  return { ...reply, headers: { ...reply.headers, 'Cache-Control': 'no-store' } }
}

async function readStatus(
  { writeStatuses }: WriteStatusContext,
  { id, key, wait }: StatusQuestion,
  address: string | undefined,
): Promise<WriteStatus> {
  if (wait === undefined) return writeStatuses.now(id, key)
  const leave = writeStatuses.enter(address)
  try {
    const until = (status: WriteStatus): boolean =>
      status.state === 'unknown' ||
      status.state === 'refused' ||
      status.overriddenBy !== undefined ||
      isAt(wait.level, status)
    return await writeStatuses.wait({ id, key, until, ...wait })
  } finally {
    leave()
  }
}

/** Whether the request wants a stream of events. */
export function wantsEvents({ headers }: IncomingMessage): boolean {
  return headers.accept?.toLowerCase().includes('text/event-stream') === true
}

/** Sends the status and each change of it as `data:` events, then ends. */
export async function streamWriteStatus(
  context: WriteStatusContext,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { id, key } = statusQuestion(context, request)
  const leave = context.writeStatuses.enter(context.admission.clientOf(request))
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  try {
    response.writeHead(200, {
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'no-store',
    })
    for await (const status of context.writeStatuses.watch(id, key, gone.signal)) {
      // A comment, so that nobody on the way takes the connection for a dead one.
      response.write(status === undefined ? ': no news\n\n' : `data: ${statusJson(status)}\n\n`)
    }
    response.end()
  } finally {
    leave()
  }
}

/** Sends the status and each change of it as text frames, then closes with 1000. */
export async function serveWriteStatus(
  { writeStatuses, logger }: WriteStatusContext,
  { id, key }: StatusQuestion,
  socket: WebSocket,
  leave: () => void,
): Promise<void> {
  const gone = new AbortController()
  socket.on('close', () => gone.abort())
  try {
    for await (const status of writeStatuses.watch(id, key, gone.signal)) {
      if (status !== undefined) socket.send(statusJson(status))
    }
    closeSocket(socket, 1000, 'nothing more will change')
  } catch (error) {
    logger.warn('the status of a write could not be told', { key, error: errorText(error) })
    closeSocket(socket, isStateError(error) ? error.meaning.closeCode : 1011, clientTextOf(error))
  } finally {
    leave()
  }
}

function isAt(level: StatusWait['level'], { state, replicas, isMajority }: WriteStatus): boolean {
  if (typeof level === 'number') return replicas >= level
  if (level === 'majority') return isMajority
  return state === 'replicated' || (level === 'leader' && state === 'leader')
}

function waitOf(query: URLSearchParams): StatusQuestion['wait'] {
  const until = query.get('until')
  if (until === null) return undefined
  const timeoutMs = query.get('timeoutMs')
  const time = timeoutMs === null ? '' : `&ackTimeoutMs=${encodeURIComponent(timeoutMs)}`
  if (until === 'replicated') {
    const { timeoutMs: limit } = required(ackOf({ url: `/?ack=leader${time}` }))
    return { level: until, timeoutMs: limit }
  }
  const ack = required(ackOf({ url: `/?ack=${encodeURIComponent(until)}${time}` }))
  return ack.level === 'local' ? undefined : { level: ack.level, timeoutMs: ack.timeoutMs }
}

function required(ack: Ack | undefined): Ack {
  if (ack === undefined) throw new StateError('invalid_option', 'ooo: ?until= has no value')
  return ack
}
