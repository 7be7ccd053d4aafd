/** A delete that nobody on this node is told about. */
import { atOnce, type Steps } from '../../core/steps.ts'
import {
  type DeleteResult,
  type PlanContext,
  type Planned,
  type Planner,
  planDelete,
  planned,
  type WriteOptions,
} from '../planning/operations.ts'

/** As `planDelete`; the commit is marked silent, which the listeners of a store heed. */
export function planSilentDelete(keyOrGlob: string, options?: WriteOptions): Planner<DeleteResult> {
  const planner = planDelete(keyOrGlob, options)
  return {
    ...planner,
    plan: (context) => atOnce(steps(context)),
    steps,
  }

  function* steps(context: PlanContext): Steps<Planned<DeleteResult>> {
    const { plan, result } = yield* planned(planner, context)
    return { plan: plan === undefined ? undefined : { ...plan, silent: true }, result }
  }
}
