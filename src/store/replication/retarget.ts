/** Another node leads: what is pending is pending for it from now on, without the store being opened again. */

import type { Planner } from '../planning/planner.ts'
import type { State } from '../state/state.ts'
import type { SupersededWrites } from '../state/superseded-writes.ts'
import type { LeaderOf } from '../types/store-options.ts'

export interface RetargetParts {
  /** Runs `work` while no batch is, and holds the next back until it is done. */
  readonly exclusively: <T>(work: () => Promise<T>) => Promise<T>
  readonly run: <Result>(planner: Planner<Result>) => Promise<Result>
  readonly leaderOf: LeaderOf
  readonly records: State
  readonly superseded: SupersededWrites
}

/**
 * Runs `change`, after which `leaderOf` answers otherwise, between two batches, and addresses what is
 * pending again, as opening the storage with the new `leaderOf` does. May be done again when it failed.
 * @throws StateError of the adapter.
 */
export async function retarget(parts: RetargetParts, change: () => void): Promise<void> {
  const { exclusively, run, leaderOf, records, superseded } = parts
  const stale = await exclusively(async () => {
    change()
    superseded.retarget(leaderOf)
    return records.retarget(leaderOf)
  })
  if (stale.length === 0) return
  const rows = stale.map((key) => ({ type: 'del', key }) as const)
  await run({
    reads: () => ({}),
    plan: () => ({ plan: { keyStates: [], rows }, result: undefined }),
  })
}
