/** REST calls on keys: deadlines, retries, and statuses turned into errors. */

import { type ErrorCode, errorText, isStateError, StateError } from '../core/errors.ts'
import { backoffDelayMs } from '../core/ports/backoff.ts'
import { retryHintMs } from '../core/retry-hint.ts'
import { restUrl } from './key-url.ts'
import type { ResolvedClientOptions } from './options.ts'

export interface RestRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  readonly key: string
  /** JSON text. */
  readonly body?: string
  /** Aborting it rejects the call with the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /** Parameters of the address, in order. */
  readonly query?: Readonly<Record<string, string>>
  /** Headers that make the request conditional. */
  readonly conditions?: Readonly<Record<string, string>>
  /** Whether doing it twice equals doing it once. */
  readonly isRepeatable: boolean
  /** Milliseconds the server may take beyond `requestTimeoutMs`. Default 0. */
  readonly extraMs?: number
  /** Hears the headers of an answer that is no refusal. */
  readonly onHeaders?: (headers: Headers) => void
}

/** Body of the answer to a GET of a key that has no entry. */
const ABSENT = 'ooo: empty key'

/**
 * Performs the call and returns the body text; undefined when the key is absent.
 * @throws StateError with the code of the answer's status and its body as message; `unreachable`
 * when the network failed, `deadline` when it took too long. The caller's own abort rejects with
 * the signal's reason.
 */
export async function callRest(
  options: ResolvedClientOptions,
  request: RestRequest,
): Promise<string | undefined> {
  const retries = request.isRepeatable ? options.retries : 0
  for (let attempt = 1; ; attempt++) {
    try {
      return await callOnce(options, request)
    } catch (error) {
      const isFinal = attempt > retries || !isStateError(error) || !mayPass(error)
      if (isFinal) throw error
      const delayMs = backoffDelayMs(attempt, options.retryBackoff, options.random)
      await pause(options, Math.max(delayMs, retryHintMs(error.message) ?? 0), request.signal)
    }
  }
}

function mayPass(error: StateError): boolean {
  // The write is made, and would only be made again.
  return error.meaning.status >= 500 && error.code !== 'ack_timeout'
}

async function callOnce(
  options: ResolvedClientOptions,
  request: RestRequest,
): Promise<string | undefined> {
  const { signal } = request
  signal?.throwIfAborted()
  const controller = new AbortController()
  const { requestTimeoutMs } = options
  const limit = requestTimeoutMs === 0 ? 0 : requestTimeoutMs + (request.extraMs ?? 0)
  const timedOut = new StateError('deadline', `${describe(request)}: no answer within ${limit} ms`)
  const stopTimer = limit > 0 ? options.time.after(limit, () => controller.abort(timedOut)) : noop
  const onAbort = (): void => controller.abort(signal?.reason)
  signal?.addEventListener('abort', onAbort)
  try {
    const init = {
      method: request.method,
      headers: headersOf(options, request),
      body: request.body ?? null,
      cache: 'no-store' as const,
      signal: controller.signal,
    }
    const response = await options.fetch(restUrl(options.base, request.key, request.query), init)
    const body = bodyOrError(request, response.status, await response.text())
    request.onHeaders?.(response.headers)
    return body
  } catch (error) {
    if (isStateError(error)) throw error
    if (controller.signal.aborted) throw controller.signal.reason
    const message = `${describe(request)}: ${failureText(error)}`
    throw new StateError('unreachable', message, { cause: error })
  } finally {
    stopTimer()
    signal?.removeEventListener('abort', onAbort)
  }
}

function headersOf(options: ResolvedClientOptions, request: RestRequest): Headers {
  const headers = new Headers()
  if (request.body !== undefined) headers.set('Content-Type', 'application/json')
  const token = options.token()
  if (token !== undefined) headers.set('Authorization', `Bearer ${token}`)
  for (const [name, value] of Object.entries(options.headers)) headers.set(name, value)
  for (const [name, value] of Object.entries(request.conditions ?? {})) headers.set(name, value)
  return headers
}

function bodyOrError(request: RestRequest, status: number, body: string): string | undefined {
  if (status >= 200 && status < 300) {
    if (request.method !== 'DELETE' || body.trim() === '') return body
    throw new StateError('invalid_message', 'the answer to a delete must be empty')
  }
  if (status === 404 && request.method === 'GET' && body === ABSENT) return undefined
  const text = body.trim() === '' ? `status ${status} without a text` : body.trim()
  throw new StateError(codeOfAnswer(status, text), text)
}

/** Statuses that say all; 400 and 500 cover several codes, told apart by the texts of the contract. */
const CODE_OF_STATUS: Readonly<Record<number, ErrorCode>> = {
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  409: 'clock_drift',
  412: 'precondition_failed',
  413: 'too_large',
  421: 'not_leader',
  423: 'locked',
  429: 'overloaded',
  502: 'unreachable',
  504: 'deadline',
  507: 'storage_full',
}

const CODE_OF_TEXT: readonly (readonly [prefix: string, code: ErrorCode])[] = [
  ['ooo: key is not valid', 'invalid_key'],
  ['ooo: glob pattern not allowed', 'invalid_glob'],
  ['key: ', 'invalid_glob'],
  ['invalid JSON', 'invalid_json'],
  ['merge: ', 'merge_conflict'],
  ['filters: route not defined', 'not_routed'],
  ['ooo: durability ', 'invalid_option'],
  ['ooo: ack ', 'invalid_option'],
  ['ooo: ackTimeoutMs ', 'invalid_option'],
  ['ooo: write id ', 'invalid_option'],
  ['ooo: order ', 'invalid_option'],
  ['ooo: limit ', 'invalid_option'],
  ['ooo: from ', 'invalid_option'],
  ['ooo: to ', 'invalid_option'],
  ['storage: invalid range', 'invalid_option'],
  ['storage: durability ', 'invalid_option'],
]

/** How the answer to a write begins that is made and not yet where it was to be. */
const UNCONFIRMED = 'ooo: ack '

/** What a leader says that does not decide yet. */
const UNDECIDED = / is not decided (yet|now): /

/** How the refusal of a read begins that met a damaged record. */
const DAMAGED = 'storage: the record of key '

function codeOfAnswer(status: number, text: string): ErrorCode {
  if (status === 504 && text.startsWith(UNCONFIRMED)) return 'ack_timeout'
  const known = CODE_OF_STATUS[status]
  if (known !== undefined) return known
  if (status === 503 && UNDECIDED.test(text)) return 'undecided'
  if (status === 503) return text === 'ooo: server deadline reached' ? 'deadline' : 'overloaded'
  if (status >= 500) return text.startsWith(DAMAGED) ? 'corrupt_record' : 'storage_failed'
  return CODE_OF_TEXT.find(([prefix]) => text.startsWith(prefix))?.[1] ?? 'invalid_message'
}

/** `fetch` of Node hides what happened in the cause. */
function failureText(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined
  const detail = cause instanceof Error ? cause.message || cause.name : ''
  return detail === '' ? errorText(error) : `${errorText(error)} (${detail})`
}

function describe(request: RestRequest): string {
  return `${request.method} /${request.key}`
}

function pause(
  options: ResolvedClientOptions,
  delayMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      stopTimer()
      reject(signal?.reason)
    }
    const stopTimer = options.time.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
    if (signal?.aborted === true) onAbort()
  })
}

function noop(): void {}
