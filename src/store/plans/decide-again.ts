/**
 * Deciding conflicts again whose winner turned out to be older than its stamp: it was given a lesser one,
 * and what it had won against may be later than what the key holds now.
 */
import { marksOf, nameOf, type StoredRecord, versionOf } from '../../core/data/entry.ts'
import { isCovered } from '../../core/data/marks.ts'
import { compareRecords, mergeRecords } from '../../core/data/merge.ts'
import type { Conflict, ConflictLog } from '../conflicts/conflict-log.ts'
import type { PlanContext, Planner } from '../planning/planner.ts'

/**
 * Gives the key what lost, where it wins now, and notes what loses instead. Local readers, followers and
 * leaders hear of it as of any change.
 * @param conflicts of one key.
 * @param latest greatest stamp that is taken, nanoseconds.
 * @returns whether the key holds another value now.
 */
export function planDecideAgain(
  key: string,
  conflicts: readonly Conflict[],
  log: ConflictLog,
  latest: bigint,
): Planner<boolean> {
  return {
    reads: () => ({ keys: [key] }),
    plan(context) {
      const current = context.keyState(key)?.record
      const marks = marksOf(current)
      const wronged = conflicts.filter(({ loser, winner }) => {
        const isLate = versionOf(loser) > latest
        return !isLate && isCovered(marks, winner) && !isCovered(marks, nameOf(loser))
      })
      const best = wronged.reduce<Conflict | undefined>(
        (a, b) => (a !== undefined && compareRecords(a.loser, b.loser) > 0 ? a : b),
        undefined,
      )
      if (best === undefined || current === undefined) return { plan: undefined, result: false }
      return decide(context, current, best, log)
    },
  }
}

function decide(
  context: PlanContext,
  current: StoredRecord,
  conflict: Conflict,
  log: ConflictLog,
): ReturnType<Planner<boolean>['plan']> {
  const { record, order } = mergeRecords(current, conflict.loser)
  if (order >= 0) return { plan: undefined, result: false }
  const rows = [log.dropOf(conflict), log.note(current, record, context.now())]
  const keyStates = [{ record, pendingFor: context.leaderOf(record.key) }]
  // As from elsewhere: it is no write of a client of this node.
  return { plan: { keyStates, rows, source: 'conflicts' }, result: true }
}
