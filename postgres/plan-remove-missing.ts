/** Deleting on a node what its table has deleted and forgotten about. */
import { type StoredRecord, versionOf } from '../src/core/entry.ts'
import type { Planner } from '../src/store/operations.ts'

/**
 * Deletes the entries among `records` that are still the ones given and owed to nobody. The delete
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
      const slots = records.flatMap((record) => {
        const slot = context.slot(record.key)
        const current = slot?.record
        if (slot?.pendingFor !== undefined || current?.kind !== 'entry') return []
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
      return { plan: { slots, source: leader }, result: slots.length }
    },
  }
}
