/**
 * Giving records a new place at the end of the change log, for a follower that has passed them there
 * and does not have them any more: it holds what they win against, so it has to hear of them again.
 */
import type { StoredRecord } from '../core/entry.ts'
import type { Planner } from './operations.ts'
import type { SequencedRow } from './rows.ts'

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
      const slots: { record: StoredRecord; pendingFor: string | undefined }[] = []
      for (const key of new Set(keys)) {
        const slot = context.slot(key)
        if (slot === undefined || !isMissing(slot)) continue
        // A record of its own: the very same one would not be written with its new place.
        slots.push({ record: { ...slot.record }, pendingFor: slot.pendingFor })
      }
      const plan = slots.length === 0 ? undefined : { slots, silent: true }
      return { plan, result: slots.length }
    },
  }
}
