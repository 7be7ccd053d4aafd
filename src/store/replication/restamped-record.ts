/** What a record is made into that gets other stamps than its maker gave it. */
import { type StoredRecord, versionOf, wasOf } from '../../core/data/entry.ts'
import { type ChangeName, changesIn } from '../../core/data/marks.ts'

/** Earlier stamps that a record remembers. */
const MAX_WAS = 16

/** What the makers of these changes wrote before them. */
export function justBefore(changes: readonly ChangeName[]): ChangeName[] {
  return changes.map(({ origin, version }) => ({ origin, version: version - 1n }))
}

/** The record under another origin, with these stamps in the place of those that they are for. */
export function withStamps(
  record: StoredRecord,
  stamps: ReadonlyMap<bigint, bigint>,
  origin: string,
): StoredRecord {
  const at = (stamp: bigint): bigint => stamps.get(stamp) ?? stamp
  if (record.kind === 'tombstone') return { ...record, origin, deleted: at(record.deleted) }
  return { ...record, origin, created: at(record.created), updated: at(record.updated) }
}

/** What the record was, itself under its present name the last. */
export function nextWas(record: StoredRecord, { origin, version }: ChangeName): string {
  const known = wasOf(record)?.split(',') ?? []
  return [...known, `${version}@${origin}`].slice(-MAX_WAS).join(',')
}

/** When it was made and changed. */
export function stampsOf(record: StoredRecord): bigint[] {
  return record.kind === 'entry' ? [record.created, record.updated] : [record.deleted]
}

/** The greatest stamp that it ever had. */
export function firstStampOf(record: StoredRecord): bigint {
  const stamps = changesIn(wasOf(record)).map(({ version }) => version)
  return stamps.reduce((a, b) => (a > b ? a : b), versionOf(record))
}
