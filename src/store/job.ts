/** An operation as the queue takes it: planned in its turn, and answered once it is durable. */
import type { Durability } from '../storage-adapter.ts'
import { answerPlanned } from './answer-planned.ts'
import type { Draft } from './draft.ts'
import { type PlanContext, type Planner, planned } from './operations.ts'
import type { Job } from './plan-jobs.ts'

export interface JobParts<Result> {
  readonly planner: Planner<Result>
  readonly durability: Durability | undefined
  readonly now: () => bigint
  readonly context: (draft: Draft) => PlanContext
  /** As of when it is answered. */
  readonly leaderOf: () => PlanContext['leaderOf']
  /** Called right before it is answered. */
  readonly settled: () => void
  readonly resolve: (result: Result) => void
  readonly reject: (error: unknown) => void
}

export function jobOf<Result>(parts: JobParts<Result>): Job {
  const { planner, durability, now, settled, resolve, reject } = parts
  return {
    bytes: planner.bytes ?? 0,
    isPatient: planner.isPatient === true,
    durability,
    reads: () => planner.reads(now),
    *plan(draft) {
      const { plan, result } = yield* planned(planner, parts.context(draft))
      const settle = (): void => {
        settled()
        answerPlanned(planner, parts.leaderOf(), { result, resolve, reject })
      }
      return { plan, settle }
    },
    reject(error) {
      settled()
      reject(error)
    },
  }
}
