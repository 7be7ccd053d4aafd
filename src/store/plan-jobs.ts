/** Planning the operations of one batch, one after another. */
import type { Durability } from '../storage-adapter.ts'
import type { Draft, Plan } from './draft.ts'
import type { Reads, State, StateView } from './state.ts'

/** An operation that waits for its turn. */
export interface Job {
  readonly durability: Durability | undefined
  /** What `plan` will look at; asked right before it. */
  readonly reads: () => Reads
  readonly plan: (draft: Draft) => { plan: Plan | undefined; settle: () => void }
  readonly reject: (error: unknown) => void
}

/**
 * Adds every operation to the draft. Gives what answers them all, to be called once the draft is
 * durable: refusals wait as well, since an earlier operation of the same draft may be their reason.
 */
export function planJobs(jobs: readonly Job[], draft: Draft): () => void {
  const answers: (() => void)[] = []
  for (const job of jobs) {
    try {
      const { plan, settle } = job.plan(draft)
      draft.add(plan ?? { slots: [] })
      answers.push(settle)
    } catch (error) {
      answers.push(() => job.reject(error))
    }
  }
  return () => {
    for (const answer of answers) answer()
  }
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
