/**
 * `GET /-/writes/<id>?key=<key>`: what has become of a write (see `write-fate.ts` for the JSON). With
 * `Accept: text/event-stream`, or over a WebSocket, each change of it until nothing more can change.
 *
 * `&until=leader|replicated|<n>` holds the answer back until the leader has it, every follower, or so many
 * other nodes, at most `&timeoutMs=` (default 5000, at most 60 000): the answer then tells how far it got.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { WebSocket } from 'ws'
import { clientTextOf, errorText, isStateError, StateError } from '../core/errors.ts'
import { assertKey, hasGlob } from '../core/key.ts'
import type { Logger } from '../core/logger.ts'
import type { Filters } from '../store/filters.ts'
import { assertReadable } from './access-checks.ts'
import { type Ack, ackOf } from './ack.ts'
import type { Admission } from './admission.ts'
import { jsonReply, type Reply } from './reply.ts'
import { parseTarget } from './request-url.ts'
import { type Fate, fateForMajorityJson, fateJson } from './write-fate.ts'
import { type FateWait, WRITES_PREFIX, type WriteFates } from './write-fates.ts'
import { parseWriteId, type WriteId } from './write-id.ts'
import { closeSocket } from './ws-socket.ts'

export interface FateContext {
  readonly fates: WriteFates
  /** What is opened in static mode; undefined when everything is. */
  readonly filters: Filters | undefined
  readonly logger: Logger
  readonly admission: Pick<Admission, 'clientOf'>
}

/** Which write a request asks after. */
export interface FateQuestion {
  readonly id: WriteId
  readonly key: string
  readonly wait: Pick<FateWait, 'level' | 'timeoutMs'> | undefined
}

/** @throws StateError `invalid_option`, `invalid_key`, `not_routed` where the key may not be read. */
export function fateQuestion(
  { filters }: FateContext,
  request: Pick<IncomingMessage, 'url'>,
): FateQuestion {
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

/** Answers with the fate, at once or when it is as asked for. */
export async function answerFate(context: FateContext, request: IncomingMessage): Promise<Reply> {
  const { id, key, wait } = fateQuestion(context, request)
  const address = context.admission.clientOf(request)
  const fate = await tell(context, { id, key, wait }, address)
  const reply = jsonReply(wait?.level === 'majority' ? fateForMajorityJson(fate) : fateJson(fate))
  return { ...reply, headers: { ...reply.headers, 'Cache-Control': 'no-store' } }
}

async function tell(
  { fates }: FateContext,
  { id, key, wait }: FateQuestion,
  address: string | undefined,
): Promise<Fate> {
  if (wait === undefined) return fates.now(id, key)
  const leave = fates.enter(address)
  try {
    const until = (fate: Fate): boolean =>
      fate.state === 'unknown' ||
      fate.state === 'refused' ||
      fate.overriddenBy !== undefined ||
      isAt(wait.level, fate)
    return await fates.wait({ id, key, until, ...wait })
  } finally {
    leave()
  }
}

/** Whether the request wants a stream of events. */
export function wantsEvents({ headers }: IncomingMessage): boolean {
  return headers.accept?.toLowerCase().includes('text/event-stream') === true
}

/** Sends the fate and each change of it as `data:` events, then ends. */
export async function streamFate(
  context: FateContext,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { id, key } = fateQuestion(context, request)
  const leave = context.fates.enter(context.admission.clientOf(request))
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  try {
    response.writeHead(200, {
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'no-store',
    })
    for await (const fate of context.fates.watch(id, key, gone.signal)) {
      // A comment, so that nobody on the way takes the connection for a dead one.
      response.write(fate === undefined ? ': no news\n\n' : `data: ${fateJson(fate)}\n\n`)
    }
    response.end()
  } finally {
    leave()
  }
}

/** Sends the fate and each change of it as text frames, then closes with 1000. */
export async function serveFate(
  { fates, logger }: FateContext,
  { id, key }: FateQuestion,
  socket: WebSocket,
  leave: () => void,
): Promise<void> {
  const gone = new AbortController()
  socket.on('close', () => gone.abort())
  try {
    for await (const fate of fates.watch(id, key, gone.signal)) {
      if (fate !== undefined) socket.send(fateJson(fate))
    }
    closeSocket(socket, 1000, 'nothing more will change')
  } catch (error) {
    logger.warn('the fate of a write could not be told', { key, error: errorText(error) })
    closeSocket(socket, isStateError(error) ? error.meaning.closeCode : 1011, clientTextOf(error))
  } finally {
    leave()
  }
}

function isAt(level: FateWait['level'], { state, replicas, isMajority }: Fate): boolean {
  if (typeof level === 'number') return replicas >= level
  if (level === 'majority') return isMajority
  return state === 'replicated' || (level === 'leader' && state === 'leader')
}

function waitOf(query: URLSearchParams): FateQuestion['wait'] {
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
