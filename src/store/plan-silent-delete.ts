/** A delete that nobody on this node is told about. */
import { type DeleteResult, type Planner, planDelete, type WriteOptions } from './operations.ts'

/** As `planDelete`; the commit is marked silent, which the listeners of a store heed. */
export function planSilentDelete(keyOrGlob: string, options?: WriteOptions): Planner<DeleteResult> {
  const planner = planDelete(keyOrGlob, options)
  return {
    reads: (now) => planner.reads(now),
    plan(context) {
      const { plan, result } = planner.plan(context)
      return { plan: plan === undefined ? undefined : { ...plan, silent: true }, result }
    },
  }
}
