/**
 * What is stored under a key: an entry, or the tombstone that says it was deleted. Also the shape
 * of a committed change, as the store emits it and the fan-out consumes it.
 */
import { latestOfMarks, type MarkedChange } from './marks.ts'

/**
 * What a record carries beside its value: small texts by name. A name that this release does not know is
 * kept with the record and passed on. Names: `[a-z][a-z0-9-]{0,31}`; texts: visible ASCII, no spaces.
 */
export type RecordFields = Readonly<Record<string, string>>

/** Of a key, which of its records are older than they look (see `marks.ts`); stays with the key. */
const MARKS = 'marks'
/** Of a record with a lesser stamp than its first, the changes it was before: `<version>@<origin>,…`. */
const WAS = 'was'

/** A live value. Stamps are nanoseconds since the Unix epoch, UTC. */
export interface Entry {
  readonly kind: 'entry'
  readonly key: string
  /** Stamp of the write that brought the key into being. */
  readonly created: bigint
  /** Stamp of the latest overwrite; 0n while it was only ever created. */
  readonly updated: bigint
  /** Id of the node where this change was made. */
  readonly origin: string
  /** The user's JSON, compact, digit for digit as received. Never parsed to be stored. */
  readonly data: string
  readonly fields?: RecordFields
}

/** The durable record that a key was deleted. */
export interface Tombstone {
  readonly kind: 'tombstone'
  readonly key: string
  /** Stamp of the delete, nanoseconds since the Unix epoch. */
  readonly deleted: bigint
  readonly origin: string
  readonly fields?: RecordFields
}

export type StoredRecord = Entry | Tombstone

/** One key's step from one state to the next. */
export interface Change {
  readonly key: string
  /** The entry before, or undefined when there was none (absent or deleted). */
  readonly before: Entry | undefined
  /** The record before, entry or tombstone, as the store knew it; not told by a watch. */
  readonly replaced?: StoredRecord | undefined
  readonly after: StoredRecord
  /** True when what came from another node was merged to something else than what came. */
  readonly isMerged?: true
  /** True when only the fields differ: other nodes are told, and nobody who reads values. */
  readonly isInternal?: true
}

/**
 * The changes of one operation, durable before anyone hears of them. A glob delete or a
 * replicated batch has several changes, a set has one. Listeners get commits in `seq` order.
 */
export interface Commit {
  /** Sequence number, in the node's change log, of the last change of this commit. */
  readonly seq: number
  readonly changes: readonly Change[]
  /** undefined for a write made on this node; else the id of the peer that sent it. */
  readonly source: string | undefined
  /** True when subscribers, watchers and hooks are not to be told of it. It replicates like any other. */
  readonly silent?: true
}

/** The version of a record: the stamp of its last change. */
export function versionOf(record: StoredRecord): bigint {
  if (record.kind === 'tombstone') return record.deleted
  return record.updated > record.created ? record.updated : record.created
}

/** The marks of the record's key, as the holder of the record knows them. */
export function marksOf(record: StoredRecord | undefined): string | undefined {
  return record?.fields?.[MARKS]
}

/** The record with these marks; itself when it has them. */
export function withMarks<Kind extends StoredRecord>(
  record: Kind,
  marks: string | undefined,
): Kind {
  return withField(record, MARKS, marks)
}

/** The changes that a record was under its earlier stamps, `<version>@<origin>,…`. */
export function wasOf(record: StoredRecord): string | undefined {
  return record.fields?.[WAS]
}

/** The record, which was these changes before. */
export function withWas<Kind extends StoredRecord>(record: Kind, was: string): Kind {
  return withField(record, WAS, was)
}

/** The record with these fields and no others. */
export function withFields<Kind extends StoredRecord>(record: Kind, fields: RecordFields): Kind {
  return { ...record, fields }
}

function withField<Kind extends StoredRecord>(
  record: Kind,
  name: string,
  value: string | undefined,
): Kind {
  if (value === undefined || record.fields?.[name] === value) return record
  return { ...record, fields: { ...record.fields, [name]: value } }
}

/** The record as marks see it. */
export function nameOf(record: StoredRecord): MarkedChange {
  return { origin: record.origin, version: versionOf(record), was: wasOf(record) }
}

/** Whether two records of one key are one change: same origin, stamp and kind. */
export function isSameChange(a: StoredRecord, b: StoredRecord): boolean {
  return a.origin === b.origin && a.kind === b.kind && versionOf(a) === versionOf(b)
}

/** The greatest stamp of what a tombstone may have to win against: it is kept until that is old. */
export function lastStampOf(tombstone: Tombstone): bigint {
  const latest = latestOfMarks(marksOf(tombstone))
  return latest > tombstone.deleted ? latest : tombstone.deleted
}

/** The text after the last `/`, or the whole key. */
export function indexOfKey(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1)
}

/** What a single-key subscriber sees when there is no entry, byte for byte. */
export const EMPTY_META = '{"created":0,"updated":0,"index":"","data":{}}'

/**
 * The meta object of an entry as JSON text: `{"created","updated","index","path","data"}`.
 * Keys hold no character that JSON escapes, so they are spliced in as they are.
 */
export function metaJson(entry: Entry): string {
  const index = indexOfKey(entry.key)
  return `{"created":${entry.created},"updated":${entry.updated},"index":"${index}","path":"${entry.key}","data":${entry.data}}`
}

/** A list body: a JSON array of meta objects in the order given. */
export function metaListJson(entries: readonly Entry[]): string {
  return `[${entries.map(metaJson).join(',')}]`
}

/** Display order of every list: newest `created` first; equal stamps by key, ascending. */
export function newestFirst(a: Entry, b: Entry): number {
  if (a.created !== b.created) return a.created > b.created ? -1 : 1
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0
}
