/**
 * What replication does to the store, as plans: merge records of a peer, note which of ours a
 * leader has acknowledged, owe a leader everything.
 */

import type { StoredRecord } from '../core/entry.ts'
import { compareRecords } from '../core/merge.ts'
import type { PlanContext, Planned, Planner } from './operations.ts'
import type { SequencedRow } from './rows.ts'
import type { Slot } from './state.ts'

export interface MergeOptions {
  /** Id of the peer that sent the records, carried on the commit. */
  readonly source: string
  /** The leader the records come from; undefined when a follower pushed them. */
  readonly leader?: string
  /** Meta rows (such as the cursor) to write in the same batch. */
  readonly meta?: ReadonlyMap<string, string>
}

/** `applied`: the record won; `equal`: it was here already; `superseded`: ours won. */
export type MergeOutcome = 'applied' | 'equal' | 'superseded'

interface MergePlan {
  readonly slots: { record: StoredRecord; owedTo: string | undefined }[]
  /** By key, since one batch may name a key twice. */
  readonly debts: Map<string, Slot>
}

export function planMerge(
  records: readonly StoredRecord[],
  options: MergeOptions,
): Planner<MergeOutcome[]> {
  return {
    reads: () => ({ keys: records.map(({ key }) => key) }),
    plan: (context) => mergeAll(context, records, options),
  }
}

function mergeAll(
  context: PlanContext,
  records: readonly StoredRecord[],
  options: MergeOptions,
): Planned<MergeOutcome[]> {
  const plan: MergePlan = { slots: [], debts: new Map() }
  const winners = new Map<string, StoredRecord>()
  const result = records.map((record) => mergeOne(context, options, plan, winners, record))
  // A key that won in this batch carries its own debt.
  for (const { record } of plan.slots) plan.debts.delete(record.key)
  return {
    plan: {
      slots: plan.slots,
      debts: [...plan.debts.values()],
      source: options.source,
      ...(options.meta === undefined ? {} : { meta: options.meta }),
    },
    result,
  }
}

function mergeOne(
  context: PlanContext,
  options: MergeOptions,
  plan: MergePlan,
  winners: Map<string, StoredRecord>,
  record: StoredRecord,
): MergeOutcome {
  const slot = context.slot(record.key)
  const current = winners.get(record.key) ?? slot?.record
  const leader = context.leaderOf(record.key)
  const fromLeader = leader !== undefined && leader === options.leader
  const order = current === undefined ? -1 : compareRecords(current, record)
  if (order < 0) {
    winners.set(record.key, record)
    plan.slots.push({ record, owedTo: fromLeader ? undefined : leader })
    return 'applied'
  }
  if (fromLeader && slot !== undefined) {
    // The leader has what we have: no debt. It has less than we have: it is owed ours.
    plan.debts.set(record.key, { ...slot, owedTo: order === 0 ? undefined : leader })
  }
  return order === 0 ? 'equal' : 'superseded'
}

/** A row of the outbox that was sent to a leader. */
export interface SentRow {
  readonly seq: number
  readonly key: string
}

/** Clears the debt of records that are still the ones that were sent. */
export function planAcknowledge(
  leader: string,
  sent: readonly SentRow[],
  meta: ReadonlyMap<string, string>,
): Planner<void> {
  return {
    reads: () => ({ keys: sent.map(({ key }) => key) }),
    plan(context) {
      const debts: Slot[] = []
      for (const { seq, key } of sent) {
        const slot = context.slot(key)
        if (slot?.seq === seq && slot.owedTo === leader) debts.push({ ...slot, owedTo: undefined })
      }
      return { plan: { slots: [], debts, meta }, result: undefined }
    },
  }
}

/**
 * Owes `leader` the given rows, unless they changed since (a change carries its own debt). Results
 * in the number of rows that were not owed before.
 */
export function planRefill(leader: string, rows: readonly SequencedRow[]): Planner<number> {
  return {
    reads: () => ({ keys: rows.map(({ record }) => record.key) }),
    plan(context) {
      const debts: Slot[] = []
      for (const { record, seq } of rows) {
        const slot = context.slot(record.key)
        if (slot?.seq === seq && slot.owedTo !== leader) debts.push({ ...slot, owedTo: leader })
      }
      return { plan: { slots: [], debts }, result: debts.length }
    },
  }
}
