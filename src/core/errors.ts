/**
 * The one error type of the project, and the table that says what each code means on HTTP and
 * WebSocket. Close codes follow Centrifuge's idea: 4000–4499 invite a reconnect, 4500–4999 do not.
 */

/** What an error code means to a peer. */
export interface ErrorMeaning {
  /** HTTP status of an answer that carries the error. */
  readonly status: number
  /** WebSocket close code when the error ends a connection. */
  readonly closeCode: number
  /** True when the same request may succeed later without a change. */
  readonly retryable: boolean
}

/** Every code. A code is stable: programs switch on it. */
export type ErrorCode =
  | 'invalid_key'
  | 'invalid_glob'
  | 'invalid_json'
  | 'invalid_option'
  | 'invalid_message'
  | 'out_of_order'
  | 'merge_conflict'
  | 'not_routed'
  | 'filter_refused'
  | 'unauthorized'
  | 'forbidden'
  | 'not_found'
  | 'precondition_failed'
  | 'not_leader'
  | 'undecided'
  | 'locked'
  | 'lock_lost'
  | 'position_lost'
  | 'too_large'
  | 'deadline'
  | 'ack_timeout'
  | 'overloaded'
  | 'closing'
  | 'slow_consumer'
  | 'clock_drift'
  | 'duplicate_node'
  | 'unreachable'
  | 'not_open'
  | 'unprotected'
  | 'in_use'
  | 'storage_failed'
  | 'storage_full'
  | 'corrupt_record'
  | 'format_unsupported'

/** What each code means. */
export const ERROR_TABLE: Readonly<Record<ErrorCode, ErrorMeaning>> = {
  invalid_key: { status: 400, closeCode: 4500, retryable: false },
  invalid_glob: { status: 400, closeCode: 4500, retryable: false },
  invalid_json: { status: 400, closeCode: 4500, retryable: false },
  invalid_option: { status: 400, closeCode: 4500, retryable: false },
  invalid_message: { status: 400, closeCode: 4500, retryable: false },
  /** A message of a known kind that may not come now. */
  out_of_order: { status: 400, closeCode: 4514, retryable: false },
  merge_conflict: { status: 400, closeCode: 4500, retryable: false },
  filter_refused: { status: 400, closeCode: 4500, retryable: false },
  not_routed: { status: 400, closeCode: 4500, retryable: false },
  unauthorized: { status: 401, closeCode: 4501, retryable: false },
  forbidden: { status: 403, closeCode: 4503, retryable: false },
  not_found: { status: 404, closeCode: 4504, retryable: false },
  precondition_failed: { status: 412, closeCode: 4512, retryable: false },
  /** Another node leads the key: the same request may succeed there (RFC 9110, 421). */
  not_leader: { status: 421, closeCode: 4521, retryable: false },
  /** This node leads the key, and may not decide about it yet. */
  undecided: { status: 503, closeCode: 4021, retryable: true },
  /** Somebody else holds the key's lock (RFC 4918, 423). */
  locked: { status: 423, closeCode: 4009, retryable: true },
  /** The lock named is not held, or held no longer. */
  lock_lost: { status: 409, closeCode: 4510, retryable: false },
  /** A place in the change log that this node does not know, or knows no longer. */
  position_lost: { status: 410, closeCode: 4511, retryable: false },
  too_large: { status: 413, closeCode: 4513, retryable: false },
  deadline: { status: 503, closeCode: 4000, retryable: true },
  /** A write is made, and fewer nodes than asked for have confirmed it in time. Not to be made again. */
  ack_timeout: { status: 504, closeCode: 4514, retryable: false },
  overloaded: { status: 503, closeCode: 4001, retryable: true },
  closing: { status: 503, closeCode: 4002, retryable: true },
  slow_consumer: { status: 503, closeCode: 4003, retryable: true },
  clock_drift: { status: 409, closeCode: 4004, retryable: true },
  /** A node runs from a copy of another one's data; see `cluster/incarnation/line.ts`. */
  duplicate_node: { status: 409, closeCode: 4509, retryable: false },
  unreachable: { status: 502, closeCode: 4005, retryable: true },
  not_open: { status: 503, closeCode: 4006, retryable: true },
  /** Other machines would reach a node that nothing guards. */
  unprotected: { status: 500, closeCode: 4500, retryable: false },
  in_use: { status: 500, closeCode: 4007, retryable: true },
  storage_failed: { status: 500, closeCode: 4008, retryable: true },
  storage_full: { status: 507, closeCode: 4020, retryable: true },
  corrupt_record: { status: 500, closeCode: 4508, retryable: false },
  format_unsupported: { status: 500, closeCode: 4509, retryable: false },
}

export interface StateErrorOptions {
  readonly cause?: unknown
  /** What clients are told in place of the message, which names what is for operators only. */
  readonly clientText?: string
  /** The storage is out of reach, or takes no writes for now: 503. */
  readonly isAway?: boolean
}

/** An error with a stable `code`; `message` says what was refused, its value and the limit. */
export class StateError extends Error {
  readonly code: ErrorCode
  /** What clients are told. */
  readonly clientText: string
  readonly isAway: boolean

  constructor(code: ErrorCode, message: string, options: StateErrorOptions = {}) {
    const { cause, clientText = message, isAway = false } = options
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'StateError'
    this.code = code
    this.clientText = clientText
    this.isAway = isAway
  }

  get meaning(): ErrorMeaning {
    const meaning = ERROR_TABLE[this.code]
    return this.isAway ? { ...meaning, status: 503 } : meaning
  }
}

/** True when `error` is a StateError, of that code when one is given. */
export function isStateError(error: unknown, code?: ErrorCode): error is StateError {
  return error instanceof StateError && (code === undefined || error.code === code)
}

/** The text of anything that was thrown. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/**
 * The text of anything that was thrown, as clients may see it: what the system and drivers say names hosts,
 * ports and files, which are for the log only.
 */
export function clientTextOf(error: unknown): string {
  if (isStateError(error)) return error.clientText
  // Several addresses were tried: the error of all has no text of its own.
  if (error instanceof AggregateError && error.errors.length > 0) {
    return [...new Set(error.errors.map(clientTextOf))].join(', ')
  }
  const { code, syscall } = (error instanceof Error ? error : {}) as NodeJS.ErrnoException
  if (typeof code === 'string' && typeof syscall === 'string') return `${syscall} ${code}`
  // The one text of TLS that names hosts.
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `the certificate is of another host (${code})`
  return withoutAddresses(errorText(error))
}

/** A text of a driver, with each host that has a port, and each URL, left out. */
export function withoutAddresses(text: string): string {
  return text.replace(HOST_AND_PORT, '…')
}

/** As in `MOVED 7 10.0.0.3:6379`, `[::1]:80` and `redis://cache.internal:6379/2`. */
const HOST_AND_PORT =
  /(?:[a-z][a-z0-9+.-]*:\/\/\S+)|(?:\[[\da-f:.]+\]|[\w-]+(?:\.[\w-]+)*):\d{1,5}\b(?:\/\S*)?/gi
