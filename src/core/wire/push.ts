/** The part of the replication stream by which a follower's outbox goes up. */

import { isCausalContext } from '../data/causal-context.ts'
import type { StoredRecord } from '../data/entry.ts'
import { isOvertakenName, MAX_OVERTAKEN } from '../data/overtaken.ts'
import { ERROR_TABLE, type ErrorCode } from '../errors.ts'
import { type Fields, integer, invalid, list } from './fields.ts'
import { places, type Whole, wholePlaces } from './pieces.ts'
import { MAX_RECORDS, records } from './records.ts'

/**
 * What became of a pushed record at the leader. Two kinds stay in the outbox: `refused`, which is not
 * the leader's to hold, and `drift`, which is stamped too far in the future. What is `denied` the leader
 * will never take: its log brings something later for the key, unless no node may hold the record.
 */
export type PushOutcome = 'applied' | 'equal' | 'superseded' | 'refused' | 'drift' | 'denied'

/** Why the record at this place was denied: a code, and a sentence for people. */
export type PushReason = readonly [place: number, code: ErrorCode, text: string]

export interface Push extends Whole {
  readonly t: 'push'
  /** Number of this push on this connection, from 1. */
  readonly n: number
  readonly records: readonly StoredRecord[]
  /** Per record, what its maker had seen (see `causal-context.ts`); null where that is not known. Default: nowhere. */
  readonly seen?: readonly (string | null)[]
  /** Places in `records` of those that lost at the follower: to be noted, not to be taken. Default: none. */
  readonly lost?: readonly number[]
  /** Places in `records` of those that are longer than the leader takes; their values are left out. Default: none. */
  readonly withheld?: readonly number[]
  /** Changes that come after these, though they were made before (see `overtaken.ts`). Default: none. */
  readonly overtaken?: readonly string[]
}

export interface Pushed {
  readonly t: 'pushed'
  readonly n: number
  /** One per record, in order. */
  readonly outcomes: readonly PushOutcome[]
  /** Why some were `denied`. Default: their values are longer than the leader takes. */
  readonly reasons?: readonly PushReason[]
  /** Seq of the leader's last change once these were merged. */
  readonly head: number
}

/** @throws StateError `invalid_message` saying which field is wrong. */
export function decodePush(fields: Fields): Push {
  return { t: 'push', n: integer(fields, 'n'), ...pushedRecords(fields) }
}

/** @throws StateError `invalid_message` saying which field is wrong. */
export function decodePushed(fields: Fields): Pushed {
  return {
    t: 'pushed',
    n: integer(fields, 'n'),
    outcomes: list(fields, 'outcomes', MAX_RECORDS).map(outcome),
    ...(fields.reasons === undefined
      ? {}
      : { reasons: list(fields, 'reasons', MAX_RECORDS).map(reason) }),
    head: integer(fields, 'head'),
  }
}

function pushedRecords(
  fields: Fields,
): Pick<Push, 'records' | 'seen' | 'lost' | 'whole' | 'withheld' | 'overtaken'> {
  const found = records(fields)
  const named = {
    ...wholePlaces(fields, found.length),
    ...(fields.withheld === undefined
      ? {}
      : { withheld: places(fields, 'withheld', found.length) }),
    ...(fields.lost === undefined ? {} : { lost: places(fields, 'lost', found.length) }),
    ...(fields.overtaken === undefined ? {} : { overtaken: overtakenNames(fields) }),
  }
  if (fields.seen === undefined) return { records: found, ...named }
  // Of one that can not be read nothing is known.
  const seen = list(fields, 'seen', found.length).map((text) =>
    isCausalContext(text) ? text : null,
  )
  if (seen.length !== found.length) throw invalid('seen', seen)
  return { records: found, seen, ...named }
}

function overtakenNames(fields: Fields): readonly string[] {
  // One that can not be read is left out: its change counts as a repetition, no more.
  return list(fields, 'overtaken', MAX_OVERTAKEN).filter(isOvertakenName)
}

/** A code that this release does not know is told as that of a bad message. */
function reason(value: unknown): PushReason {
  const [place, code, text] = Array.isArray(value) ? (value as unknown[]) : []
  if (!Number.isSafeInteger(place) || typeof code !== 'string' || typeof text !== 'string') {
    throw invalid('reasons', value)
  }
  const known = code in ERROR_TABLE ? (code as ErrorCode) : 'invalid_message'
  return [place as number, known, text.slice(0, 500)]
}

const OUTCOMES: readonly PushOutcome[] = [
  'applied',
  'equal',
  'superseded',
  'refused',
  'drift',
  'denied',
]

function outcome(value: unknown): PushOutcome {
  const known = OUTCOMES.find((candidate) => candidate === value)
  if (known !== undefined) return known
  throw invalid('outcomes', value)
}
