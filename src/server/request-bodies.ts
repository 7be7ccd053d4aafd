/**
 * Reading request bodies, each bounded, and all together: what was read of a body counts until the request
 * is answered, since whoever waits (for a lock, a filter or the storage) holds it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { StateError } from '../core/errors.ts'
import { compactJson } from '../core/json.ts'

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export interface BodyLimits {
  /** Largest body, bytes; what lies beyond it is discarded unread. */
  readonly maxBytes: number
  /** Most bytes of all bodies; a single one may have more. */
  readonly maxTotalBytes: number
}

/** The bodies of one server. */
export class RequestBodies {
  readonly #limits: BodyLimits
  /** Bytes by request. */
  readonly #held = new Map<IncomingMessage, number>()
  #total = 0

  constructor(limits: BodyLimits) {
    this.#limits = limits
  }

  /** Bytes of all bodies that are being read or acted upon. */
  get bytes(): number {
    return this.#total
  }

  /** Gives back the room of the request's body once its answer is over. */
  follow(request: IncomingMessage, response: ServerResponse): void {
    if (request.method === 'GET' || request.method === 'HEAD') return
    response.once('close', () => {
      this.#total -= this.#held.get(request) ?? 0
      this.#held.delete(request)
    })
  }

  /**
   * The body as compact JSON text. The request must be followed.
   * @param assertRoom refuses a body by its length, bytes, before anything of it is read
   * @throws StateError `too_large`; `invalid_json`, with the text `EOF` for an empty body;
   *   `invalid_message` when the request was cut off; `overloaded` when too much is held.
   */
  async readJson(request: IncomingMessage, assertRoom?: (bytes: number) => void): Promise<string> {
    const length = Number(request.headers['content-length'] ?? 0)
    if (length > this.#limits.maxBytes) throw tooLarge()
    assertRoom?.(length)
    const bytes = await this.#read(request)
    let text: string
    try {
      text = decoder.decode(bytes)
    } catch (cause) {
      throw new StateError('invalid_json', 'invalid JSON: body is not UTF-8', { cause })
    }
    if (/^[ \t\r\n]*$/.test(text)) throw new StateError('invalid_json', 'EOF')
    return compactJson(text)
  }

  #read(request: IncomingMessage): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = []
      let size = 0
      const settle = (finish: () => void): void => {
        request.off('data', take)
        request.off('end', end)
        request.off('close', cut)
        finish()
      }
      const take = (chunk: Buffer): void => {
        size += chunk.length
        const refusal = this.#refusalOf(request, size, chunk.length)
        if (refusal === undefined) {
          chunks.push(chunk)
          return
        }
        settle(() => reject(refusal))
        // Read on into nothing, so that the client can finish and see the answer.
        request.resume()
      }
      const end = (): void => settle(() => resolve(Buffer.concat(chunks, size)))
      const cut = (): void =>
        settle(() => reject(new StateError('invalid_message', 'ooo: request body was cut off')))
      request.on('data', take)
      request.on('end', end)
      request.on('close', cut)
    })
  }

  /** Takes room for the next `bytes` of a body of `size` so far; undefined when there was some. */
  #refusalOf(request: IncomingMessage, size: number, bytes: number): StateError | undefined {
    const { maxBytes, maxTotalBytes } = this.#limits
    if (size > maxBytes) return tooLarge()
    const held = this.#held.get(request) ?? 0
    const isAlone = this.#total === held
    if (!isAlone && this.#total + bytes > maxTotalBytes) {
      return new StateError(
        'overloaded',
        `ooo: request bodies of ${this.#total} bytes are held, the limit is ${maxTotalBytes}`,
      )
    }
    this.#held.set(request, held + bytes)
    this.#total += bytes
    return undefined
  }
}

function tooLarge(): StateError {
  return new StateError('too_large', 'Request Entity Too Large')
}
