/**
 * Which of two records of one key wins, the same on every node. A record that a mark of the key covers
 * (see `marks.ts`) loses to one that none covers. Otherwise the later version wins; at equal versions
 * a delete beats a set; then the greater origin (bytewise).
 *
 * With the marks of both sides known this is a total order on distinct changes, so merging is
 * commutative and idempotent, and in whatever order nodes exchange what they hold, they end equal.
 */
import type { StoredRecord } from './entry.ts'
import { marksOf, nameOf, versionOf, withMarks } from './entry.ts'
import { isCovered, unionMarks } from './marks.ts'

/** Negative when `a` loses to `b`, positive when it wins, 0 when they are the same change. Without marks. */
export function compareRecords(a: StoredRecord, b: StoredRecord): number {
  const versionA = versionOf(a)
  const versionB = versionOf(b)
  if (versionA !== versionB) return versionA < versionB ? -1 : 1
  if (a.kind !== b.kind) return a.kind === 'tombstone' ? 1 : -1
  if (a.origin !== b.origin) return a.origin < b.origin ? -1 : 1
  return 0
}

/** As `compareRecords`, under the marks of their key. */
export function compareUnder(marks: string | undefined, a: StoredRecord, b: StoredRecord): number {
  if (marks !== undefined) {
    const isOld = (record: StoredRecord): boolean => isCovered(marks, nameOf(record))
    const [coversA, coversB] = [isOld(a), isOld(b)]
    if (coversA !== coversB) return coversA ? -1 : 1
  }
  return compareRecords(a, b)
}

export interface Merged {
  /** The winner, with the marks of both; the very record given where nothing is added to it. */
  readonly record: StoredRecord
  /** Negative when what came wins, positive when it loses, 0 when it is the same change. */
  readonly order: number
}

/** What a key holds once a record came to where `current` is. */
export function mergeRecords(current: StoredRecord | undefined, came: StoredRecord): Merged {
  if (current === undefined) return { record: came, order: -1 }
  const marks = unionMarks(marksOf(current), marksOf(came))
  const order = compareUnder(marks, current, came)
  return { record: withMarks(order < 0 ? came : current, marks), order }
}
