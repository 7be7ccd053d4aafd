/** Deletes by choice: the entries of a glob are looked at and thinned out in one step. */
import type { Entry } from '../../core/data/entry.ts'
import { isStateError } from '../../core/errors.ts'
import { deciding } from '../planning/deciding.ts'
import type { PlanContext, Planned, Planner } from '../planning/planner.ts'
import { localDelete } from './write.ts'

/**
 * `choose` gets the entries of `glob` in any order and returns those to delete. Of these, the ones that
 * another node leads are left to it: thinning out does not merge, so one node alone does it. Nothing is deleted
 * while this node leads and does not decide: the next sweep finds it again.
 */
export function planSweep(
  glob: string,
  choose: (entries: readonly Entry[]) => readonly Entry[],
): Planner<void> {
  return {
    reads: () => ({ globs: [glob] }),
    plan: (context) => {
      try {
        return thinOut(context, glob, choose)
      } catch (error) {
        if (!isStateError(error, 'undecided')) throw error
        return { plan: undefined, result: undefined }
      }
    },
  }
}

function thinOut(
  given: PlanContext,
  glob: string,
  choose: (entries: readonly Entry[]) => readonly Entry[],
): Planned<void> {
  const context = deciding(given, [glob])
  const entries: Entry[] = []
  for (const key of context.matching(glob)) {
    const record = context.keyState(key)?.record
    if (record?.kind === 'entry') entries.push(record)
  }
  const isLed = ({ key }: Entry): boolean =>
    context.leaderOf(key) === undefined && context.decisionTerms(key)?.refusal === undefined
  const chosen = choose(entries).filter(isLed)
  if (chosen.length === 0) return { plan: undefined, result: undefined }
  const stamp = context.now()
  const keyStates = chosen.map(({ key }) => localDelete(context, key, stamp))
  return { plan: { keyStates }, result: undefined }
}
