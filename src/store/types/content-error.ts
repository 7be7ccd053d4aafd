/** Telling what a storage refuses for what it was given from what fails for other reasons. */
import { type ErrorCode, isStateError, type StateError } from '../../core/errors.ts'

/** Codes with which a storage refuses what a row holds: others would go through. */
const OF_CONTENT: ReadonlySet<ErrorCode> = new Set(['too_large', 'invalid_key', 'invalid_json'])

/** Whether a batch failed for what one of its rows holds, so that the others may be written. */
export function isOfContent(error: unknown): error is StateError {
  return isStateError(error) && OF_CONTENT.has(error.code)
}

/** Runs `work` over each half of a list, the first half first. */
export async function inHalves<T>(
  items: readonly T[],
  work: (half: readonly T[]) => Promise<void>,
): Promise<void> {
  const middle = Math.ceil(items.length / 2)
  await work(items.slice(0, middle))
  await work(items.slice(middle))
}
