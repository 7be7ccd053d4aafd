/**
 * The project's errors for those of the PostgreSQL driver. SQLSTATE codes: PostgreSQL documentation,
 * appendix A. Messages of the server never hold the password; those of the driver are passed on only
 * where they come from the network.
 */
import { type ErrorCode, errorText, isStateError, StateError } from '../../src/core/errors.ts'

/** Codes of the server after which trying again can not help without a change by people. */
const PERMANENT = new Set(['28P01', '28000', '3D000', '3F000', '42501', '0A000'])

const CODES: Readonly<Record<string, ErrorCode>> = {
  '53100': 'storage_full',
  '54000': 'too_large',
  // Text that the database can not hold: no other row is at fault.
  '22021': 'invalid_json',
  '22P05': 'invalid_json',
}

/** Codes with which the server ends a session; its word for how bad it is may be translated. */
const FATAL = /^(08|57P0|25P0[34])/

/** The error as `StateError`: `storage_failed` unless the server's code says more. `cause` is kept. */
export function postgresFailure(error: unknown, doing: string, target: string): StateError {
  if (isStateError(error)) return error
  const state = sqlState(error)
  const code = (state === undefined ? undefined : CODES[state]) ?? 'storage_failed'
  const reason = state === undefined ? networkText(error) : `${errorText(error)} (${state})`
  // The server's own words name databases, users and indexes; the network's name hosts and ports.
  const named = state ?? codeOf(error) ?? 'connection lost'
  return new StateError(code, `postgres: cannot ${doing} ${target}: ${reason}`, {
    cause: error,
    clientText: `postgres: cannot ${doing} the database (${named})`,
    isAway: code === 'storage_failed' && (isConnectionLost(error) || isUnwilling(error)),
  })
}

/** Codes of a server that is there and takes no writes, or nobody, for now. */
const UNWILLING = /^(25006|53300|55P03|57014|28|3D000)/

function isUnwilling(error: unknown): boolean {
  return UNWILLING.test(sqlState(error) ?? '')
}

/** The five characters of SQLSTATE when the server sent the error, else undefined. */
export function sqlState(error: unknown): string | undefined {
  const code = codeOf(error)
  return code !== undefined && /^[0-9A-Z]{5}$/.test(code) && severityOf(error) !== undefined
    ? code
    : undefined
}

/**
 * Whether the connection ended with or before this error, so that it is open what became of a
 * statement under way. An error of the statement alone says that it left nothing behind.
 */
export function isConnectionLost(error: unknown): boolean {
  if (isStateError(error)) return error.cause !== undefined && isConnectionLost(error.cause)
  const state = sqlState(error)
  if (state === undefined) return true
  const severity = severityOf(error)
  return severity === 'FATAL' || severity === 'PANIC' || FATAL.test(state)
}

/** Whether another attempt to connect may succeed without a change of settings. */
export function isWorthRetrying(error: unknown): boolean {
  const state = sqlState(error)
  if (state !== undefined) return !PERMANENT.has(state)
  // Certificates and refused TLS do not come right by themselves; the network and its names do.
  return !/certificate|SSL|TLS|password must be|SASL/i.test(networkText(error))
}

/** Whether a transaction lost against another one and may be run again. */
export function isConflict(error: unknown): boolean {
  const state = sqlState(error)
  return state === '40001' || state === '40P01'
}

function networkText(error: unknown): string {
  // Several addresses were tried: the driver wraps them in an error without a message of its own.
  if (error instanceof AggregateError && error.errors.length > 0) {
    return [...new Set(error.errors.map(errorText))].join(', ')
  }
  return errorText(error) || (codeOf(error) ?? 'unknown reason')
}

function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

function severityOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('severity' in error)) return undefined
  return typeof error.severity === 'string' ? error.severity : undefined
}
