/**
 * Deleting entries that a leader has deleted and forgotten, owing nobody. The tombstone has the
 * entry's own stamp and origin: at equal stamps a delete wins, so it beats this very entry on every
 * node and nothing that was written later. Subscribers and followers hear of it as of any delete.
 */
import { type Tombstone, versionOf } from '../../core/data/entry.ts'
import type { SequencedRow } from '../format/rows.ts'
import type { Planner } from '../planning/planner.ts'

/** Drops the given entries unless they changed since or are pending. @returns how many were dropped. */
export function planExpireUnknown(source: string, rows: readonly SequencedRow[]): Planner<number> {
  return {
    reads: () => ({ keys: rows.map(({ record }) => record.key) }),
    plan(context) {
      const keyStates: { record: Tombstone; pendingFor: undefined }[] = []
      for (const { record, seq } of rows) {
        const keyState = context.keyState(record.key)
        if (keyState?.seq !== seq || keyState.pendingFor !== undefined) continue
        if (keyState.record.kind !== 'entry') continue
        const { key, origin } = keyState.record
        const deleted = versionOf(keyState.record)
        keyStates.push({
          record: { kind: 'tombstone', key, deleted, origin },
          pendingFor: undefined,
        })
      }
      return { plan: { keyStates, source }, result: keyStates.length }
    },
  }
}
