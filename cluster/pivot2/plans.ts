/**
 * What 2.0 peers do to the store, as plans: decided against the state at the moment of the commit.
 * The rule throughout: a key that a peer lacks is deleted only where the peer's bookkeeping of
 * deletes proves it; else it is owed to that peer.
 */
import { type Entry, marksOf, type StoredRecord, versionOf } from '../../src/core/entry.ts'
import { hasGlob } from '../../src/core/key.ts'
import { heldByRecords } from '../../src/store/held-bytes.ts'
import type { PlanContext, Planned, Planner } from '../../src/store/operations.ts'
import type { SequencedRow } from '../../src/store/rows.ts'
import type { Slot } from '../../src/store/state.ts'
import { PIVOT_ORIGIN } from './wire.ts'

/** What a plan did with what it was given. */
export interface PullResult {
  readonly applied: number
  /** Keys that the leader is now owed and was not before. */
  readonly owed: number
}

interface Work {
  readonly slots: { record: StoredRecord; owedTo: string | undefined }[]
  readonly debts: Map<string, Slot>
}

/**
 * Takes entries of the 2.0 leader: the later version wins, and the leader is owed what is later here.
 * @param met hears of each with what was here under its key
 */
export function planTake(
  leader: string,
  entries: readonly Entry[],
  met: (ours: Slot | undefined, theirs: Entry) => void,
): Planner<PullResult> {
  return {
    bytes: heldByRecords(entries),
    isPatient: true,
    reads: () => ({ keys: entries.map(({ key }) => key) }),
    plan(context) {
      const work: Work = { slots: [], debts: new Map() }
      // One list may name a key twice; the last one counts.
      const last = new Map(entries.map((entry) => [entry.key, entry]))
      let owed = 0
      for (const entry of last.values()) {
        const ours = context.slot(entry.key)
        if (context.refuses(entry, ours?.record, true)) continue
        met(ours, entry)
        if (context.leaderOf(entry.key) === leader) owed += takeOne(context, work, leader, entry)
      }
      return planned(work, leader, owed)
    },
  }
}

/** @returns 1 when the leader is newly owed the key. */
function takeOne(context: PlanContext, work: Work, leader: string, entry: Entry): number {
  const slot = context.slot(entry.key)
  const order = slot === undefined ? -1 : compare(versionOf(slot.record), versionOf(entry))
  if (slot === undefined || order < 0) {
    work.slots.push({ record: entry, owedTo: undefined })
    return 0
  }
  const { record } = slot
  if (order === 0 && record.kind === 'entry') {
    if (record.data === entry.data) {
      if (slot.owedTo === leader) work.debts.set(entry.key, { ...slot, owedTo: undefined })
      return 0
    }
    // Two values with one stamp: what this node still owes is pushed, else the leader decides. The
    // origin makes it another change for those who have it from here.
    if (slot.owedTo === leader) return 0
    const origin = `${PIVOT_ORIGIN}-${context.now().toString(36)}`
    work.slots.push({ record: { ...entry, origin }, owedTo: undefined })
    return 0
  }
  if (slot.owedTo === leader) return 0
  work.debts.set(entry.key, { ...slot, owedTo: leader })
  return 1
}

/**
 * Settles keys that the 2.0 leader lacks: a delete owed to it is done; an entry that it had is
 * deleted when `deletedAt` gives the stamp of its delete there; any other entry is owed to it.
 */
export function planAbsent(
  leader: string,
  keys: readonly string[],
  deletedAt: (ours: Slot) => bigint | undefined,
): Planner<PullResult> {
  return {
    reads: () => ({ keys }),
    plan(context) {
      const work: Work = { slots: [], debts: new Map() }
      let owed = 0
      for (const key of keys) {
        const slot = context.slot(key)
        if (slot === undefined || context.leaderOf(key) !== leader) continue
        if (slot.record.kind === 'tombstone') {
          if (slot.owedTo === leader) work.debts.set(key, { ...slot, owedTo: undefined })
          continue
        }
        // What is in the outbox was written here, and goes there.
        if (slot.owedTo === leader) continue
        const deleted = deletedAt(slot)
        if (deleted !== undefined) {
          work.slots.push({ record: tombstone(key, deleted), owedTo: undefined })
        } else {
          work.debts.set(key, { ...slot, owedTo: leader })
          owed++
        }
      }
      return planned(work, leader, owed)
    },
  }
}

/**
 * Deletes entries that a 2.0 node has deleted, where they are still the ones that were judged.
 * @returns how many.
 */
export function planGone(
  rows: readonly SequencedRow[],
  deletedAt: (ours: Slot) => bigint | undefined,
  source: string,
): Planner<number> {
  return {
    reads: () => ({ keys: rows.map(({ record }) => record.key) }),
    plan(context) {
      const slots = rows.flatMap(({ record: { key }, seq }) => {
        const slot = context.slot(key)
        if (slot?.seq !== seq || slot.record.kind !== 'entry') return []
        const deleted = deletedAt(slot)
        if (deleted === undefined) return []
        return [{ record: tombstone(key, deleted), owedTo: context.leaderOf(key) }]
      })
      return { plan: { slots, source }, result: slots.length }
    },
  }
}

/**
 * Makes an entry anew, as created after `above`. A 2.0 node that deleted a plain key takes none that was
 * created before that, however late it was written.
 */
export function planAnew({ record: { key }, seq }: SequencedRow, above: bigint): Planner<void> {
  return {
    reads: () => ({ keys: [key] }),
    plan(context) {
      const slot = context.slot(key)
      if (slot?.seq !== seq || slot.record.kind !== 'entry') {
        return { plan: undefined, result: undefined }
      }
      const version = versionOf(slot.record)
      const created = context.now(above > version ? above : version)
      const origin = context.identity.originFor(created, marksOf(slot.record))
      const record: Entry = { ...slot.record, created, updated: 0n, origin }
      return { plan: { slots: [{ record, owedTo: context.leaderOf(key) }] }, result: undefined }
    },
  }
}

/** What a delete of a 2.0 node did. */
export interface NodeDelete {
  /** Keys deleted. */
  readonly deleted: readonly string[]
  /** Keys that are not older than the delete's stamp, and stay. */
  readonly kept: readonly string[]
}

/** Deletes what is older than `stamp` under a key or glob, as a change of a 2.0 node. */
export function planNodeDelete(
  keyOrGlob: string,
  stamp: bigint,
  source: string,
): Planner<NodeDelete> {
  return {
    reads: () => (hasGlob(keyOrGlob) ? { globs: [keyOrGlob] } : { keys: [keyOrGlob] }),
    plan(context) {
      const keys = hasGlob(keyOrGlob) ? context.matching(keyOrGlob) : [keyOrGlob]
      const live = keys.filter((key) => context.slot(key)?.record.kind === 'entry')
      const isOlder = (key: string): boolean => {
        const slot = context.slot(key)
        return slot !== undefined && versionOf(slot.record) < stamp
      }
      const deleted = live.filter(isOlder)
      const kept = live.filter((key) => !isOlder(key))
      const slots = deleted.map((key) => ({
        record: tombstone(key, stamp),
        owedTo: context.leaderOf(key),
      }))
      return { plan: { slots, source }, result: { deleted, kept } }
    },
  }
}

function tombstone(key: string, deleted: bigint): StoredRecord {
  return { kind: 'tombstone', key, deleted, origin: PIVOT_ORIGIN }
}

function planned({ slots, debts }: Work, source: string, owed: number): Planned<PullResult> {
  return {
    plan: { slots, isChecked: true, debts: [...debts.values()], source },
    result: { applied: slots.length, owed },
  }
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0
}
