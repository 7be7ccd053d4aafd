/** Planning the operations of one batch, one after another. */

import type { Durability } from '../../core/ports/storage-adapter.ts'
import type { Steps } from '../../core/steps.ts'
import type { Draft, Plan } from '../planning/draft.ts'
import type { Reads, State, StateView } from '../state/state.ts'
import type { Sized } from './queue.ts'

/** An operation that waits for its turn. */
export interface Job extends Sized {
  readonly durability: Durability | undefined
  /** What `plan` will look at; asked right before it. */
  readonly reads: () => Reads
  /** In steps, between which nothing else is committed. */
  readonly plan: (draft: Draft) => Steps<{ plan: Plan | undefined; settle: () => void }>
  readonly reject: (error: unknown) => void
}

export interface PlannedJobs {
  /** How many of the operations, from the first on, the draft has. */
  readonly taken: number
  /**
   * Answers them all, to be called once the draft is durable: refusals wait as well, since an earlier
   * operation of the same draft may be their reason.
   */
  settle(): void
}

/** Adds operations to the draft: all, or as many as `maxBytes` of data allow, at least one. */
export function* planJobs(
  jobs: readonly Job[],
  draft: Draft,
  maxBytes: number,
): Steps<PlannedJobs> {
  const answers: (() => void)[] = []
  for (const job of jobs) {
    if (answers.length > 0 && draft.dataLength >= maxBytes) break
    try {
      const { plan, settle } = yield* job.plan(draft)
      yield* draft.adding(plan ?? { keyStates: [] })
      answers.push(settle)
    } catch (error) {
      answers.push(() => job.reject(error))
    }
  }
  const settle = (): void => {
    for (const answer of answers) answer()
  }
  return { taken: answers.length, settle }
}

/** What the jobs look at; undefined when it could not be read, and all were rejected. */
export async function viewFor(
  jobs: readonly Job[],
  records: State,
): Promise<StateView | undefined> {
  try {
    return await records.view(jobs.map((job) => job.reads()))
  } catch (error) {
    for (const job of jobs) job.reject(error)
    return undefined
  }
}
