/**
 * Changes that later ones of their origin go up before: values that travel in pieces, and what a leader
 * refused at first as stamped too far in the future. A leader tells repetitions by the order in which an origin's
 * changes come (see `store/format/merged-versions.ts`), so it is told of those that will come out of turn.
 *
 * As text: `<version>@<origin>`; of a delete, which may share its version with others, `<version>@<origin>@<key>`.
 */

import { isValidKey } from '../keys/key.ts'
import { type StoredRecord, versionOf } from './entry.ts'
import type { ChangeName } from './marks.ts'

/** Names that a follower tells, and its leader remembers, at most; others count as repetitions. */
export const MAX_OVERTAKEN = 1000

const NAME = /^\d{1,19}@[\w-]{1,64}(?:@(\S{1,1024}))?$/

export function overtakenName(record: StoredRecord): string {
  const name = `${versionOf(record)}@${record.origin}`
  return record.kind === 'tombstone' ? `${name}@${record.key}` : name
}

/** Whether `text` is one of this form: for what comes from other nodes. */
export function isOvertakenName(text: unknown): text is string {
  const [found, key] = typeof text === 'string' ? (NAME.exec(text) ?? []) : []
  return found !== undefined && (key === undefined || isValidKey(key))
}

/** A name that is of this form. `key`: empty but for a delete. */
export function parseOvertaken(name: string): ChangeName & { readonly key: string } {
  const [version = '0', origin = '', key = ''] = name.split('@')
  return { version: BigInt(version), origin, key }
}
