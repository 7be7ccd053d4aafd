/**
 * What each local write does, as plans against the state at the moment it is committed. Nothing else is
 * planned or committed meanwhile, so a read–change–write can not interleave with another.
 */
import type { Entry, StoredRecord } from '../../core/data/entry.ts'
import { indexOfKey, marksOf, versionOf, wasOf, withMarks } from '../../core/data/entry.ts'
import { addLaterMarks, changesIn } from '../../core/data/marks.ts'
import { assertPrecondition, type Precondition } from '../../core/data/precondition.ts'
import { StateError } from '../../core/errors.ts'
import { assertKey, buildKey, hasGlob, isGlob } from '../../core/keys/key.ts'
import type { Durability } from '../../core/ports/storage-adapter.ts'
import { atOnce, type Steps } from '../../core/steps.ts'
import { UNKNOWN_LEADER, undecidedWithoutLeader } from '../../core/unknown-leader.ts'
import type { WritingIdentity } from '../format/identity.ts'
import type { KeyState, Reads } from '../state/state.ts'
import { heldBytes } from '../types/held-bytes.ts'
import type { DecisionTermsOf } from '../types/store-options.ts'
import type { Plan, PlannedKeyState } from './draft.ts'

/** What a planner may look at and use. */
export interface PlanContext {
  keyState(key: string): KeyState | undefined
  /** Keys that match a glob, among them some deleted in this batch. */
  matching(glob: string): string[]
  /** A new stamp, greater than `above`, the version of the record it is to replace. */
  now(above?: bigint): bigint
  /** Under which name this node writes. */
  readonly identity: WritingIdentity
  leaderOf(key: string): string | undefined
  /** Of a key that this node leads: how it may decide what does not merge. */
  readonly decisionTerms: DecisionTermsOf
  /** Says why a record of a local write may not be stored. @throws StateError; see `assertRecord`. */
  assertStorable(record: StoredRecord): void
  /**
   * Whether a record of another node is not to be taken over `current`, which is noted then.
   * @param anySize its leader holds it, or this node did, whatever its size.
   */
  refuses(
    record: StoredRecord,
    current: StoredRecord | undefined,
    anySize: boolean,
    from?: string,
  ): boolean
  /** A meta row as the batch so far leaves it. */
  meta(name: string): string | undefined
}

/** An operation: what it looks at, and what it then decides. Both run in its turn of the queue. */
export interface Planner<Result> {
  /** Names all that `plan` looks at. `now` gives new stamps, for keys that are yet to be made. */
  reads(now: () => bigint): Reads
  plan(context: PlanContext): Planned<Result>
  /** The same in steps, where it may concern many keys. */
  steps?(context: PlanContext): Steps<Planned<Result>>
  /** Keys of which it decides a condition, so that this node must lead them until it is answered. */
  readonly decides?: readonly string[]
  /** Bytes that it holds while it waits (see `held-bytes.ts`). Default 0: so little that it is never refused for them. */
  readonly bytes?: number
  /** Its sender sends no more meanwhile: it waits for room where others are refused. */
  readonly isPatient?: boolean
}

export interface Planned<Result> {
  readonly plan: Plan | undefined
  readonly result: Result
}

/** What an operation decides, in the steps that it has. */
export function* planned<Result>(
  planner: Planner<Result>,
  context: PlanContext,
): Steps<Planned<Result>> {
  if (planner.steps === undefined) return planner.plan(context)
  return yield* planner.steps(context)
}

export interface DurabilityOption {
  /** When the write counts as done. Default: that of the store. */
  readonly durability?: Durability | undefined
}

export interface WriteOptions extends DurabilityOption {
  /**
   * What must hold of the key when the write is made, decided atomically with it. Such a write does
   * not merge with others, so it is made only where the key is led.
   */
  readonly precondition?: Precondition | undefined
}

export interface UpdateOptions extends WriteOptions {
  /** Bytes that the change holds while it waits. Default 0. */
  readonly changeBytes?: number | undefined
}

