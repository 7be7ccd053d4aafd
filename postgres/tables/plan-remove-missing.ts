/** Deleting on a node what its table has deleted and forgotten about. */
import { type StoredRecord, versionOf } from '../../src/core/data/entry.ts'
import type { Planner } from '../../src/store/planning/planner.ts'

/**
 * Deletes the entries among `records` that are still the ones given and pending for nobody. The delete
 * has the entry's own version, over which it wins, so that any later write of the key stays.
 * The result says how many were deleted.
 */
export function planRemoveMissing(
  leader: string,
  records: readonly StoredRecord[],
): Planner<number> {
  return {
    reads: () => ({ keys: records.map(({ key }) => key) }),
    plan(context) {
      const keyStates = records.flatMap((record) => {
        const keyState = context.keyState(record.key)
        const current = keyState?.record
        if (keyState?.pendingFor !== undefined || current?.kind !== 'entry') return []
        if (versionOf(current) !== versionOf(record)) return []
        const { key, origin } = current
        const tombstone: StoredRecord = {
          kind: 'tombstone',
          key,
          deleted: versionOf(current),
          origin,
        }
        return [{ record: tombstone, pendingFor: undefined }]
      })
      return { plan: { keyStates, source: leader }, result: keyStates.length }
    },
  }
}
