/**
 * What each local write does, as plans against the state at the moment it is committed. Planning
 * is synchronous, so a read–change–write can not interleave with another.
 */
import type { Entry, StoredRecord } from '../core/entry.ts'
import { indexOfKey, versionOf } from '../core/entry.ts'
import { StateError } from '../core/errors.ts'
import { assertKey, buildKey, hasGlob, isGlob } from '../core/key.ts'
import type { Plan } from './draft.ts'
import type { Slot } from './mirror.ts'

/** What a planner may look at and use. */
export interface PlanContext {
  slot(key: string): Slot | undefined
  /** Keys that match a glob, among them some deleted in this batch. */
  matching(glob: string): string[]
  /** A new stamp. */
  now(): bigint
  readonly origin: string
  leaderOf(key: string): string | undefined
}

export type Planner<Result> = (context: PlanContext) => {
  readonly plan: Plan | undefined
  readonly result: Result
}

export interface WriteResult {
  readonly key: string
  /** The key's last segment. */
  readonly index: string
  /** Stamp of this write, nanoseconds. */
  readonly version: bigint
}

export interface DeleteResult {
  /** How many keys were deleted. */
  readonly deleted: number
}

export function planSet(key: string, json: string): Planner<WriteResult> {
  assertConcreteKey(key)
  assertData(json)
  return (context) => write(context, key, json)
}

export function planPush(glob: string, json: string): Planner<WriteResult> {
  assertKey(glob)
  if (!isGlob(glob) || hasGlob(glob.slice(0, -1))) {
    throw new StateError('invalid_glob', 'storage: glob pattern required for this operation')
  }
  assertData(json)
  return (context) => write(context, buildKey(glob, context.now()), json)
}

export function planUpdate(key: string, change: (current: Entry) => string): Planner<WriteResult> {
  assertConcreteKey(key)
  return (context) => {
    const record = context.slot(key)?.record
    if (record?.kind !== 'entry') throw new StateError('not_found', 'ooo: not found')
    return write(context, key, change(record))
  }
}

export function planDelete(keyOrGlob: string): Planner<DeleteResult> {
  assertKey(keyOrGlob)
  return (context) => {
    const keys = hasGlob(keyOrGlob) ? context.matching(keyOrGlob) : [keyOrGlob]
    const live = keys.filter((key) => context.slot(key)?.record.kind === 'entry')
    if (live.length === 0) {
      if (!hasGlob(keyOrGlob)) throw new StateError('not_found', 'storage: not found')
      return { plan: undefined, result: { deleted: 0 } }
    }
    const deleted = context.now()
    const slots = live.map((key) =>
      local(context, { kind: 'tombstone', key, deleted, origin: context.origin }),
    )
    return { plan: { slots }, result: { deleted: live.length } }
  }
}

function write(context: PlanContext, key: string, data: string): ReturnType<Planner<WriteResult>> {
  const current = context.slot(key)?.record
  const stamp = context.now()
  const exists = current?.kind === 'entry'
  const record: Entry = {
    kind: 'entry',
    key,
    created: exists ? current.created : stamp,
    updated: exists ? stamp : 0n,
    origin: context.origin,
    data,
  }
  return {
    plan: { slots: [local(context, record)] },
    result: { key, index: indexOfKey(key), version: versionOf(record) },
  }
}

function local(context: PlanContext, record: StoredRecord): Plan['slots'][number] {
  return { record, owedTo: context.leaderOf(record.key) }
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
