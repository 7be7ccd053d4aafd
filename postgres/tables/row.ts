/** What a table gives back, and how rows of the database become it. */
import type { StoredRecord } from '../../src/core/data/entry.ts'

/** A live value of a table. Stamps are nanoseconds since the Unix epoch, UTC. */
export interface TableEntry {
  readonly key: string
  /** Stamp of the write that brought the key into being. */
  readonly created: bigint
  /** Stamp of the latest overwrite; 0n while there was none. */
  readonly updated: bigint
  /** JSON text, digit for digit as it was written. */
  readonly value: string
}

/** A place in the changes of a table. Plain data: keep it as JSON and go on from it another day. */
export interface TableCursor {
  /** Id of this life of the table; another one after it was made again. */
  readonly epoch: string
  /** Everything up to and including this seq was seen. */
  readonly seq: number
}

/** A record with its place in the changes of its table. */
export interface TableChange {
  readonly cursor: TableCursor
  /** The key's newest state: an entry, or the tombstone that says it was deleted. */
  readonly record: StoredRecord
}

/** A page of the changes of a table and the state it was read in, all from one point of time. */
export interface TableChanges {
  /** Oldest first; a key that changed several times is there once, with its newest state. */
  readonly changes: readonly TableChange[]
  /** Where the next page begins. */
  readonly through: TableCursor
  /** Seq of the newest change of the table. */
  readonly head: number
  /** Deletes up to this seq may have been forgotten: who is behind it has to compare in full. */
  readonly floor: number
  /** The table's clock, nanoseconds: the database's time, or its greatest stamp when that is ahead. */
  readonly nowNs: bigint
}

/** Size of a table. */
export interface TableStats {
  /** Rows, deleted keys that are still remembered included; an estimate for great tables. */
  readonly rows: number
  /** Bytes on disk, indexes included. */
  readonly bytes: number
  /** Seq of the newest change. */
  readonly head: number
  /** Deletes up to this seq may have been forgotten. */
  readonly floor: number
}

export interface EntryRow {
  readonly key: string
  readonly created: string
  readonly updated: string
  readonly value: string
}

export function entryOf(row: EntryRow): TableEntry {
  return {
    key: row.key,
    created: BigInt(row.created),
    updated: BigInt(row.updated),
    value: row.value,
  }
}

/** A row of `selectChanges`: the state of the table first, then changes. */
export interface ChangeRow {
  readonly kind: 'state' | 'change'
  readonly seq: string
  readonly key: string
  readonly created: string
  readonly updated: string
  readonly version: string
  readonly origin: string
  readonly value: string | null
  /** Changes there were up to the limit of rows, whether they are in the page or not. */
  readonly total: string
}

/** undefined when the state of the table is missing: there is no such table. */
export function changesOf(
  rows: readonly ChangeRow[],
  after: number,
  limit: number,
): TableChanges | undefined {
  const [state, ...found] = rows
  if (state?.kind !== 'state') return undefined
  const epoch = state.key
  const changes = found.map((row) => ({
    cursor: { epoch, seq: Number(row.seq) },
    record: recordOf(row),
  }))
  const head = Number(state.seq)
  const last = changes.at(-1)
  const total = Number(found[0]?.total ?? 0)
  // A page that is not full says that nothing more is there: later numbers were used and freed.
  const isFull = total === limit || total > changes.length
  const seq = last !== undefined && isFull ? last.cursor.seq : head
  return {
    changes,
    through: { epoch, seq: Math.max(seq, Math.min(after, head)) },
    head,
    floor: Number(state.created),
    nowNs: BigInt(state.version),
  }
}

function recordOf(row: ChangeRow): StoredRecord {
  const { key, origin, value } = row
  if (value === null) return { kind: 'tombstone', key, deleted: BigInt(row.version), origin }
  const created = BigInt(row.created)
  return { kind: 'entry', key, created, updated: BigInt(row.updated), origin, data: value }
}
