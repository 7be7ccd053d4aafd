/** What the table API takes: every argument is checked here before it gets near a statement. */
import { LATEST_STAMP } from '../../src/core/data/clock.ts'
import { isIdentifier } from '../../src/core/data/origin.ts'
import { StateError } from '../../src/core/errors.ts'
import { DEFAULT_JSON_BOUNDS, jsonExcess } from '../../src/core/json/bounds.ts'
import { compactJson } from '../../src/core/json/json.ts'
import { assertKey, hasGlob, keyExcess } from '../../src/core/keys/key.ts'
import { MAX_TABLE_NAME } from './schema.ts'

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
  const excess = keyExcess(path)
  if (excess !== undefined) throw new StateError('invalid_key', `postgres: the key ${excess}`)
}

/** The compact text of `json`, a value to write. @throws StateError `invalid_json`, `too_large`. */
export function writtenValue(json: string, maxValueBytes: number): string {
  const value = tableValue(json)
  const excess = jsonExcess(value, DEFAULT_JSON_BOUNDS)
  if (excess !== undefined) throw excess
  const bytes = value.length * 3 <= maxValueBytes ? 0 : Buffer.byteLength(value)
  if (bytes <= maxValueBytes) return value
  throw new StateError(
    'too_large',
    `postgres: value of ${bytes} bytes, the limit is ${maxValueBytes}`,
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

/** @throws StateError `invalid_option` unless `stamp` is nanoseconds from 0 to the year 2200. */
export function assertStamp(name: string, stamp: bigint): void {
  if (typeof stamp === 'bigint' && stamp >= 0n && stamp <= LATEST_STAMP) return
  throw new StateError(
    'invalid_option',
    `postgres: ${name} is ${String(stamp)}; it must be a bigint from 0 to ${LATEST_STAMP}`,
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

/** @throws StateError `invalid_option` unless `origin` may stand in a record: see `core/data/origin.ts`. */
export function assertOrigin(origin: string): void {
  if (isIdentifier(origin)) return
  throw new StateError(
    'invalid_option',
    `postgres: origin ${quoted(origin)} is not 1 to 64 letters, digits, "_" and "-"`,
  )
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text)
}
