/**
 * What replication does to the store, as plans: merge records of a peer, note which of ours a
 * leader has acknowledged, owe a leader everything.
 */

import { marksOf, nameOf, type StoredRecord, versionOf, withMarks } from '../../core/data/entry.ts'
import { addLaterMarks, isCovered, unionMarks } from '../../core/data/marks.ts'
import { mergeRecords } from '../../core/data/merge.ts'
import type { BatchOperation, Durability } from '../../core/ports/storage-adapter.ts'
import { NS_PER_SECOND } from '../../core/ports/time.ts'
import { detectConflicts, type PushOrigin } from '../conflicts/detect-conflicts.ts'
import type { SequencedRow } from '../format/rows.ts'
import type { PlannedKeyState } from '../planning/draft.ts'
import type { PlanContext, Planned, Planner } from '../planning/planner.ts'
import type { KeyState } from '../state/state.ts'
import type { SupersededWrite } from '../state/superseded-writes.ts'
import { heldByRecords } from '../types/held-bytes.ts'
import { LateRecords } from './late-records.ts'
import { firstStampOf } from './restamped-record.ts'

export interface MergeOptions {
  /** Id of the peer that sent the records, carried on the commit. */
  readonly source: string
  /** The leader the records come from; undefined when a follower pushed them. */
  readonly leader?: string
  /** Meta rows (such as the cursor) to write in the same batch. */
  readonly meta?: ReadonlyMap<string, string>
  /** Takes greater values and longer keys than are written: they were held before. */
  readonly anySize?: true
  /** When it counts as done. Default: that of the store. */
  readonly durability?: Durability
  /** Of records that a follower pushed: what tells concurrent writes from later ones. */
  readonly pushed?: PushOrigin | undefined
}

export interface TakeOptions extends MergeOptions {
  /** A record that would win with a greater version is left out: `drift`. */
  readonly notAfter: bigint
}

/**
 * `applied`: the record won; `equal`: it was here already; `superseded`: ours won; `refused`: it is none that
 * a node may hold, or greater than this one takes (see `core/records/check.ts`).
 */
export type MergeOutcome = 'applied' | 'equal' | 'superseded' | 'refused'
/** `drift`: the record is stamped too far in the future. */
export type TakeOutcome = MergeOutcome | 'drift'

export interface RestoreOptions extends MergeOptions {
  /**
   * A record that would win with a greater version gets a stamp of this node: `restamped`. Give the records in the
   * order of their versions, since they become writes of this node one after the other.
   */
  readonly restampAfter: bigint
}

export type RestoreOutcome = MergeOutcome | 'restamped'

export type AnyMergeOptions = MergeOptions | TakeOptions | RestoreOptions
export type AnyOutcome = TakeOutcome | RestoreOutcome

/** How far beyond a record that is itself too far in the future its successor may be. */
const SUCCESSOR_NS = NS_PER_SECOND

interface MergePlan {
  readonly keyStates: PlannedKeyState[]
  /** By key, since one batch may name a key twice. */
  readonly outboxUpdates: Map<string, KeyState>
  /** Pending changes that lost against the leader's. */
  readonly superseded: SupersededWrite[]
}

export function planMerge(
  records: readonly StoredRecord[],
  options: AnyMergeOptions,
): Planner<AnyOutcome[]> {
  return {
    bytes: heldByRecords(records),
    isPatient: true,
    reads: () => ({ keys: records.map(({ key }) => key) }),
    plan: (context) => mergeAll(context, records, options),
  }
}

