/**
 * Reading request bodies, each bounded, and all together: what was read of a body counts until the request
 * is answered and the write that it asked for is done, since whoever waits (for a lock, a filter or the
 * storage) holds it.
 */
import type { IncomingMessage } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { StateError } from '../../core/errors.ts'
import type { JsonBounds } from '../../core/json/bounds.ts'
import { compactJsonInSlices } from '../../core/json/json.ts'

export interface BodyLimits {
  /** Largest body, bytes; what lies beyond it is discarded unread. */
  readonly maxBodyBytes: number
  /** Most bytes of all bodies; a single one may have more. */
  readonly maxBodiesBytes: number
  readonly jsonBounds: JsonBounds
}

/** Small bodies have a quarter more, so that large ones that come slowly do not shut them out. */
const SMALL_BODY_BYTES = 65_536
/** Characters that are checked in one turn of the event loop: a few milliseconds. */
const SLICE_CHARACTERS = 262_144

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The bodies of one server. */
export class RequestBodies {
  readonly limits: BodyLimits
  /** Bytes by request. */
  readonly #held = new Map<IncomingMessage, number>()
  /** What bodies are used for, by request. */
  readonly #inUse = new WeakMap<IncomingMessage, Promise<void>>()
  #total = 0
  #refused = 0

  constructor(limits: BodyLimits) {
    this.limits = limits
  }

  /** Bytes of all bodies that are being read or acted upon. */
  get bytes(): number {
    return this.#total
  }

  /** Bodies refused because others held too much. */
  get refused(): number {
    return this.#refused
  }

  /**
   * The body as compact JSON text. It counts until `release`.
   * @param assertRoom refuses a body by its length, bytes, before anything of it is read
   * @throws StateError `too_large`; `invalid_json`, with the text `EOF` for an empty body;
   *   `invalid_message` when the request was cut off; `overloaded` when too much is held.
   */
  async readJson(request: IncomingMessage, assertRoom?: (bytes: number) => void): Promise<string> {
    const length = Number(request.headers['content-length'] ?? 0)
    if (length > this.limits.maxBodyBytes) throw tooLarge()
    assertRoom?.(length)
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
    this.#total -= this.#held.get(request) ?? 0
    this.#held.delete(request)
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
        this.#drop(request)
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
    const { maxBodyBytes, maxBodiesBytes } = this.limits
    if (size > maxBodyBytes) return tooLarge()
    const held = this.#held.get(request) ?? 0
    const limit = size <= SMALL_BODY_BYTES ? maxBodiesBytes * 1.25 : maxBodiesBytes
    const isAlone = this.#total === held
    if (!isAlone && this.#total + bytes > limit) {
      this.#refused++
      return new StateError(
        'overloaded',
        `ooo: request bodies of ${this.#total} bytes are held, the limit is ${maxBodiesBytes}`,
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
