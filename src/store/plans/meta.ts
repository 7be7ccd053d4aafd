/** Small values kept beside the data; an empty one is removed. */
import type { Planner } from '../planning/planner.ts'

export function planMeta(meta: ReadonlyMap<string, string>): Planner<void> {
  return {
    reads: () => ({}),
    plan: () => ({ plan: { keyStates: [], meta }, result: undefined }),
  }
}
