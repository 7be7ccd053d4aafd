/** Reading request bodies: each bounded, and all of them together. */
import type { IncomingMessage } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { StateError } from '../core/errors.ts'
import { compactJsonInSlices } from '../core/json.ts'
import type { JsonBounds } from '../core/json-bounds.ts'

export interface BodyLimits {
  /** Largest body. */
  readonly maxBodyBytes: number
  /** Bytes of the bodies of all requests under way, the last one aside when it is alone. */
  readonly maxRequestBytes: number
  readonly jsonBounds: JsonBounds
}

/** Small bodies have a quarter more, so that large ones that come slowly do not shut them out. */
const SMALL_BODY_BYTES = 65_536
/** Characters that are checked in one turn of the event loop: a few milliseconds. */
const SLICE_CHARACTERS = 262_144

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export class RequestBodies {
  readonly limits: BodyLimits
  readonly #held = new Map<IncomingMessage, number>()
  /** What bodies are used for, by request. */
  readonly #inUse = new WeakMap<IncomingMessage, Promise<void>>()
  #bytes = 0
  #refused = 0

  constructor(limits: BodyLimits) {
    this.limits = limits
  }

  /** Bytes of bodies that came in and whose requests are not answered yet. */
  get bytes(): number {
    return this.#bytes
  }

  /** Requests refused because others held too much. */
  get refused(): number {
    return this.#refused
  }

  /**
   * The body as compact JSON text. It counts until `release`.
   * @throws StateError `too_large`, what lies beyond the limit being discarded unread; `overloaded` when all
   *   bodies together are too large; `invalid_json`, with the text `EOF` for an empty body;
   *   `invalid_message` when the request was cut off.
   */
  async readJson(request: IncomingMessage): Promise<string> {
    const bytes = await this.#read(request)
    let text: string
    try {
      text = decoder.decode(bytes)
    } catch (cause) {
      throw new StateError('invalid_json', 'invalid JSON: body is not UTF-8', { cause })
    }
    if (/^[ \t\r\n]*$/.test(text)) throw new StateError('invalid_json', 'EOF')
    const pause = (): Promise<void> => nextTurn()
    return compactJsonInSlices(text, this.limits.jsonBounds, SLICE_CHARACTERS, pause)
  }

  /** The body counts until `work` has settled too: a write goes on when its request was given up. */
  holdUntil(request: IncomingMessage, work: Promise<unknown>): void {
    const settled = work.then(
      () => undefined,
      () => undefined,
    )
    this.#inUse.set(request, settled)
  }

  /** The request is answered: its body is no longer held, unless it is in use. Idempotent. */
  release(request: IncomingMessage): void {
    const settled = this.#inUse.get(request)
    if (settled === undefined) this.#drop(request)
    else void settled.then(() => this.#drop(request))
  }

  #drop(request: IncomingMessage): void {
    this.#bytes -= this.#held.get(request) ?? 0
    this.#held.delete(request)
  }

  #read(request: IncomingMessage): Promise<Buffer> {
    const { maxBodyBytes } = this.limits
    if (Number(request.headers['content-length']) > maxBodyBytes) return Promise.reject(tooLarge())
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = []
      let size = 0
      const settle = (finish: () => void): void => {
        request.off('data', take)
        request.off('end', end)
        request.off('close', cut)
        finish()
      }
      const refuse = (error: StateError): void => {
        this.#drop(request)
        settle(() => reject(error))
        // Read on into nothing, so that the client can finish and see the answer.
        request.resume()
      }
      const take = (chunk: Buffer): void => {
        size += chunk.length
        if (size > maxBodyBytes) refuse(tooLarge())
        else if (!this.#hold(request, chunk.length)) refuse(this.#overloaded())
        else chunks.push(chunk)
      }
      const end = (): void => settle(() => resolve(Buffer.concat(chunks, size)))
      const cut = (): void =>
        settle(() => reject(new StateError('invalid_message', 'ooo: request body was cut off')))
      request.on('data', take)
      request.on('end', end)
      request.on('close', cut)
    })
  }

  #hold(request: IncomingMessage, bytes: number): boolean {
    const held = (this.#held.get(request) ?? 0) + bytes
    const { maxRequestBytes } = this.limits
    const limit = held <= SMALL_BODY_BYTES ? maxRequestBytes * 1.25 : maxRequestBytes
    const isAlone = this.#bytes + bytes === held
    if (!isAlone && this.#bytes + bytes > limit) return false
    this.#held.set(request, held)
    this.#bytes += bytes
    return true
  }

  #overloaded(): StateError {
    this.#refused++
    return new StateError(
      'overloaded',
      `ooo: requests under way hold ${this.#bytes} bytes, the limit is ${this.limits.maxRequestBytes}`,
    )
  }
}

function tooLarge(): StateError {
  return new StateError('too_large', 'Request Entity Too Large')
}
