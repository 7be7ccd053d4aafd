/** Planning the operations of one batch, one after another. */
import type { Durability } from '../storage-adapter.ts'
import type { Draft, Plan } from './draft.ts'
import type { Reads } from './state.ts'

/** An operation that waits for its turn. */
export interface Job {
  readonly durability: Durability | undefined
  /** What `plan` will look at; asked right before it. */
  readonly reads: () => Reads
  readonly plan: (draft: Draft) => { plan: Plan | undefined; settle: () => void }
  readonly reject: (error: unknown) => void
}

/** Characters of data after which a batch takes no more operations: others are to have their turn. */
const MAX_DATA = 1024 * 1024

export interface PlannedJobs {
  /** How many of the operations, from the first on, the draft has. */
  readonly count: number
  /** Whether they have so much data that other work is to have its turn between the steps of the batch. */
  readonly isLarge: boolean
  /**
   * Answers them all, to be called once the draft is durable: refusals wait as well, since an earlier
   * operation of the same draft may be their reason.
   */
  settle(): void
}

/** Adds operations to the draft, at least one. */
export function planJobs(jobs: readonly Job[], draft: Draft): PlannedJobs {
  const answers: (() => void)[] = []
  let data = 0
  for (const job of jobs) {
    if (data > MAX_DATA) break
    try {
      const { plan, settle } = job.plan(draft)
      draft.add(plan ?? { slots: [] })
      answers.push(settle)
      data += dataOf(plan)
    } catch (error) {
      answers.push(() => job.reject(error))
    }
  }
  return {
    count: answers.length,
    isLarge: data > MAX_DATA,
    settle: () => {
      for (const answer of answers) answer()
    },
  }
}

function dataOf(plan: Plan | undefined): number {
  let characters = 0
  for (const { record } of plan?.slots ?? []) {
    characters += record.key.length + (record.kind === 'entry' ? record.data.length : 0)
  }
  return characters
}
