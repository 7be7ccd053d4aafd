/**
 * The origin that stands in for one that no node may hold, as earlier releases took some by SQL, in process
 * or from a backup. It depends on that origin alone, so whoever meets the record gives it the same one, and
 * nodes that hold it hold the same.
 */
import { encodeHash, hashText } from './digest.ts'
import type { StoredRecord } from './entry.ts'
import { isIdentifier } from './origin.ts'

/** The origin itself when it may be held. */
export function standInOrigin(origin: string): string {
  return isIdentifier(origin) ? origin : `x-${encodeHash(hashText(origin))}`
}

/** The record under an origin that may be held; itself when it has one. */
export function withStandInOrigin<Kind extends StoredRecord>(record: Kind): Kind {
  const origin = standInOrigin(record.origin)
  return origin === record.origin ? record : { ...record, origin }
}
