/**
 * An operation as a plan: it names what it looks at, and decides against the state at the moment it is committed.
 * Nothing else is planned or committed meanwhile, so a read–change–write can not interleave with another.
 */
import type { StoredRecord } from '../../core/data/entry.ts'
import type { Steps } from '../../core/steps.ts'
import type { WritingIdentity } from '../format/identity.ts'
import type { KeyState, Reads } from '../state/state.ts'
import type { DecisionTermsOf } from '../types/store-options.ts'
import type { Plan } from './draft.ts'

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
