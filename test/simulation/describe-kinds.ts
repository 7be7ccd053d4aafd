/** Plays many seeds of some kinds of histories, one test for each kind. */
import { describe, expect, test } from 'vitest'
import { type Kind, simulate } from './simulation.ts'

/** Of each kind; `npm run simulate -- --seeds N` plays more. */
const SEEDS = 120
const TIMEOUT_MS = 240_000

/** Declares the tests. */
export function describeKinds(title: string, kinds: readonly Kind[]): void {
  describe(title, () => {
    test.each(kinds)('$name', { timeout: TIMEOUT_MS }, async (kind) => {
      for (let seed = 1; seed <= SEEDS; seed++) await simulate(kind, seed)
      expect(kind.plans.length).toBeGreaterThan(1)
    })
  })
}

/** In which test file a kind is played: each in one, so that files share the work. */
export function fileOf({ name }: Kind): 'star' | 'tree' | 'elections' | 'roles' {
  if (name.startsWith('elections')) return 'elections'
  if (name.startsWith('star')) return 'star'
  return name.startsWith('tree') ? 'tree' : 'roles'
}