function mergeAll(
  context: PlanContext,
  records: readonly StoredRecord[],
  options: AnyMergeOptions,
): Planned<AnyOutcome[]> {
  const plan: MergePlan = { keyStates: [], outboxUpdates: new Map(), superseded: [] }
  const winners = new Map<string, StoredRecord>()
  const isHeldBefore = options.leader !== undefined || options.anySize === true
  const late =
    'restampAfter' in options ? new LateRecords(context, records, options.restampAfter) : undefined
  const detector =
    options.pushed === undefined ? undefined : detectConflicts(context, options.pushed)
  const result = records.map((record, i) => {
    const current = winners.get(record.key) ?? context.keyState(record.key)?.record
    if (context.refuses(record, current, isHeldBefore, senderOf(options))) return 'refused'
    if (late?.has(record)) return takeLate(late, context, options, plan, winners, record, current)
    // What lost is only shown: taking it could bring back a key whose delete is forgotten. Where the key
    // has marks, they may cover what it lost to.
    const isLost = options.pushed?.lost[i] === true
    const isShown = isLost && marksOf(current) === undefined
    const isCopy = options.pushed !== undefined && options.pushed.causalContexts[i] === undefined
    const came = byFirstStamps(current, record, options, isCopy)
    const taken = isShown ? 'superseded' : mergeOne(context, options, plan, winners, record, came)
    // Nothing gives what lost another stamp, so it does not come again.
    const outcome = isLost && taken === 'drift' ? 'superseded' : taken
    if (outcome !== 'drift') detector?.observe(record, i, current, outcome === 'applied')
    return outcome
  })
  // A key that won in this batch carries its own outbox entry.
  for (const { record } of plan.keyStates) plan.outboxUpdates.delete(record.key)
  return {
    plan: {
      keyStates: plan.keyStates,
      isChecked: true,
      outboxUpdates: [...plan.outboxUpdates.values()],
      source: options.source,
      meta: new Map([
        ...(options.meta ?? []),
        ...(detector === undefined ? [] : [detector.merged()]),
      ]),
      ...(detector === undefined ? {} : { rows: detector.rows }),
      ...(plan.superseded.length === 0 ? {} : { superseded: { added: plan.superseded } }),
    },
    result,
  }
}

/** Of a backup, a record that is stamped too far in the future. */
function takeLate(
  late: LateRecords,
  context: PlanContext,
  options: AnyMergeOptions,
  plan: MergePlan,
  winners: Map<string, StoredRecord>,
  record: StoredRecord,
  current: StoredRecord | undefined,
): AnyOutcome {
  const given = late.take(record, current)
  const outcome = mergeOne(context, options, plan, winners, record, given ?? record)
  if (outcome === 'applied') return given === undefined ? outcome : 'restamped'
  return late.isKnown(record, current) ? 'equal' : outcome
}

/** The member that sent the records, as people know it. */
export function senderOf({ pushed, leader }: MergeOptions): string | undefined {
  return pushed?.follower ?? leader
}

function mergeOne(
  context: PlanContext,
  options: AnyMergeOptions,
  plan: MergePlan,
  winners: Map<string, StoredRecord>,
  record: StoredRecord,
  came: StoredRecord,
): TakeOutcome {
  const keyState = context.keyState(record.key)
  const current = winners.get(record.key) ?? keyState?.record
  const leader = context.leaderOf(record.key)
  const fromLeader = leader !== undefined && leader === options.leader
  const { order, record: held } = mergeRecords(current, came)
  if (order < 0 && isTooLate(record, current, options)) return 'drift'
  const isAtSender = order <= 0 && marksOf(held) === marksOf(record)
  // The leader has what we have, marks too: nothing is pending. It has less than we have: ours is pending.
  const isAtLeader = fromLeader && isAtSender
  if (held !== current) {
    if (order < 0 && fromLeader && !winners.has(record.key))
      noteSuperseded(plan, keyState, record, leader)
    winners.set(record.key, held)
    plan.keyStates.push({
      record: held,
      pendingFor: isAtLeader ? undefined : leader,
      isMerged: !isAtSender,
    })
  } else if (fromLeader && keyState !== undefined) {
    plan.outboxUpdates.set(record.key, { ...keyState, pendingFor: isAtLeader ? undefined : leader })
  }
  if (order < 0) return 'applied'
  return order === 0 ? 'equal' : 'superseded'
}