export interface WriteResult {
  readonly key: string
  /** The key's last segment. */
  readonly index: string
  /** Stamp of this write, nanoseconds. */
  readonly version: bigint
  /** Under which name this node wrote it (see `core/origin.ts`). */
  readonly origin: string
}

export interface DeleteResult {
  /** How many keys were deleted. */
  readonly deleted: number
  /** Stamp of the delete, nanoseconds; undefined when nothing was there. */
  readonly version?: bigint | undefined
  /** The last change per leader: of these changes of one commit, the last to reach it. */
  readonly ends?: readonly ChangeEnd[]
}

/** A key with the version that a write gave it, and under which name. */
export interface ChangeEnd {
  readonly key: string
  readonly version: bigint
  readonly origin: string
}

/** One operation of a batch, as the method of the store with that name takes it. */
export type BatchItem =
  | ({ readonly op: 'set'; readonly key: string; readonly json: string } & WriteOptions)
  | { readonly op: 'push'; readonly key: string; readonly json: string }
  | ({
      readonly op: 'update'
      readonly key: string
      readonly change: (current: Entry) => string
    } & UpdateOptions)
  | ({ readonly op: 'delete'; readonly key: string } & WriteOptions)

/** What an operation of a batch did. */
export interface BatchResult {
  /** The key written; for a delete, what was asked for. */
  readonly key: string
  /** Stamp of the write or delete; undefined when a glob matched nothing. */
  readonly version: bigint | undefined
  /** Under which name this node wrote it; undefined where there is no version. */
  readonly origin: string | undefined
  /** How many keys were deleted. */
  readonly deleted: number
  /** Of a delete, the last change per leader. */
  readonly ends?: readonly ChangeEnd[]
}

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

export function planSet(
  key: string,
  json: string,
  { precondition }: WriteOptions = {},
): Planner<WriteResult> {
  assertConcreteKey(key)
  assertData(json)
  return {
    ...decidedBy(key, precondition),
    bytes: heldBytes(key, json),
    reads: () => ({ keys: [key] }),
    plan(context) {
      if (precondition === undefined) return write(context, key, json)
      assertCondition(context, key, precondition)
      return write(deciding(context, [key]), key, json)
    },
  }
}

export function planPush(glob: string, json: string): Planner<WriteResult> {
  assertKey(glob)
  if (!isGlob(glob) || hasGlob(glob.slice(0, -1))) {
    throw new StateError('invalid_glob', 'storage: glob pattern required for this operation')
  }
  assertData(json)
  let key = ''
  return {
    bytes: heldBytes(glob, json),
    reads(now) {
      key = buildKey(glob, now())
      return { keys: [key] }
    },
    plan: (context) => write(context, key, json),
  }
}

export function planUpdate(
  key: string,
  change: (current: Entry) => string,
  { precondition, changeBytes = 0 }: UpdateOptions = {},
): Planner<WriteResult> {
  assertConcreteKey(key)
  return {
    ...decidedBy(key, precondition),
    bytes: heldBytes(key) + changeBytes,
    reads: () => ({ keys: [key] }),
    plan(context) {
      const record = context.keyState(key)?.record
      if (record?.kind !== 'entry') throw new StateError('not_found', 'ooo: not found')
      if (precondition === undefined) return write(context, key, change(record))
      assertCondition(context, key, precondition)
      return write(deciding(context, [key]), key, change(record))
    },
  }
}

export function planDelete(
  keyOrGlob: string,
  { precondition }: WriteOptions = {},
): Planner<DeleteResult> {
  assertKey(keyOrGlob)
  if (precondition !== undefined) assertConcreteKey(keyOrGlob)
  return {
    ...decidedBy(keyOrGlob, precondition),
    bytes: heldBytes(keyOrGlob),
    reads: () => readsOf(keyOrGlob),
    plan: (context) => atOnce(deleting(context, keyOrGlob, precondition)),
    steps: (context) => deleting(context, keyOrGlob, precondition),
  }
}

