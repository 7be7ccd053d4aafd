/** An operation as it waits for its turn. */
import type { HybridClock } from '../core/clock.ts'
import type { Durability } from '../storage-adapter.ts'
import { answerPlanned } from './answer-planned.ts'
import type { CommitQueue } from './commit-queue.ts'
import type { Draft } from './draft.ts'
import { type PlanContext, type Planner, planned } from './operations.ts'
import type { Job } from './plan-jobs.ts'
import type { LeaderOf } from './store-options.ts'

export interface JobParts<Result> {
  readonly planner: Planner<Result>
  readonly durability: Durability | undefined
  readonly clock: HybridClock
  readonly queue: CommitQueue<Job>
  readonly leaderOf: LeaderOf
  readonly context: (draft: Draft) => PlanContext
  readonly resolve: (result: Result) => void
  readonly reject: (error: unknown) => void
}

export function jobOf<Result>(parts: JobParts<Result>): Job {
  const { planner, clock, queue, leaderOf, context, resolve, reject } = parts
  const job: Job = {
    bytes: planner.bytes ?? 0,
    isPatient: planner.isPatient === true,
    durability: parts.durability,
    reads: () => planner.reads(() => clock.now()),
    *plan(draft) {
      const { plan, result } = yield* planned(planner, context(draft))
      const settle = (): void => {
        queue.release(job)
        answerPlanned(planner, leaderOf, { result, resolve, reject })
      }
      return { plan, settle }
    },
    reject: (error) => {
      queue.release(job)
      reject(error)
    },
  }
  return job
}