/** What the leader has not acknowledged and now replaces: it is asked whether that was known to it. */
function noteSuperseded(
  plan: MergePlan,
  keyState: KeyState | undefined,
  winner: StoredRecord,
  leader: string,
): void {
  if (keyState?.pendingFor !== leader || keyState.causalContext === undefined) return
  const { record, seq, causalContext } = keyState
  if (record.origin !== winner.origin)
    plan.superseded.push({ record, seq, causalContext, pendingFor: leader })
}

/**
 * A record that was given a lesser stamp, pushed to a leader that holds one under the same key with a stamp
 * to come: what they were first decides between the two, as it would have if clocks had not been set right in
 * between. So it does where the leader's was given a lesser one as well, and the record is a copy that its node was
 * left with, of which it can not tell what its maker had seen: what two nodes were left with is stamped again by each
 * at a time of its own. The record is given the mark that says so, of whichever loses.
 * @param isCopy nobody knows what its maker had seen.
 */
function byFirstStamps(
  current: StoredRecord | undefined,
  record: StoredRecord,
  options: AnyMergeOptions,
  isCopy: boolean,
): StoredRecord {
  if (!('notAfter' in options) || current === undefined) return record
  const came = firstStampOf(record)
  if (came === versionOf(record)) return record
  const held = firstStampOf(current)
  const isHeldToCome = versionOf(current) > options.notAfter
  if (came === held || (!isHeldToCome && (!isCopy || held === versionOf(current)))) return record
  if (isHeldToCome && came < held) return record
  const marks = unionMarks(marksOf(current), marksOf(record))
  if ([current, record].some((one) => isCovered(marks, nameOf(one)))) return record
  const loser = came > held ? current : record
  return withMarks(record, addLaterMarks(marksOf(record), [nameOf(loser)]))
}

/** A write over a record of a wrong clock has to be just as far ahead: that one is taken. */
function isTooLate(
  record: StoredRecord,
  current: StoredRecord | undefined,
  options: AnyMergeOptions,
): boolean {
  if (!('notAfter' in options)) return false
  const { notAfter } = options
  const version = versionOf(record)
  if (version <= notAfter) return false
  const held = current === undefined ? 0n : versionOf(current)
  return held <= notAfter || version > held + SUCCESSOR_NS
}

/** A row of the outbox that was sent to a leader. */
export interface SentRow {
  readonly seq: number
  readonly key: string
}

/** Clears the outbox entries of records that are still the ones that were sent. */
export function planAcknowledge(
  leader: string,
  sent: readonly SentRow[],
  meta: ReadonlyMap<string, string>,
  rows: readonly BatchOperation[] = [],
): Planner<void> {
  return {
    reads: () => ({ keys: sent.map(({ key }) => key) }),
    plan(context) {
      const outboxUpdates: KeyState[] = []
      for (const { seq, key } of sent) {
        const keyState = context.keyState(key)
        if (keyState?.seq === seq && keyState.pendingFor === leader)
          outboxUpdates.push({ ...keyState, pendingFor: undefined })
      }
      const superseded = { settled: sent.map(({ seq }) => seq) }
      return { plan: { keyStates: [], outboxUpdates, meta, superseded, rows }, result: undefined }
    },
  }
}

/**
 * Queues the given rows for `leader`, unless they changed since (a change carries its own outbox entry). Results
 * in the number of rows that were not pending before.
 */
export function planRefill(leader: string, rows: readonly SequencedRow[]): Planner<number> {
  return {
    reads: () => ({ keys: rows.map(({ record }) => record.key) }),
    plan(context) {
      const outboxUpdates: KeyState[] = []
      for (const { record, seq } of rows) {
        const keyState = context.keyState(record.key)
        if (keyState?.seq === seq && keyState.pendingFor !== leader)
          outboxUpdates.push({ ...keyState, pendingFor: leader })
      }
      return { plan: { keyStates: [], outboxUpdates }, result: outboxUpdates.length }
    },
  }
}
