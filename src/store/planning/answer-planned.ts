/** Whether a decision stands that was made by the node that led the key when it was planned. */
import { StateError } from '../../core/errors.ts'
import type { PlanContext, Planner } from '../planning/planner.ts'

/**
 * Answers an operation that is durable. One that decided a condition is refused when this node may not have
 * led the key to the end: another node may have decided it too.
 */
export function answerPlanned<Result>(
  { decides = [] }: Planner<Result>,
  leaderOf: PlanContext['leaderOf'],
  answer: { result: Result; resolve(result: Result): void; reject(error: unknown): void },
): void {
  const key = decides.find((decided) => leaderOf(decided) !== undefined)
  if (key === undefined) {
    answer.resolve(answer.result)
    return
  }
  answer.reject(
    new StateError(
      'unreachable',
      `storage: key "${key}" was written, but meanwhile this node may have ceased to lead it; another one may have decided it otherwise`,
    ),
  )
}
