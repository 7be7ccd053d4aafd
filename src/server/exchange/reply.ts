/** Answers to HTTP requests as data, and the one place that writes them out. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { promisify } from 'node:util'
import { constants, deflate, gzip } from 'node:zlib'
import { errorText, isStateError } from '../../core/errors.ts'
import type { Logger } from '../../core/ports/logger.ts'
import { retryHeaders } from '../../core/retry-hint.ts'
import type { LongList } from '../../fanout/frames/long-list.ts'
import type { Turns } from '../turns/turns.ts'
import { type Encoding, sendList } from './send-list.ts'
import type { UnreadAnswers } from './unread-answers.ts'

export interface Reply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** In place of `body`: sent in pieces. */
  readonly list?: { readonly list: LongList; readonly turns: Turns }
}

/** Voters that are up have answered within a second, and a database that restarts or hung may have; milliseconds. */
const RETRY_MS = 1000
/** Characters of an error that are told: it may repeat what the client sent. */
const MAX_ERROR_LENGTH = 8192
const JSON_TYPE = 'application/json'
const TEXT_TYPE = 'text/plain; charset=utf-8'
/** Bodies below this many bytes are not worth compressing. */
const MIN_COMPRESSED_BYTES = 1024

export function jsonReply(body: string | Uint8Array): Reply {
  return { status: 200, headers: { 'Content-Type': JSON_TYPE }, body }
}

export function textReply(status: number, body: string): Reply {
  return { status, headers: { 'Content-Type': TEXT_TYPE }, body }
}

/** The router's own refusals end in a newline, unlike errors of a handler. */
export function notFoundReply(): Reply {
  return routerReply(404, '404 page not found\n')
}

export function methodNotAllowedReply(allow: string): Reply {
  const reply = routerReply(405, 'Method Not Allowed\n')
  return { ...reply, headers: { ...reply.headers, Allow: allow } }
}

/** A StateError becomes its status and text; anything else is a fault of this side and logged. */
export function errorReply(error: unknown, logger: Logger): Reply {
  if (isStateError(error)) {
    if (error.meaning.status >= 500) {
      logger.warn('a request failed', { code: error.code, error: shortened(error.message) })
    }
    const reply = textReply(error.meaning.status, shortened(error.clientText))
    if (error.meaning.status !== 503) return reply
    return { ...reply, headers: { ...reply.headers, ...retryHeaders(RETRY_MS) } }
  }
  logger.error('a request failed unexpectedly', { error: errorText(error) })
  return textReply(500, 'ooo: internal server error')
}

/**
 * Writes a reply, without a body for HEAD and 304. It is compressed when `compression` allows it (default
 * true), the client takes it and it pays; never under an `Upgrade` header. A response that was begun
 * already is left alone.
 * @throws StateError `overloaded` when `answers` has no room for it
 */
export async function sendReply(
  request: IncomingMessage,
  response: ServerResponse,
  reply: Reply,
  {
    compression = true,
    answers,
  }: { readonly compression?: boolean; readonly answers?: UnreadAnswers } = {},
): Promise<void> {
  if (reply.list !== undefined) {
    const encoding = compression ? encodingFor(request) : undefined
    setHead(response, reply, encoding)
    await sendList(request, response, reply.list, encoding)
    return
  }
  // Text stays text: Node then sends head and body as one piece.
  const plain = reply.body ?? ''
  const length = lengthOf(plain)
  const encoding = compression && length >= MIN_COMPRESSED_BYTES ? encodingFor(request) : undefined
  const body = encoding === undefined ? plain : await compress(encoding, plain)
  if (response.headersSent || response.destroyed) return
  if (request.method !== 'HEAD')
    answers?.begin(response, encoding === undefined ? length : body.length)
  setHead(response, reply, encoding)
  if (reply.status !== 204 && reply.status !== 304) {
    response.setHeader('Content-Length', encoding === undefined ? length : body.length)
  }
  response.end(request.method === 'HEAD' ? undefined : body)
}

function setHead(
  response: ServerResponse,
  { status, headers = {} }: Reply,
  encoding: Encoding | undefined,
): void {
  response.statusCode = status
  response.appendHeader('Vary', 'Accept-Encoding')
  if (encoding !== undefined) response.setHeader('Content-Encoding', encoding)
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
}

function shortened(text: string): string {
  return text.length <= MAX_ERROR_LENGTH ? text : `${text.slice(0, MAX_ERROR_LENGTH)}…`
}

function routerReply(status: number, body: string): Reply {
  const headers = { 'Content-Type': TEXT_TYPE, 'X-Content-Type-Options': 'nosniff' }
  return { status, headers, body }
}

function lengthOf(body: string | Uint8Array): number {
  return typeof body === 'string' ? Buffer.byteLength(body) : body.length
}

/** The first of gzip and deflate that the client lists and does not refuse with `q=0`; none under `Upgrade`. */
function encodingFor(request: IncomingMessage): Encoding | undefined {
  if (request.headers.upgrade !== undefined) return undefined
  const header = request.headers['accept-encoding']
  for (const item of typeof header === 'string' ? header.split(',') : []) {
    const [name, ...parameters] = item.split(';').map((part) => part.trim().toLowerCase())
    if (name !== 'gzip' && name !== 'deflate') continue
    if (!parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter))) return name
  }
  return undefined
}

const compressors = {
  gzip: promisify<string | Uint8Array, object, Buffer>(gzip),
  deflate: promisify<string | Uint8Array, object, Buffer>(deflate),
}

function compress(encoding: Encoding, body: string | Uint8Array): Promise<Buffer> {
  // Lists are answered while people wait: speed over the last few percent.
  return compressors[encoding](body, { level: constants.Z_BEST_SPEED })
}
