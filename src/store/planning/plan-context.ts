/** What operations are given to plan with: a draft, and what the store knows beside it. */
import type { HybridClock } from '../../core/data/clock.ts'
import { excessOf, flawOf } from '../../core/records/check.ts'
import type { WritingIdentity } from '../format/identity.ts'
import type { PlanContext } from '../planning/planner.ts'
import { rowExcess, type StoreLimits } from '../types/store-limits.ts'
import type { DecisionTermsOf, LeaderOf } from '../types/store-options.ts'
import type { Draft } from './draft.ts'
import type { RefusedRecords } from './refused-records.ts'

export interface ContextParts extends StoreLimits {
  readonly clock: HybridClock
  readonly identity: WritingIdentity
  readonly leaderOf: LeaderOf
  readonly decisionTerms: DecisionTermsOf
  readonly meta: ReadonlyMap<string, string>
  readonly refused: RefusedRecords
}

export function planContext(parts: ContextParts, draft: Draft): PlanContext {
  const { clock, identity, leaderOf, decisionTerms, meta, limits, maxKeyBytes, refused } = parts
  return {
    keyState: (key) => draft.keyState(key),
    matching: (glob) => draft.matching(glob),
    now: (above) => clock.now(above),
    identity,
    leaderOf,
    decisionTerms,
    assertStorable: (record) => draft.assertStorable(record),
    refuses(record, current, anySize, from) {
      const excess = anySize ? undefined : excessOf(record, current, limits)
      const flaw = flawOf(record) ?? excess ?? rowExcess(record.key, current, maxKeyBytes)
      if (flaw !== undefined) refused.note(record, flaw, from)
      return flaw !== undefined
    },
    meta: (name) => draft.meta.get(name) ?? meta.get(name),
  }
}
