/**
 * Giving old tombstones a new place at the end of the change log, for a follower that has passed them
 * there and removed its own: it holds a record they win against, so it has to hear of them again.
 */
import type { Tombstone } from '../core/entry.ts'
import type { Planner } from './operations.ts'

/**
 * Takes up the tombstones under these keys again, unchanged and with the debts they have, unless they
 * are newer than the horizon of their key; entries are left as they are. Followers hear of them as of
 * any change, local subscribers do not. @returns how many there were.
 */
export function planTellAgain(
  keys: readonly string[],
  horizonOf: (key: string) => bigint,
): Planner<number> {
  return {
    reads: () => ({ keys }),
    plan(context) {
      const slots: { record: Tombstone; owedTo: string | undefined }[] = []
      for (const key of new Set(keys)) {
        const slot = context.slot(key)
        if (slot?.record.kind !== 'tombstone' || slot.record.deleted > horizonOf(key)) continue
        // A record of its own: the very same one would not be written with its new place.
        slots.push({ record: { ...slot.record }, owedTo: slot.owedTo })
      }
      const plan = slots.length === 0 ? undefined : { slots, silent: true }
      return { plan, result: slots.length }
    },
  }
}
