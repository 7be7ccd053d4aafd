/** Deletes by choice: the entries of a glob are looked at and thinned out in one step. */
import type { Entry } from '../core/entry.ts'
import type { DeleteResult, PlanContext, Planned, Planner } from './operations.ts'
import { localDelete } from './operations.ts'

/**
 * `choose` gets the entries of `glob` in any order and returns those to delete. Of these, the ones that
 * another node leads are left to it: thinning out does not merge, so one node alone does it.
 */
export function planSweep(
  glob: string,
  choose: (entries: readonly Entry[]) => readonly Entry[],
): Planner<DeleteResult> {
  return {
    reads: () => ({ globs: [glob] }),
    plan: (context) => thinOut(context, glob, choose),
  }
}

function thinOut(
  context: PlanContext,
  glob: string,
  choose: (entries: readonly Entry[]) => readonly Entry[],
): Planned<DeleteResult> {
  const entries: Entry[] = []
  for (const key of context.matching(glob)) {
    const record = context.slot(key)?.record
    if (record?.kind === 'entry') entries.push(record)
  }
  const chosen = choose(entries).filter(({ key }) => context.leaderOf(key) === undefined)
  if (chosen.length === 0) return { plan: undefined, result: { deleted: 0 } }
  const stamp = context.now()
  const slots = chosen.map(({ key }) => localDelete(context, key, stamp))
  return { plan: { slots }, result: { deleted: chosen.length } }
}
