/**
 * Between Node's requests and responses and those of the Fetch standard, streaming both ways: no more
 * of a body is read than is taken, and a client that goes away ends what is under way.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ReadableStream as NodeReadableStream } from 'node:stream/web'
import { StateError } from '../../core/errors.ts'

export interface WebRequestOptions {
  readonly url: URL
  /** Aborted when the answer is of no use any more. */
  readonly signal: AbortSignal
  /** Largest body, bytes; reading beyond it fails with `too_large`. */
  readonly maxBodyBytes: number
  /** A body that has been read already, in place of the request's own. */
  readonly body?: string
}

/** @throws StateError `too_large` when the declared length is beyond the limit. */
export function toWebRequest(request: IncomingMessage, options: WebRequestOptions): Request {
  const { url, signal, maxBodyBytes } = options
  const method = request.method ?? 'GET'
  const init = { method, headers: webHeaders(request), signal }
  if (method === 'GET' || method === 'HEAD') return new Request(url, init)
  if (options.body !== undefined) return new Request(url, { ...init, body: options.body })
  if (Number(request.headers['content-length']) > maxBodyBytes) throw tooLarge()
  const body = Readable.toWeb(Readable.from(bounded(request, maxBodyBytes)))
  return new Request(url, { ...init, body: body as ReadableStream, duplex: 'half' })
}

/**
 * Writes an answer out as fast as the client takes it. Rejects when the body fails; what was sent
 * by then is cut off, so that the client can tell. A client that went away is no failure.
 */
export async function sendWebResponse(
  request: IncomingMessage,
  response: ServerResponse,
  answer: Response,
): Promise<void> {
  const { body } = answer
  if (response.headersSent || response.destroyed) {
    await body?.cancel()
    return
  }
  writeHead(response, answer)
  if (body === null || request.method === 'HEAD') {
    await body?.cancel()
    response.end()
    return
  }
  try {
    await pipeline(Readable.fromWeb(body as NodeReadableStream), response)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error
  }
}

/** The signal of an exchange: aborts when the connection ends before the answer is complete. */
export function exchangeSignal(response: ServerResponse): AbortSignal {
  const controller = new AbortController()
  response.once('close', () => {
    if (!response.writableFinished) {
      controller.abort(new StateError('closing', 'ooo: the connection has ended'))
    }
  })
  return controller.signal
}

/** The signal of an upgraded connection: aborts when it ends. */
export function socketSignal(socket: Socket): AbortSignal {
  const controller = new AbortController()
  socket.once('close', () => {
    controller.abort(new StateError('closing', 'ooo: the connection has ended'))
  })
  return controller.signal
}

/** The whole body as text. @throws RangeError when it is longer than `maxBytes`. */
export async function readWebBody(answer: Response, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of (answer.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length
    if (size > maxBytes) throw new RangeError(`the answer is longer than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, size).toString('utf8')
}

/** Headers that belong to one connection (RFC 9110 section 7.6.1); Node sets its own. */
const CONNECTION_HEADERS = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade'])

function writeHead(response: ServerResponse, answer: Response): void {
  for (const [name, value] of answer.headers) {
    if (CONNECTION_HEADERS.has(name)) continue
    // Adds to what the server varies by already; and each cookie is a header of its own.
    if (name === 'vary' || name === 'set-cookie') response.appendHeader(name, value)
    else response.setHeader(name, value)
  }
  if (answer.statusText === '') response.writeHead(answer.status)
  else response.writeHead(answer.status, answer.statusText)
}

function webHeaders(request: IncomingMessage): Headers {
  const headers = new Headers()
  const { rawHeaders } = request
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    headers.append(rawHeaders[i] ?? '', rawHeaders[i + 1] ?? '')
  }
  return headers
}

async function* bounded(request: IncomingMessage, maxBytes: number): AsyncGenerator<Uint8Array> {
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBytes) throw tooLarge()
    yield chunk
  }
}

function tooLarge(): StateError {
  return new StateError('too_large', 'Request Entity Too Large')
}
