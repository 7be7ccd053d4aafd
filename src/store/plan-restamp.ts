/**
 * New stamps for records that a leader refused because they lie too far in the future: a wrong clock
 * made them. The records keep their data, origin and order; they count as made when the leader's
 * time became known. Local readers and subscribers see them as ordinary changes.
 */
import { type StoredRecord, versionOf } from '../core/entry.ts'
import type { Planner } from './operations.ts'
import type { SentRow } from './replication.ts'
import type { Slot } from './state.ts'

/**
 * Gives the rows that `leader` is still owed stamps right after `base`, a time of the leader that
 * exceeds everything it holds. Equal stamps stay equal, smaller ones smaller. `restamped` is called
 * in the operation's turn with the greatest new stamp.
 * @returns how many records have new stamps.
 */
export function planRestamp(
  leader: string,
  rows: readonly SentRow[],
  base: bigint,
  restamped: (last: bigint) => void,
): Planner<number> {
  return {
    reads: () => ({ keys: rows.map(({ key }) => key) }),
    plan(context) {
      const found: Slot[] = []
      for (const { key, seq } of rows) {
        const slot = context.slot(key)
        if (slot?.seq === seq && slot.owedTo === leader) found.push(slot)
      }
      const stamps = newStamps(found, base)
      restamped(base + BigInt(stamps.size))
      found.sort((a, b) => (versionOf(a.record) < versionOf(b.record) ? -1 : 1))
      const slots = found.map(({ record }) => ({ record: moved(record, stamps), owedTo: leader }))
      // A change that lost in the meantime has no place among the leader's stamps any more.
      const lost = { settled: rows.map(({ seq }) => seq) }
      return { plan: { slots, lost }, result: slots.length }
    },
  }
}

/** By old stamp, those beyond `base`, in order. */
function newStamps(slots: readonly Slot[], base: bigint): ReadonlyMap<bigint, bigint> {
  const beyond = new Set<bigint>()
  for (const stamp of slots.flatMap(({ record }) => stampsOf(record))) {
    if (stamp > base) beyond.add(stamp)
  }
  const sorted = [...beyond].sort((a, b) => (a < b ? -1 : 1))
  return new Map(sorted.map((stamp, i) => [stamp, base + BigInt(i + 1)]))
}

function stampsOf(record: StoredRecord): bigint[] {
  return record.kind === 'entry' ? [record.created, record.updated] : [record.deleted]
}

function moved(record: StoredRecord, stamps: ReadonlyMap<bigint, bigint>): StoredRecord {
  const at = (stamp: bigint): bigint => stamps.get(stamp) ?? stamp
  if (record.kind === 'tombstone') return { ...record, deleted: at(record.deleted) }
  return { ...record, created: at(record.created), updated: at(record.updated) }
}
