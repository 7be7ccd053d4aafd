/**
 * Holds back what a Node handler writes until it is whole, so that it can be looked at before anything
 * of it is sent.
 */
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'

export interface HeldAnswer {
  /**
   * The body once the handler has ended the response; undefined when the connection ended before.
   * Rejects with a RangeError when it grows beyond the limit.
   */
  readonly body: Promise<Buffer | undefined>
  /** Lets the response be written to again. Status and headers are as the handler set them. */
  release(): void
  /** Takes back the headers that were set since the answer was held. */
  forgetHeaders(): void
}

/** Holds `response` from now on, at most `maxBytes` of it. */
export function holdAnswer(response: ServerResponse, maxBytes: number): HeldAnswer {
  const known = new Set(response.getHeaderNames())
  const { write, end, writeHead, flushHeaders } = response
  const chunks: Buffer[] = []
  let size = 0
  const body = new Promise<Buffer | undefined>((resolve, reject) => {
    const take = (chunk: unknown, encoding: unknown): void => {
      if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) return
      const bytes =
        typeof chunk === 'string'
          ? Buffer.from(chunk, typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8')
          : Buffer.from(chunk)
      size += bytes.length
      if (size > maxBytes) reject(new RangeError(`the answer is longer than ${maxBytes} bytes`))
      else chunks.push(bytes)
    }
    response.write = (...args: unknown[]): boolean => {
      take(args[0], args[1])
      callLast(args)
      return true
    }
    response.end = (...args: unknown[]): ServerResponse => {
      take(args[0], args[1])
      resolve(Buffer.concat(chunks))
      callLast(args)
      return response
    }
    response.writeHead = (status: number, ...rest: unknown[]): ServerResponse => {
      response.statusCode = status
      if (typeof rest[0] === 'string') response.statusMessage = rest[0]
      setHeaders(
        response,
        rest.find((part) => typeof part === 'object'),
      )
      return response
    }
    response.flushHeaders = () => undefined
    response.once('close', () => resolve(undefined))
  })
  return {
    body,
    release: () => void Object.assign(response, { write, end, writeHead, flushHeaders }),
    forgetHeaders: () => {
      for (const name of response.getHeaderNames()) {
        if (!known.has(name)) response.removeHeader(name)
      }
    },
  }
}

/** Node takes headers as an object, or as a flat list of names and values. */
function setHeaders(response: ServerResponse, headers: unknown): void {
  if (Array.isArray(headers)) {
    for (let i = 0; i + 1 < headers.length; i += 2) {
      response.appendHeader(String(headers[i]), String(headers[i + 1]))
    }
    return
  }
  for (const [name, value] of Object.entries((headers ?? {}) as OutgoingHttpHeaders)) {
    if (value !== undefined) response.setHeader(name, value)
  }
}

/** The callback of `write` and `end` comes last, and never before they return. */
function callLast(args: readonly unknown[]): void {
  const callback = args.at(-1)
  if (typeof callback === 'function') process.nextTick(callback)
}
