/**
 * Finds out which of a follower's pushed changes were made without knowledge of what its leader holds.
 *
 * A pushed change and the leader's record of its key are concurrent when
 * - the push is new: a repetition was judged the first time (see `merged-versions.ts`), and before that
 *   nobody beyond the follower can have seen the change, so the leader's record does not know of it. A
 *   follower that may have pushed a change to a storage that was lost since does not say what its maker
 *   had seen. Of a storage of before there were marks, that can not be told;
 * - its maker had not seen the leader's record (see `core/data/causal-context.ts`).
 *
 * One of the two is kept as the state, the other in the conflict log. Changes whose maker's causal context is not
 * known, such as those that are sent to a leader whose storage was lost, are never called concurrent.
 */

import { contextCovers } from '../../core/data/causal-context.ts'
import type { StoredRecord } from '../../core/data/entry.ts'
import { marksOf, nameOf } from '../../core/data/entry.ts'
import { isCovered, unionMarks } from '../../core/data/marks.ts'
import { parseOrigin } from '../../core/data/origin.ts'
import type { BatchOperation } from '../../core/ports/storage-adapter.ts'
import { MergedVersions, mergedVersionsRow } from '../format/merged-versions.ts'
import type { PlanContext } from '../planning/planner.ts'
import type { ConflictLog } from './conflict-log.ts'

/** Where pushed records come from. */
export interface PushOrigin {
  /** Id of the follower that pushed them. */
  readonly follower: string
  /** Per record, in order: what its maker had seen; undefined when not known. */
  readonly causalContexts: readonly (string | undefined)[]
  /** Per record, in order: whether it lost at the follower, so that it is noted and not taken. */
  readonly lost: readonly boolean[]
  /** Names of changes that come after these, though they were made before (see `core/data/overtaken.ts`). Default: none. */
  readonly overtaken?: readonly string[]
  /** Takes what lost. */
  readonly conflicts: ConflictLog
}

/** The verdict on one push in the making. */
export interface ConflictDetector {
  /** Takes the `index`th record, what was there before it, and whether it took that place. In order. */
  observe(
    record: StoredRecord,
    index: number,
    current: StoredRecord | undefined,
    hasWon: boolean,
  ): void
  /** Rows of the conflict log. */
  readonly rows: readonly BatchOperation[]
  /** What is remembered of this push, as a meta row. */
  merged(): [name: string, value: string]
}

export function detectConflicts(context: PlanContext, origin: PushOrigin): ConflictDetector {
  const { follower, causalContexts, conflicts } = origin
  const name = mergedVersionsRow(follower)
  const merged = new MergedVersions(follower, context.meta(name), birthOf(context, conflicts))
  merged.overtake(origin.overtaken ?? [])
  const rows: BatchOperation[] = []
  return {
    rows,
    observe(record, index, current, hasWon) {
      const causalContext = causalContexts[index]
      if (isConcurrent(merged, record, causalContext, current)) {
        // What the merge decided, which knows of more than the two records.
        const [loser, winner] = hasWon ? [current, record] : [record, current]
        if (!isSameValue(loser, winner)) rows.push(conflicts.note(loser, winner, context.now()))
      }
      merged.raise(record)
    },
    merged: () => [name, merged.encode()],
  }
}

/** Since when pushes are remembered, nanoseconds: 0 for always, and where a wrong clock put that into the future. */
function birthOf(context: PlanContext, { nowNs }: ConflictLog): bigint {
  const born = BigInt(context.meta('born') ?? '0')
  return born <= nowNs ? born : 0n
}

function isConcurrent(
  merged: MergedVersions,
  record: StoredRecord,
  causalContext: string | undefined,
  current: StoredRecord | undefined,
): current is StoredRecord {
  if (current === undefined || causalContext === undefined) return false
  // One node never writes a key without having seen what it wrote before, under whatever stamp.
  if (parseOrigin(current.origin).lineage === parseOrigin(record.origin).lineage) return false
  if (isReplacedByRestamp(record, current) || merged.covers(record)) return false
  return !contextCovers(causalContext, current)
}

/** An older copy of what was given another stamp is no write of its own. */
function isReplacedByRestamp(record: StoredRecord, current: StoredRecord): boolean {
  const known = unionMarks(marksOf(current), marksOf(record))
  return isCovered(known, nameOf(record))
}

/** Nothing is lost where both sides had it. */
function isSameValue(a: StoredRecord, b: StoredRecord): boolean {
  if (a.kind === 'tombstone' || b.kind === 'tombstone') return a.kind === b.kind
  return a.data === b.data
}
