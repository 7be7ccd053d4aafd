/**
 * What a follower was in step with, told to a leader that does not know its log: places of other logs, of which
 * the leader may hold what was in them (`store/lineage/in-step.ts`, `store/lineage/former-logs.ts`). Peers of earlier builds
 * neither tell nor read them.
 */
import { type Fields, integer, invalid, type LogPosition, list, position, stamp } from './fields.ts'

export interface KnownPlace {
  readonly place: LogPosition
  readonly seen: LogPosition | null
}

/** A place, and when the one that tells it was in step with it. */
export interface InStepPlace extends KnownPlace {
  /** Milliseconds since the Unix epoch; absent where it is not known. */
  readonly heardMs?: number
}

/** What a welcome says of the places in the hello. */
export interface Knowledge {
  /**
   * Of which place the leader has held all that was in that log: 0 is cursor or base, others are in `known`,
   * from 1. Default: 0 when it continues, else of none.
   */
  readonly knows?: number
  /** Where it knows none: up to which stamp it has removed tombstones, nanoseconds as integer text. Default: "0". */
  readonly removed?: string
  /**
   * Up to which stamp tombstones were removed here, or where what is held here comes from (`store/lineage/gone.ts`),
   * nanoseconds as integer text. Who applies this log inherits that. Default: not told.
   */
  readonly gone?: string
}

/** Most places one follower may name; ours names fewer. */
const MAX_KNOWN = 32

/** @throws StateError `invalid_message`. */
export function readKnownPlaces(fields: Fields): { known?: KnownPlace[] } {
  if (fields.known === undefined) return {}
  return { known: readPlaces(fields, 'known').map(({ place, seen }) => ({ place, seen })) }
}

/** @throws StateError `invalid_message`. */
export function readPlaces(fields: Fields, name: string): InStepPlace[] {
  return list(fields, name, MAX_KNOWN).map((value) => {
    if (typeof value !== 'object' || value === null) throw invalid(name, value)
    const named = value as Fields
    const place = position(named, 'place')
    if (place === null) throw invalid(name, value)
    const heard = named.heardMs === undefined ? {} : { heardMs: integer(named, 'heardMs') }
    return { place, seen: position(named, 'seen'), ...heard }
  })
}

/** @throws StateError `invalid_message`. */
export function readKnowledge(fields: Fields): Knowledge {
  const { knows, removed, gone } = fields
  return {
    ...(knows === undefined ? {} : { knows: integer(fields, 'knows') }),
    ...(removed === undefined ? {} : { removed: String(stamp(removed, 'removed')) }),
    ...(gone === undefined ? {} : { gone: String(stamp(gone, 'gone')) }),
  }
}
