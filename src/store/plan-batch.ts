/**
 * Several writes as one plan: each sees what those before it did, and a failure of any undoes all.
 * A key that is written twice takes one change, to its last state, so that listeners hear of the
 * batch as one step.
 */
import { versionOf } from '../core/entry.ts'
import { isStateError, StateError } from '../core/errors.ts'
import { matchKey } from '../core/key.ts'
import type { Plan } from './draft.ts'
import {
  assertLeads,
  type BatchItem,
  type BatchResult,
  deciding,
  type PlanContext,
  type Planned,
  type Planner,
  planDelete,
  planPush,
  planSet,
  planUpdate,
} from './operations.ts'
import type { Reads, Slot } from './state.ts'

type PlannedSlot = Plan['slots'][number]

/** @throws StateError as `Store.batch`, here or when planned. */
export function planBatch(items: readonly BatchItem[]): Planner<BatchResult[]> {
  const planners = items.map((item, i) => located(i, () => plannerOf(item)))
  const isConditional = items.some(
    (item) => 'precondition' in item && item.precondition !== undefined,
  )
  return {
    decides: planners.flatMap(({ decides = [] }) => decides),
    bytes: planners.reduce((sum, { bytes = 0 }) => sum + bytes, 0),
    reads: (now) => joined(planners.map((planner) => planner.reads(now))),
    plan: (context) => {
      const keys = items.map(({ key }) => key)
      return planAll(isConditional ? deciding(context, keys) : context, planners, isConditional)
    },
  }
}

function joined(reads: readonly Reads[]): Reads {
  return {
    keys: reads.flatMap(({ keys }) => keys ?? []),
    globs: reads.flatMap(({ globs }) => globs ?? []),
  }
}

function planAll(
  context: PlanContext,
  planners: readonly Planner<BatchResult>[],
  isConditional: boolean,
): Planned<BatchResult[]> {
  const written = new Map<string, PlannedSlot>()
  const layered = overlay(context, written)
  const results = planners.map((planner, i) =>
    located(i, () => {
      const { plan, result } = planner.plan(layered)
      for (const slot of plan?.slots ?? []) {
        // All of a conditional batch hangs on its conditions, so all of it must be led here.
        if (isConditional) assertLeads(context, slot.record.key)
        context.assertStorable(slot.record)
        written.set(slot.record.key, slot)
      }
      return result
    }),
  )
  return { plan: { slots: [...written.values()] }, result: results }
}

/** The state as the operations so far leave it. */
function overlay(context: PlanContext, written: ReadonlyMap<string, PlannedSlot>): PlanContext {
  return {
    slot(key) {
      const planned = written.get(key)
      return planned === undefined ? context.slot(key) : pendingSlot(planned)
    },
    matching(glob) {
      const keys = new Set(context.matching(glob))
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
function pendingSlot({ record, owedTo }: PlannedSlot): Slot {
  return { record, owedTo, seq: 0 }
}

function plannerOf(item: BatchItem): Planner<BatchResult> {
  switch (item.op) {
    case 'set':
      return resultOf(planSet(item.key, item.json, item), ({ key }) => ({ key, deleted: 0 }))
    case 'push':
      return resultOf(planPush(item.key, item.json), ({ key }) => ({ key, deleted: 0 }))
    case 'update':
      return resultOf(planUpdate(item.key, item.change, item), ({ key }) => ({ key, deleted: 0 }))
    case 'delete':
      return resultOf(planDelete(item.key, item), ({ deleted, ends = [] }) => ({
        key: item.key,
        deleted,
        ...(ends.length === 0 ? {} : { ends }),
      }))
  }
}

function resultOf<Result>(
  planner: Planner<Result>,
  describe: (result: Result) => Omit<BatchResult, 'version' | 'origin'>,
): Planner<BatchResult> {
  const { decides, bytes = 0 } = planner
  return {
    ...(decides === undefined ? {} : { decides }),
    bytes,
    reads: (now) => planner.reads(now),
    plan(context) {
      const { plan, result } = planner.plan(context)
      const record = plan?.slots[0]?.record
      const version = record === undefined ? undefined : versionOf(record)
      return { plan, result: { ...describe(result), version, origin: record?.origin } }
    },
  }
}

/** Says of an error which operation it was. */
export function located<T>(index: number, run: () => T): T {
  try {
    return run()
  } catch (error) {
    throw locate(index, error)
  }
}

/** The error with the operation's position in its text; the code stays. */
export function locate(index: number, error: unknown): unknown {
  if (!isStateError(error)) return error
  const place = `operations[${index}]: `
  const { code, message, isAway } = error
  const clientText = `${place}${error.clientText}`
  return new StateError(code, `${place}${message}`, { cause: error, clientText, isAway })
}
