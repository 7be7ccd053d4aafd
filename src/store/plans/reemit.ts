/**
 * Giving records a new place at the end of the change log, for a follower that has passed them there
 * and does not have them any more: it holds what they win against, so it has to hear of them again.
 */
import type { StoredRecord } from '../../core/data/entry.ts'
import type { SequencedRow } from '../format/rows.ts'
import type { Planner } from '../planning/planner.ts'

/**
 * Takes up the records under these keys again that `isMissing` says so of, unchanged and with the
 * outbox entries they have. Followers hear of them as of any change, local subscribers do not.
 * @returns how many there were.
 */
export function planReemit(
  keys: readonly string[],
  isMissing: (row: SequencedRow) => boolean,
): Planner<number> {
  return {
    reads: () => ({ keys }),
    plan(context) {
      const keyStates: { record: StoredRecord; pendingFor: string | undefined }[] = []
      for (const key of new Set(keys)) {
        const keyState = context.keyState(key)
        if (keyState === undefined || !isMissing(keyState)) continue
        // A record of its own: the very same one would not be written with its new place.
        keyStates.push({ record: { ...keyState.record }, pendingFor: keyState.pendingFor })
      }
      const plan = keyStates.length === 0 ? undefined : { keyStates, silent: true }
      return { plan, result: keyStates.length }
    },
  }
}
