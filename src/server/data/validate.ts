/** The first stage of a request: keys and globs that can be used so. */
import { StateError } from '../../core/errors.ts'
import { assertKey, assertWritableGlob, hasGlob, isGlob } from '../../core/keys/key.ts'
import type { RequestedWrite } from './request.ts'

/** What of a write can be judged before its value is there. */
export type WriteHead = Pick<RequestedWrite, 'op' | 'key'> &
  Pick<Exclude<RequestedWrite, { op: 'push' }>, 'precondition'>

/** @throws StateError `invalid_key`, `invalid_glob`, `not_found` for a merge into a glob. */
export function validateWrite({ op, key, precondition }: WriteHead): void {
  switch (op) {
    case 'set':
    case 'update':
      assertWritePath(key)
      if (hasGlob(key)) throw globNotAllowed()
      return
    case 'push':
      assertWritePath(key)
      if (!isGlob(key)) throw globRequired()
      if (precondition !== undefined) throw unconditional(key)
      return
    case 'patch':
      assertKey(key)
      if (isGlob(key)) {
        throw invalidGlob('ooo: glob pattern not allowed for this operation')
      }
      if (hasGlob(key)) throw new StateError('not_found', 'ooo: not found')
      return
    case 'delete':
      assertKey(key)
      if (hasGlob(key) && precondition !== undefined) throw unconditional(key)
  }
}

/** @throws StateError `invalid_key`, `invalid_glob` unless it is a plain key. */
export function assertPlainKey(key: string): void {
  assertKey(key)
  if (hasGlob(key)) throw globNotAllowed()
}

/** @throws StateError `invalid_key`, `invalid_glob` unless it is a glob. */
export function assertGlob(glob: string): void {
  assertKey(glob)
  if (!hasGlob(glob)) throw globRequired()
}

/** Unless `key` is plain, or a glob to push to. */
function assertWritePath(key: string): void {
  assertKey(key)
  assertWritableGlob(key)
  if (hasGlob(key) && !isGlob(key)) {
    throw invalidGlob('key: glob pattern must be a whole path segment')
  }
}

/** A glob has no version. */
function unconditional(glob: string): StateError {
  return invalidGlob(`ooo: a condition needs a plain key, and ${glob} is a glob`)
}

function globNotAllowed(): StateError {
  return invalidGlob('storage: glob pattern not allowed for this operation')
}

function globRequired(): StateError {
  return invalidGlob('storage: glob pattern required for this operation')
}

function invalidGlob(text: string): StateError {
  return new StateError('invalid_glob', text)
}
