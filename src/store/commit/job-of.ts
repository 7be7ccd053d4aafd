/** An operation as it waits for its turn. */
import type { HybridClock } from '../../core/data/clock.ts'
import type { Durability } from '../../core/ports/storage-adapter.ts'
import { answerPlanned } from '../planning/answer-planned.ts'
import type { Draft } from '../planning/draft.ts'
import { type PlanContext, type Planner, planned } from '../planning/planner.ts'
import type { LeaderOf } from '../types/store-options.ts'
import type { Job } from './plan-jobs.ts'
import type { CommitQueue } from './queue.ts'

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
