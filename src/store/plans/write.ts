/** What each local write does, as plans: see `planning/planner.ts`. */
import type { Entry, StoredRecord } from '../../core/data/entry.ts'
import { marksOf, versionOf, wasOf, withMarks } from '../../core/data/entry.ts'
import { addLaterMarks, changesIn } from '../../core/data/marks.ts'
import { assertPrecondition, type Precondition } from '../../core/data/precondition.ts'
import { StateError } from '../../core/errors.ts'
import { assertKey, buildKey, hasGlob, isGlob } from '../../core/keys/key.ts'
import { atOnce, type Steps } from '../../core/steps.ts'
import { assertLeads, deciding } from '../planning/deciding.ts'
import type { Plan, PlannedKeyState } from '../planning/draft.ts'
import type { PlanContext, Planned, Planner } from '../planning/planner.ts'
import type { Reads } from '../state/state.ts'
import { heldBytes } from '../types/held-bytes.ts'
import type {
  ChangeEnd,
  DeleteWrite,
  PushWrite,
  SetWrite,
  UpdateWrite,
  Write,
  Written,
} from '../types/write.ts'

/** @throws StateError `invalid_key`, `invalid_glob`, `invalid_json`; when planned, what the write is refused for. */
export function planWrite(write: Write): Planner<Written> {
  switch (write.op) {
    case 'set':
      return planSet(write)
    case 'push':
      return planPush(write)
    case 'update':
      return planUpdate(write)
    case 'delete':
      return planDelete(write)
  }
}

function planSet({ key, json, precondition }: SetWrite): Planner<Written> {
  assertConcreteKey(key)
  assertData(json)
  return {
    ...decidedBy(key, precondition),
    bytes: heldBytes(key, json),
    reads: () => ({ keys: [key] }),
    plan: (context) => writing(permitted(context, key, precondition), key, json),
  }
}

function planPush({ key: glob, json }: PushWrite): Planner<Written> {
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
    plan: (context) => writing(context, key, json),
  }
}

function planUpdate(write: UpdateWrite): Planner<Written> {
  const { key, change, initial, changeBytes = 0, precondition } = write
  assertConcreteKey(key)
  return {
    ...decidedBy(key, precondition),
    bytes: heldBytes(key) + changeBytes,
    reads: () => ({ keys: [key] }),
    plan(context) {
      const record = context.keyState(key)?.record
      const current = record?.kind === 'entry' ? record : initialEntry(key, initial)
      return writing(permitted(context, key, precondition), key, change(current))
    },
  }
}

/** What is changed where nothing is. @throws StateError `not_found` without initial data. */
function initialEntry(key: string, data: string | undefined): Entry {
  if (data === undefined) throw new StateError('not_found', 'ooo: not found')
  return { kind: 'entry', key, created: 0n, updated: 0n, origin: '', data }
}

/** Leaves a tombstone of a key, or of every key that a glob matches. */
export function planDelete({ key: keyOrGlob, precondition }: DeleteWrite): Planner<Written> {
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

/** The context to write in, once the condition holds. @throws StateError `precondition_failed`, and of `assertLeads`. */
function permitted(
  context: PlanContext,
  key: string,
  precondition: Precondition | undefined,
): PlanContext {
  if (precondition === undefined) return context
  assertCondition(context, key, precondition)
  return deciding(context, [key])
}

function* deleting(
  given: PlanContext,
  keyOrGlob: string,
  precondition: Precondition | undefined,
): Steps<Planned<Written>> {
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
  return {
    plan: first && { keyStates },
    result: {
      key: keyOrGlob,
      version: first && versionOf(first.record),
      origin: first?.record.origin,
      deleted: keyStates.length,
      ends: endsOf(keyStates),
    },
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

function writing(context: PlanContext, key: string, data: string): Planned<Written> {
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
  const end = { key, version: versionOf(record), origin: record.origin }
  return {
    plan: { keyStates: [local(context, record)] },
    result: { ...end, deleted: 0, ends: [end] },
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
