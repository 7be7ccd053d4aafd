/** Decisions about what does not merge with other writes: who may make them, and under which stamps. */
import { StateError } from '../../core/errors.ts'
import { UNKNOWN_LEADER, undecidedWithoutLeader } from '../../core/unknown-leader.ts'
import type { PlanContext } from './planner.ts'

/**
 * Refuses what does not merge where this node may not decide it.
 * @throws StateError `not_leader`; `undecided` while it leads and does not decide yet, or nobody leads.
 */
export function assertLeads(context: PlanContext, key: string): void {
  const leader = context.leaderOf(key)
  if (leader === undefined) {
    const refusal = context.decisionTerms(key)?.refusal
    if (refusal === undefined) return
    throw new StateError('undecided', `storage: key "${key}" is not decided yet: ${refusal}`)
  }
  if (leader === UNKNOWN_LEADER)
    throw undecidedWithoutLeader(`storage: key "${key}" is not decided now`)
  throw new StateError(
    'not_leader',
    `storage: key "${key}" is led by ${leader}; conditional writes are made only there`,
  )
}

/**
 * The context in which a decision about these keys is planned: stamps are above what earlier leaders
 * decided, and below what the next one begins with.
 * @throws StateError when it gives a stamp: `undecided` when there is none left.
 */
export function deciding(context: PlanContext, keys: readonly string[]): PlanContext {
  const all = keys.flatMap((key) => context.decisionTerms(key) ?? [])
  const terms = all.flatMap((one) => (one.refusal === undefined ? [one] : []))
  if (terms.length === 0) return context
  return {
    ...context,
    now(above = 0n) {
      const least = terms.reduce((most, one) => (one.above > most ? one.above : most), above)
      const stamp = context.now(least)
      if (terms.every(({ below }) => stamp < below)) return stamp
      throw new StateError(
        'undecided',
        `storage: key "${keys[0]}" is not decided now: stamp ${stamp} is not below the ceiling of the leader's lease`,
      )
    },
  }
}
