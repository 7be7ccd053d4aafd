/**
 * Which of two records of one key wins, the same on every node: later version first; at equal
 * versions a delete beats a set; then the greater origin id (bytewise). This is a total order on
 * distinct changes, so merging is commutative, associative and idempotent.
 */
import type { StoredRecord } from './entry.ts'
import { versionOf } from './entry.ts'

/** Negative when `a` loses to `b`, positive when it wins, 0 when they are the same change. */
export function compareRecords(a: StoredRecord, b: StoredRecord): number {
  const versionA = versionOf(a)
  const versionB = versionOf(b)
  if (versionA !== versionB) return versionA < versionB ? -1 : 1
  if (a.kind !== b.kind) return a.kind === 'tombstone' ? 1 : -1
  if (a.origin !== b.origin) return a.origin < b.origin ? -1 : 1
  return 0
}
