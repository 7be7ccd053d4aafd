/** The project's errors for what LevelDB and the file system say, by what a person can do about them. */

import { errorText, StateError } from '../../../src/core/errors.ts'

/** The error of a call on a storage that is not open. */
export function notOpen(operation: string): StateError {
  return new StateError('not_open', `storage: not open: cannot ${operation}`)
}

/**
 * The error of a failed `operation` on `directory`: `in_use`, `storage_full`, `corrupt_record`,
 * `not_open` for a scan or read that `close` overtook, else `storage_failed`. The engine wraps the
 * true reason in a `cause` and tells most reasons apart only by their text.
 */
export function levelFailure(operation: string, directory: string, error: unknown): StateError {
  if (error instanceof StateError) return error
  const reason = error instanceof Error && error.cause !== undefined ? error.cause : error
  const codes = [codeOf(error), codeOf(reason)]
  if (codes.includes('LEVEL_LOCKED')) {
    const text = `storage: folder "${directory}" is in use by another process`
    return new StateError('in_use', text, { cause: error })
  }
  if (operation !== 'open' && codes.some((code) => code?.endsWith('_NOT_OPEN'))) {
    return new StateError('not_open', `storage: closed during a ${operation}`, { cause: error })
  }
  const known = codes.find((code) => code !== undefined && code in REASON_OF_CODE)
  const [code, hint] =
    REASON_OF_CODE[known ?? ''] ??
    REASONS.find(([pattern]) => pattern.test(errorText(reason)))?.[1] ??
    OTHER
  const text = `storage: cannot ${operation} folder "${directory}": ${hint}${errorText(reason)}`
  // Paths are for operators.
  const clientText = `storage: cannot ${operation}: ${hint.replace(/: $/, '') || code}`
  return new StateError(code, text, { cause: error, clientText })
}

/** The stable code of a thrown thing, such as `ENOSPC`. */
export function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

type Reason = readonly [code: 'storage_failed' | 'storage_full' | 'corrupt_record', hint: string]

const OTHER: Reason = ['storage_failed', '']
const IN_PLACE: Reason = ['storage_failed', 'a file is in its place: ']
const DENIED: Reason = ['storage_failed', 'permission denied: ']
const READ_ONLY: Reason = ['storage_failed', 'its file system is mounted read-only: ']
const NO_SPACE: Reason = ['storage_full', 'no space is left on its disk: ']
const QUOTA: Reason = ['storage_full', "the quota of the process's user is used up: "]
const FILE_LIMIT: Reason = ['storage_full', 'the limit on the size of a file is reached: ']
const DAMAGED: Reason = ['corrupt_record', 'the files are damaged: ']

const REASON_OF_CODE: Readonly<Record<string, Reason>> = {
  EEXIST: IN_PLACE,
  ENOTDIR: IN_PLACE,
  EACCES: DENIED,
  EPERM: DENIED,
  EROFS: READ_ONLY,
  ENOSPC: NO_SPACE,
  EDQUOT: QUOTA,
  EFBIG: FILE_LIMIT,
  LEVEL_CORRUPTION: DAMAGED,
}

/** What the engine's texts end with: the C library's words, in its default locale. */
const REASONS: readonly (readonly [pattern: RegExp, reason: Reason])[] = [
  [/No space left on device/, NO_SPACE],
  [/Disk quota exceeded/, QUOTA],
  [/File too large/, FILE_LIMIT],
  [/Read-only file system/, READ_ONLY],
  [/Permission denied|Operation not permitted/, DENIED],
  [/Not a directory/, IN_PLACE],
  [/corrupted|^Corruption/, DAMAGED],
  // A sorted file that has gone, or is shorter than the engine once wrote it.
  [/\.(ldb|sst): (No such file or directory|Invalid argument)/, DAMAGED],
]