function* deleting(
  given: PlanContext,
  keyOrGlob: string,
  precondition: Precondition | undefined,
): Steps<Planned<DeleteResult>> {
  const context = precondition === undefined ? given : deciding(given, [keyOrGlob])
  const keys = hasGlob(keyOrGlob) ? context.matching(keyOrGlob) : [keyOrGlob]
  const isLive = (key: string): boolean => context.keyState(key)?.record.kind === 'entry'
  if (!hasGlob(keyOrGlob) && !isLive(keyOrGlob)) {
    throw new StateError('not_found', 'storage: not found')
  }
  if (precondition !== undefined) assertCondition(context, keyOrGlob, precondition)
  let stamp: bigint | undefined
  const keyStates: PlannedKeyState[] = []
  for (const key of keys) {
    yield
    if (!isLive(key)) continue
    stamp ??= context.now()
    keyStates.push(localDelete(context, key, stamp))
  }
  const [first] = keyStates
  if (first === undefined) return { plan: undefined, result: { deleted: 0 } }
  const version = versionOf(first.record)
  return {
    plan: { keyStates },
    result: { deleted: keyStates.length, version, ends: endsOf(keyStates) },
  }
}

function endsOf(keyStates: Plan['keyStates']): ChangeEnd[] {
  const ends = new Map<string | undefined, ChangeEnd>()
  for (const { record, pendingFor } of keyStates) {
    const { key, origin } = record
    ends.set(pendingFor, { key, version: versionOf(record), origin })
  }
  return [...ends.values()]
}

/**
 * The delete of one key by this node: at `stamp`, or at one that exceeds what is deleted when a wrong clock
 * put that further ahead.
 */
export function localDelete(
  context: PlanContext,
  key: string,
  stamp: bigint,
): Plan['keyStates'][number] {
  const record = context.keyState(key)?.record
  const version = record === undefined ? 0n : versionOf(record)
  const deleted = version < stamp ? stamp : context.now(version)
  const origin = context.identity.originFor(deleted, marksOf(record))
  return local(context, { kind: 'tombstone', key, deleted, origin })
}

function readsOf(keyOrGlob: string): Reads {
  return hasGlob(keyOrGlob) ? { globs: [keyOrGlob] } : { keys: [keyOrGlob] }
}

function assertCondition(context: PlanContext, key: string, condition: Precondition): void {
  assertLeads(context, key)
  const current = context.keyState(key)?.record
  assertPrecondition(condition, key, current?.kind === 'entry' ? current : undefined)
}

function decidedBy(key: string, condition: Precondition | undefined): { decides?: string[] } {
  return condition === undefined ? {} : { decides: [key] }
}

function write(context: PlanContext, key: string, data: string): Planned<WriteResult> {
  const current = context.keyState(key)?.record
  // A record of a wrong clock may be ahead of all time: what is written later still exceeds it.
  const stamp = context.now(current === undefined ? undefined : versionOf(current))
  const exists = current?.kind === 'entry'
  const record: Entry = {
    kind: 'entry',
    key,
    created: exists ? current.created : stamp,
    updated: exists ? stamp : 0n,
    origin: context.identity.originFor(stamp, marksOf(current)),
    data,
  }
  return {
    plan: { keyStates: [local(context, record)] },
    result: { key, index: indexOfKey(key), version: versionOf(record), origin: record.origin },
  }
}

/** A change that this node makes itself. */
export function local(context: PlanContext, record: StoredRecord): Plan['keyStates'][number] {
  const own = context.identity.marksFor(versionOf(record), context.meta)
  // What is replaced may come again under another stamp, from whoever holds it under its first one.
  const before = context.keyState(record.key)?.record
  const marks = addLaterMarks(own, changesIn(before === undefined ? undefined : wasOf(before)))
  return { record: withMarks(record, marks), pendingFor: context.leaderOf(record.key) }
}

function assertConcreteKey(key: string): void {
  assertKey(key)
  if (hasGlob(key)) {
    throw new StateError('invalid_glob', 'storage: glob pattern not allowed for this operation')
  }
}

function assertData(json: string): void {
  if (json === '') throw new StateError('invalid_json', 'storage: invalid data (empty)')
}
