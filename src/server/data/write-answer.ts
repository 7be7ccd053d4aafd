/**
 * What the answers to all writes over HTTP have in common: a time limit, the id of the write, waiting for
 * other nodes where that was asked for, and passing on what only the leader may decide.
 */
import type { IncomingMessage } from 'node:http'
import { StateError } from '../../core/errors.ts'
import type { ChangeEnd, Written } from '../../store/types/write.ts'
import { formatWriteId, WRITE_ID_HEADER } from '../contract/write-id.ts'
import { type Reply, textReply } from '../exchange/reply.ts'
import type { RequestBodies } from '../exchange/request-bodies.ts'
import { ACK_HEADER, type Acks, ackOf } from '../write-status/ack.ts'
import { execute } from './execute.ts'
import { type ForwardContext, forwardWrite, isForElsewhere } from './forward.ts'
import type { DataParts, WriteRequest } from './request.ts'

export interface WriteContext {
  readonly data: DataParts
  readonly acks: Acks
  readonly forward: ForwardContext
  readonly leaderOf: (key: string) => string | undefined
  /** Settles when subscribers are being sent every write so far; undefined when they are already. */
  readonly flushed: () => Promise<void> | undefined
  readonly bodies: RequestBodies
}

/** What a request over HTTP asks to be written. */
export interface AskedWrite {
  readonly request: WriteRequest
  /** JSON text that was sent; undefined where there is none. */
  readonly body?: string
}

/**
 * Makes the write that `ask` reads from a request, and answers it as `render` says.
 * @throws StateError what asking, the write, waiting and passing on throw, and `deadline`.
 */
export async function answerWrite(
  context: WriteContext,
  request: IncomingMessage,
  ask: () => Promise<AskedWrite>,
  render: (written: readonly Written[], request: WriteRequest) => Reply,
): Promise<Reply> {
  const ack = ackOf(request)
  let asked: AskedWrite | undefined
  let leave = (): void => undefined
  let isOver = false
  const write = async (): Promise<Reply & { ends: readonly ChangeEnd[] }> => {
    asked = await ask()
    const { request: given } = asked
    if (!isOver)
      leave = context.acks.begin(
        ack,
        given.writes.map(({ key }) => key),
      )
    const written = await execute(context.data, given)
    return { ...render(written, given), ends: written.flatMap(({ ends }) => ends) }
  }
  try {
    const work = write()
    context.bodies.holdUntil(request, work)
    const { ends, ...reply } = await underDeadline(context.forward, work)
    // Subscribers first: who has the answer can count on the frames being on their way.
    await context.flushed()
    const last = ends.at(-1)
    const named = withHeader(reply, WRITE_ID_HEADER, last && formatWriteId(last))
    if (ack === undefined) return named
    const { reached, shortfall } = await context.acks.confirm(ack, ends)
    const answer = shortfall === undefined ? named : late(named, shortfall)
    return withHeader(answer, ACK_HEADER, String(reached))
  } catch (error) {
    const keys = asked?.request.writes.map(({ key }) => key) ?? []
    const leader = keys.map(context.leaderOf).find((url) => url !== undefined)
    if (!isForElsewhere(error) || leader === undefined) throw error
    const keysOf = (answer: string): readonly string[] => keysInAnswer(answer) ?? keys
    return await forwardWrite(context.forward, request, {
      refusal: error,
      leader,
      body: asked?.body,
      ack,
      keysOf,
    })
  } finally {
    isOver = true
    leave()
  }
}

/** The result; a write that takes too long may still be made. @throws StateError `deadline`. */
async function underDeadline<T>(
  { time, deadlineMs }: Pick<ForwardContext, 'time' | 'deadlineMs'>,
  work: Promise<T>,
): Promise<T> {
  let cancel = (): void => undefined
  const late = new Promise<never>((_resolve, reject) => {
    cancel = time.after(deadlineMs, () => {
      reject(new StateError('deadline', 'ooo: server deadline reached'))
    })
  })
  try {
    return await Promise.race([work, late])
  } finally {
    cancel()
  }
}

function withHeader(reply: Reply, name: string, value: string | undefined): Reply {
  return value === undefined ? reply : { ...reply, headers: { ...reply.headers, [name]: value } }
}

/** The write is made, and not where it was to be: an error that keeps the write's own headers. */
function late(named: Reply, shortfall: string): Reply {
  const { 'Content-Type': _type, ...headers } = named.headers ?? {}
  const reply = textReply(504, shortfall)
  return { ...reply, headers: { ...headers, ...reply.headers } }
}

/** The paths in the answer to a batch; undefined for other answers, whose key the request names. */
function keysInAnswer(answer: string): readonly string[] | undefined {
  if (!answer.startsWith('{"results":[')) return undefined
  const { results } = JSON.parse(answer) as { results: readonly { path?: unknown }[] }
  return results.flatMap(({ path }) => (typeof path === 'string' ? [path] : []))
}
