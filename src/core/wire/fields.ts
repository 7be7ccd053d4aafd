/** Reading the fields of stream messages: each check names the field and shows what it found. */
import { LATEST_STAMP } from '../data/clock.ts'
import { isIdentifier } from '../data/origin.ts'
import { StateError } from '../errors.ts'
import { globExcess, isValidKey } from '../keys/key.ts'

/** A place in one node's change log. */
export interface LogPosition {
  /** Id of the life of the log in which the place was learnt. */
  readonly epoch: string
  /** Everything up to and including this seq. */
  readonly seq: number
}

/** A message before its fields are known to be right. */
export type Fields = Readonly<Record<string, unknown>>

/** @throws StateError `invalid_message` unless the text is a JSON object. */
export function parseFields(text: string): Fields {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new StateError('invalid_message', 'stream: a message is not JSON', { cause })
  }
  if (typeof value !== 'object' || value === null) throw invalid('message', value)
  return value as Fields
}

/** A list of at most `limit` items. @throws StateError `invalid_message`, as every function below. */
export function list(fields: Fields, name: string, limit: number): unknown[] {
  const value = fields[name]
  if (!Array.isArray(value)) throw invalid(name, value)
  if (value.length > limit) {
    throw new StateError(
      'invalid_message',
      `stream: ${value.length} ${name}, the limit is ${limit}`,
    )
  }
  return value
}

/** A whole number from 0. */
export function integer(fields: Fields, name: string): number {
  const value = fields[name]
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw invalid(name, value)
  return value as number
}

/** A text of at most `limit` UTF-16 units. */
export function string(fields: Fields, name: string, limit: number): string {
  const value = fields[name]
  if (typeof value !== 'string' || value.length > limit) throw invalid(name, value)
  return value
}

/** Nanoseconds as integer text. */
export function stamp(value: unknown, name: string): bigint {
  if (typeof value !== 'string' || !/^\d{1,19}$/.test(value)) throw invalid(name, value)
  const ns = BigInt(value)
  if (ns > LATEST_STAMP) throw invalid(name, value)
  return ns
}

/** An id of a node or an epoch. */
export function identifier(value: unknown, name: string): string {
  if (!isIdentifier(value)) throw invalid(name, value)
  return value
}

/** A key or glob. */
export function scope(value: unknown): string {
  if (typeof value !== 'string' || !isValidKey(value) || globExcess(value) !== undefined) {
    throw invalid('scopes', value)
  }
  return value
}

/** A place in a log, or null. */
export function position(fields: Fields, name: string): LogPosition | null {
  const value = fields[name]
  if (value === null) return null
  if (typeof value !== 'object') throw invalid(name, value)
  const place = value as Fields
  return { epoch: identifier(place.epoch, `${name}.epoch`), seq: integer(place, 'seq') }
}

/** What is thrown for a field with a wrong value. */
export function invalid(name: string, value: unknown): StateError {
  const shown = String(typeof value === 'object' ? JSON.stringify(value) : value).slice(0, 80)
  return new StateError('invalid_message', `stream: field "${name}" has the wrong value ${shown}`)
}
