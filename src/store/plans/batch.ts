/**
 * Several writes as one plan: each sees what those before it did, and a failure of any undoes all.
 * A key that is written twice takes one change, to its last state, so that listeners hear of the
 * batch as one step.
 */
import { StateError } from '../../core/errors.ts'
import { matchKey } from '../../core/keys/key.ts'
import { atOnce, type Steps } from '../../core/steps.ts'
import { assertLeads, deciding } from '../planning/deciding.ts'
import type { Plan } from '../planning/draft.ts'
import { type PlanContext, type Planned, type Planner, planned } from '../planning/planner.ts'
import type { KeyState, Reads } from '../state/state.ts'

import { locate, located } from '../types/located.ts'
import type { Write, Written } from '../types/write.ts'
import { planWrite } from './write.ts'

/** Keys that the globs of one batch may match or be compared with, together, after the first glob. */
export const MAX_GLOB_KEYS = 1_000_000

type PlannedKeyState = Plan['keyStates'][number]

/** @throws StateError as `Store.batch`, here or when planned. */
export function planBatch(writes: readonly Write[]): Planner<Written[]> {
  const planners = writes.map((write, i) => located(i, () => planWrite(write)))
  const isConditional = writes.some(
    (write) => write.op !== 'push' && write.precondition !== undefined,
  )
  const steps = (context: PlanContext): Steps<Planned<Written[]>> => {
    const keys = writes.map(({ key }) => key)
    return planAll(isConditional ? deciding(context, keys) : context, planners, isConditional)
  }
  return {
    decides: planners.flatMap(({ decides = [] }) => decides),
    bytes: planners.reduce((sum, { bytes = 0 }) => sum + bytes, 0),
    reads: (now) => joined(planners.map((planner) => planner.reads(now))),
    plan: (context) => atOnce(steps(context)),
    steps,
  }
}

function joined(reads: readonly Reads[]): Reads {
  return {
    keys: reads.flatMap(({ keys }) => keys ?? []),
    globs: reads.flatMap(({ globs }) => globs ?? []),
  }
}

function* planAll(
  context: PlanContext,
  planners: readonly Planner<Written>[],
  isConditional: boolean,
): Steps<Planned<Written[]>> {
  const written = new Map<string, PlannedKeyState>()
  const layered = overlay(context, written)
  const results: Written[] = []
  for (const [i, planner] of planners.entries()) {
    yield
    try {
      const { plan, result } = yield* planned(planner, layered)
      for (const keyState of plan?.keyStates ?? []) {
        yield
        // All of a conditional batch hangs on its conditions, so all of it must be led here.
        if (isConditional) assertLeads(context, keyState.record.key)
        context.assertStorable(keyState.record)
        written.set(keyState.record.key, keyState)
      }
      results.push(result)
    } catch (error) {
      throw locate(i, error)
    }
  }
  return { plan: { keyStates: [...written.values()], isChecked: true }, result: results }
}

/** The state as the operations so far leave it. @throws StateError `too_large` when globs look at too much. */
function overlay(context: PlanContext, written: ReadonlyMap<string, PlannedKeyState>): PlanContext {
  let lookedAt = 0
  return {
    keyState(key) {
      const planned = written.get(key)
      return planned === undefined ? context.keyState(key) : plannedState(planned)
    },
    matching(glob) {
      if (lookedAt > MAX_GLOB_KEYS) {
        throw new StateError(
          'too_large',
          `storage: the globs of the batch concern ${lookedAt} keys, the limit is ${MAX_GLOB_KEYS}`,
        )
      }
      const keys = new Set(context.matching(glob))
      lookedAt += keys.size + written.size
      for (const key of written.keys()) if (matchKey(glob, key)) keys.add(key)
      return [...keys]
    },
    now: (above) => context.now(above),
    identity: context.identity,
    leaderOf: (key) => context.leaderOf(key),
    decisionTerms: (key) => context.decisionTerms(key),
    assertStorable: (record) => context.assertStorable(record),
    refuses: (...asked) => context.refuses(...asked),
    meta: (name) => context.meta(name),
  }
}

/** Its seq is given when the batch is taken; planners of writes do not look at it. */
function plannedState({ record, pendingFor }: PlannedKeyState): KeyState {
  return { record, pendingFor, seq: 0 }
}
