/** What the table API takes: every argument is checked here before it gets near a statement. */
import { StateError } from '../src/core/errors.ts'
import { compactJson } from '../src/core/json.ts'
import { assertKey, hasGlob } from '../src/core/key.ts'
import { MAX_TABLE_KEY, MAX_TABLE_NAME } from './table-schema.ts'

/** Greatest stamp a caller may give: the year 2116. Beyond it the clock of a table could not go on. */
export const MAX_STAMP: bigint = 2n ** 62n

/** @throws StateError `invalid_option` unless `name` is a letter, then letters, digits and `_`. */
export function assertTableName(name: string): void {
  if (/^[a-zA-Z][a-zA-Z0-9_]*$/.test(name) && name.length <= MAX_TABLE_NAME) return
  throw new StateError(
    'invalid_option',
    `postgres: table name ${quoted(name)} is not a letter followed by letters, digits and _, at most ${MAX_TABLE_NAME} characters`,
  )
}

/** @throws StateError `invalid_key` or `invalid_glob` unless `key` is a key a table can hold. */
export function assertTableKey(key: string): void {
  assertTablePath(key)
  if (hasGlob(key)) {
    throw new StateError('invalid_glob', 'storage: glob pattern not allowed for this operation')
  }
}

/** @throws StateError `invalid_key` unless `path` is a key or glob, short enough for a table. */
export function assertTablePath(path: string): void {
  assertKey(path)
  if (path.length <= MAX_TABLE_KEY) return
  throw new StateError(
    'invalid_key',
    `postgres: key of ${path.length} characters; a table takes at most ${MAX_TABLE_KEY}`,
  )
}

/** The compact text of `json`. @throws StateError `invalid_json`. */
export function tableValue(json: string): string {
  if (json === '') throw new StateError('invalid_json', 'storage: invalid data (empty)')
  // Half a surrogate pair has no UTF-8: the database would hold another text than was given.
  if (/\p{Surrogate}/u.test(json)) {
    throw new StateError('invalid_json', 'invalid JSON: half a surrogate pair, write it as \\uXXXX')
  }
  return compactJson(json)
}

/** @throws StateError `invalid_option` unless `stamp` is nanoseconds in [0, 2^62]. */
export function assertStamp(name: string, stamp: bigint): void {
  if (typeof stamp === 'bigint' && stamp >= 0n && stamp <= MAX_STAMP) return
  throw new StateError(
    'invalid_option',
    `postgres: ${name} is ${String(stamp)}; it must be a bigint from 0 to ${MAX_STAMP}`,
  )
}

/** @throws StateError `invalid_option` unless `value` is a whole number in [least, most]. */
export function assertCount(name: string, value: number, least: number, most: number): void {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return
  throw new StateError(
    'invalid_option',
    `postgres: ${name} is ${value}; it must be a whole number from ${least} to ${most}`,
  )
}

/** @throws StateError `invalid_option` unless `origin` may stand in a record: 1 to 100 characters, no white space. */
export function assertOrigin(origin: string): void {
  if (/^[!-~]{1,100}$/.test(origin)) return
  throw new StateError(
    'invalid_option',
    `postgres: origin ${quoted(origin)} is not 1 to 100 visible ASCII characters`,
  )
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text)
}
