/**
 * Deleting entries that a leader has deleted and forgotten, owing nobody. The tombstone has the
 * entry's own stamp and origin: at equal stamps a delete wins, so it beats this very entry on every
 * node and nothing that was written later. Subscribers and followers hear of it as of any delete.
 */
import { type Tombstone, versionOf } from '../core/entry.ts'
import type { Planner } from './operations.ts'
import type { SequencedRow } from './rows.ts'

/** Drops the given entries unless they changed since or are pending. @returns how many were dropped. */
export function planExpireUnknown(source: string, rows: readonly SequencedRow[]): Planner<number> {
  return {
    reads: () => ({ keys: rows.map(({ record }) => record.key) }),
    plan(context) {
      const slots: { record: Tombstone; pendingFor: undefined }[] = []
      for (const { record, seq } of rows) {
        const slot = context.slot(record.key)
        if (slot?.seq !== seq || slot.pendingFor !== undefined) continue
        if (slot.record.kind !== 'entry') continue
        const { key, origin } = slot.record
        const deleted = versionOf(slot.record)
        slots.push({ record: { kind: 'tombstone', key, deleted, origin }, pendingFor: undefined })
      }
      return { plan: { slots, source }, result: slots.length }
    },
  }
}
