/**
 * What 2.0 peers do to the store, as plans: decided against the state at the moment of the commit.
 * The rule throughout: a key that a peer lacks is deleted only where the peer's bookkeeping of
 * deletes proves it; else it is pending for that peer.
 */
import { type Entry, marksOf, type StoredRecord, versionOf } from '../../../src/core/data/entry.ts'
import { hasGlob } from '../../../src/core/keys/key.ts'
import type { SequencedRow } from '../../../src/store/format/rows.ts'
import type { PlanContext, Planned, Planner } from '../../../src/store/planning/planner.ts'
import type { KeyState } from '../../../src/store/state/state.ts'
import { heldByRecords } from '../../../src/store/types/held-bytes.ts'
import { PIVOT_ORIGIN } from './wire.ts'

/** What a plan did with what it was given. */
export interface PullResult {
  readonly applied: number
  /** Keys that are pending for the leader now and were not before. */
  readonly pending: number
}

interface Work {
  readonly keyStates: { record: StoredRecord; pendingFor: string | undefined }[]
  readonly outboxUpdates: Map<string, KeyState>
}

/**
 * Takes entries of the 2.0 leader: the later version wins, and what is later here is pending for the leader.
 * @param met hears of each with what was here under its key
 */
export function planTake(
  leader: string,
  entries: readonly Entry[],
  met: (ours: KeyState | undefined, theirs: Entry) => void,
): Planner<PullResult> {
  return {
    bytes: heldByRecords(entries),
    isPatient: true,
    reads: () => ({ keys: entries.map(({ key }) => key) }),
    plan(context) {
      const work: Work = { keyStates: [], outboxUpdates: new Map() }
      // One list may name a key twice; the last one counts.
      const last = new Map(entries.map((entry) => [entry.key, entry]))
      let pending = 0
      for (const entry of last.values()) {
        const ours = context.keyState(entry.key)
        if (context.refuses(entry, ours?.record, true)) continue
        met(ours, entry)
        if (context.leaderOf(entry.key) === leader) pending += takeOne(context, work, leader, entry)
      }
      return planned(work, leader, pending)
    },
  }
}

/** @returns 1 when the key is newly pending for the leader. */
function takeOne(context: PlanContext, work: Work, leader: string, entry: Entry): number {
  const keyState = context.keyState(entry.key)
  const order = keyState === undefined ? -1 : compare(versionOf(keyState.record), versionOf(entry))
  if (keyState === undefined || order < 0) {
    work.keyStates.push({ record: entry, pendingFor: undefined })
    return 0
  }
  const { record } = keyState
  if (order === 0 && record.kind === 'entry') {
    if (record.data === entry.data) {
      if (keyState.pendingFor === leader)
        work.outboxUpdates.set(entry.key, { ...keyState, pendingFor: undefined })
      return 0
    }
    // Two values with one stamp: what is still pending here is pushed, else the leader decides. The
    // origin makes it another change for those who have it from here.
    if (keyState.pendingFor === leader) return 0
    const origin = `${PIVOT_ORIGIN}-${context.now().toString(36)}`
    work.keyStates.push({ record: { ...entry, origin }, pendingFor: undefined })
    return 0
  }
  if (keyState.pendingFor === leader) return 0
  work.outboxUpdates.set(entry.key, { ...keyState, pendingFor: leader })
  return 1
}

/**
 * Settles keys that the 2.0 leader lacks: a delete pending for it is done; an entry that it had is
 * deleted when `deletedAt` gives the stamp of its delete there; any other entry is pending for it.
 */
export function planAbsent(
  leader: string,
  keys: readonly string[],
  deletedAt: (ours: KeyState) => bigint | undefined,
): Planner<PullResult> {
  return {
    reads: () => ({ keys }),
    plan(context) {
      const work: Work = { keyStates: [], outboxUpdates: new Map() }
      let pending = 0
      for (const key of keys) {
        const keyState = context.keyState(key)
        if (keyState === undefined || context.leaderOf(key) !== leader) continue
        if (keyState.record.kind === 'tombstone') {
          if (keyState.pendingFor === leader)
            work.outboxUpdates.set(key, { ...keyState, pendingFor: undefined })
          continue
        }
        // What is in the outbox was written here, and goes there.
        if (keyState.pendingFor === leader) continue
        const deleted = deletedAt(keyState)
        if (deleted !== undefined) {
          work.keyStates.push({ record: tombstone(key, deleted), pendingFor: undefined })
        } else {
          work.outboxUpdates.set(key, { ...keyState, pendingFor: leader })
          pending++
        }
      }
      return planned(work, leader, pending)
    },
  }
}

/**
 * Deletes entries that a 2.0 node has deleted, where they are still the ones that were judged.
 * @returns how many.
 */
export function planGone(
  rows: readonly SequencedRow[],
  deletedAt: (ours: KeyState) => bigint | undefined,
  source: string,
): Planner<number> {
  return {
    reads: () => ({ keys: rows.map(({ record }) => record.key) }),
    plan(context) {
      const keyStates = rows.flatMap(({ record: { key }, seq }) => {
        const keyState = context.keyState(key)
        if (keyState?.seq !== seq || keyState.record.kind !== 'entry') return []
        const deleted = deletedAt(keyState)
        if (deleted === undefined) return []
        return [{ record: tombstone(key, deleted), pendingFor: context.leaderOf(key) }]
      })
      return { plan: { keyStates, source }, result: keyStates.length }
    },
  }
}

/**
 * Makes an entry again, as created after `above`. A 2.0 node that deleted a plain key takes none that was
 * created before that, however late it was written.
 */
export function planAnew({ record: { key }, seq }: SequencedRow, above: bigint): Planner<void> {
  return {
    reads: () => ({ keys: [key] }),
    plan(context) {
      const keyState = context.keyState(key)
      if (keyState?.seq !== seq || keyState.record.kind !== 'entry') {
        return { plan: undefined, result: undefined }
      }
      const version = versionOf(keyState.record)
      const created = context.now(above > version ? above : version)
      const origin = context.identity.originFor(created, marksOf(keyState.record))
      const record: Entry = { ...keyState.record, created, updated: 0n, origin }
      return {
        plan: { keyStates: [{ record, pendingFor: context.leaderOf(key) }] },
        result: undefined,
      }
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
      const live = keys.filter((key) => context.keyState(key)?.record.kind === 'entry')
      const isOlder = (key: string): boolean => {
        const keyState = context.keyState(key)
        return keyState !== undefined && versionOf(keyState.record) < stamp
      }
      const deleted = live.filter(isOlder)
      const kept = live.filter((key) => !isOlder(key))
      const keyStates = deleted.map((key) => ({
        record: tombstone(key, stamp),
        pendingFor: context.leaderOf(key),
      }))
      return { plan: { keyStates, source }, result: { deleted, kept } }
    },
  }
}

function tombstone(key: string, deleted: bigint): StoredRecord {
  return { kind: 'tombstone', key, deleted, origin: PIVOT_ORIGIN }
}

function planned(
  { keyStates, outboxUpdates }: Work,
  source: string,
  pending: number,
): Planned<PullResult> {
  return {
    plan: { keyStates, isChecked: true, outboxUpdates: [...outboxUpdates.values()], source },
    result: { applied: keyStates.length, pending },
  }
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0
}
