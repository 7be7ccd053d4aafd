/** A delete that nobody on this node is told about. */
import { atOnce, type Steps } from '../../core/steps.ts'
import { type PlanContext, type Planned, type Planner, planned } from '../planning/planner.ts'
import type { Conditional, Written } from '../types/write.ts'
import { planDelete } from './write.ts'

/** As a delete; the commit is marked silent, which the listeners of a store heed. */
export function planSilentDelete(key: string, { precondition }: Conditional): Planner<Written> {
  const planner = planDelete({ op: 'delete', key, precondition })
  return {
    ...planner,
    plan: (context) => atOnce(steps(context)),
    steps,
  }

  function* steps(context: PlanContext): Steps<Planned<Written>> {
    const { plan, result } = yield* planned(planner, context)
    return { plan: plan === undefined ? undefined : { ...plan, silent: true }, result }
  }
}
