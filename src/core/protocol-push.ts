/** The part of the replication stream in which a follower's outbox goes up. */
import type { StoredRecord } from './entry.ts'
import { isOvertakenName, MAX_OVERTAKEN } from './overtaken.ts'
import { type Fields, integer, invalid, list, records } from './protocol-fields.ts'
import { places, type Whole, wholePlaces } from './protocol-pieces.ts'
import { isSeen } from './seen.ts'

export interface Push extends Whole {
  readonly t: 'push'
  /** Number of this push on this connection, from 1. */
  readonly n: number
  readonly records: readonly StoredRecord[]
  /** Per record, what its maker had seen (see `seen.ts`); null where that is not known. Default: nowhere. */
  readonly seen?: readonly (string | null)[]
  /** Places in `records` of those that lost at the follower: to be noted, not to be taken. Default: none. */
  readonly lost?: readonly number[]
  /** Places in `records` of those that are longer than the leader takes; their values are left out. Default: none. */
  readonly withheld?: readonly number[]
  /** Changes that come after these, though they were made before (see `overtaken.ts`). Default: none. */
  readonly overtaken?: readonly string[]
}

/** @throws StateError `invalid_message` saying which field is wrong. */
export function decodePush(fields: Fields): Push {
  const found = records(fields)
  const optional = <Name extends string, Value>(name: Name, read: () => Value) =>
    (fields[name] === undefined ? {} : { [name]: read() }) as { readonly [_ in Name]?: Value }
  return {
    t: 'push',
    n: integer(fields, 'n'),
    records: found,
    ...wholePlaces(fields, found.length),
    ...optional('withheld', () => places(fields, 'withheld', found.length)),
    ...optional('lost', () => places(fields, 'lost', found.length)),
    ...optional('seen', () => seenByMakers(fields, found.length)),
    ...optional('overtaken', () => overtakenNames(fields)),
  }
}

function seenByMakers(fields: Fields, count: number): readonly (string | null)[] {
  const seen = list(fields, 'seen', count).map((text) => {
    if (text !== null && !isSeen(text)) throw invalid('seen', text)
    return text
  })
  if (seen.length !== count) throw invalid('seen', seen)
  return seen
}

function overtakenNames(fields: Fields): readonly string[] {
  return list(fields, 'overtaken', MAX_OVERTAKEN).map((name) => {
    if (!isOvertakenName(name)) throw invalid('overtaken', name)
    return name
  })
}
