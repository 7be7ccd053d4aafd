/**
 * Changes made here that lost against one of the leader before the leader had acknowledged them. They
 * are gone from the state, and still pending: only the leader can tell whether the winner's maker knew
 * of them, so it is shown them once more, and keeps what was lost without anybody having seen it.
 */
import { type StoredRecord, versionOf } from '../../core/data/entry.ts'
import type { ChangeName } from '../../core/data/marks.ts'
import type { BatchOperation, StorageAdapter } from '../../core/ports/storage-adapter.ts'
import {
  decodeRecord,
  encodeRecord,
  type SequencedRow,
  SUPERSEDED_ROWS,
  sealRow,
  seqOfRow,
  supersededRow,
  unsealRow,
} from '../format/rows.ts'
import type { LeaderOf } from '../types/store-options.ts'
import type { KeyState } from './state.ts'

/** A change that lost, under the seq it had. */
export interface SupersededWrite {
  readonly seq: number
  readonly record: StoredRecord
  /** What its maker had seen; see `causal-context.ts`. */
  readonly causalContext: string
  readonly pendingFor: string
}

/** What an operation does to them. */
export interface SupersededChange {
  readonly added?: readonly SupersededWrite[]
  /** Seqs that the leader has been shown. */
  readonly settled?: readonly number[]
}

/** Kept at most; of more, the newest are let go and counted. */
const MAX_ROWS = 1000

/** undefined: nobody leads the key now but this node. */
type KeptRow = Omit<SupersededWrite, 'pendingFor'> & { readonly pendingFor: string | undefined }

export class SupersededWrites {
  readonly #rows = new Map<number, KeptRow>()
  #evicted = 0

  has(seq: number): boolean {
    return this.#rows.has(seq)
  }

  get size(): number {
    return this.#rows.size
  }

  /** How many there was no room for. */
  get evicted(): number {
    return this.#evicted
  }

  /** The part of `change` that is done: what there is room for, and what is there to be settled. */
  admit({ added = [], settled = [] }: SupersededChange): Required<SupersededChange> {
    const room = Math.max(0, MAX_ROWS - this.#rows.size)
    this.#evicted += Math.max(0, added.length - room)
    return { added: added.slice(0, room), settled: settled.filter((seq) => this.#rows.has(seq)) }
  }

  /** Takes what is durable now. */
  apply({ added = [], settled = [] }: SupersededChange): void {
    for (const row of added) this.#rows.set(row.seq, row)
    for (const seq of settled) this.#rows.delete(seq)
  }

  /** Those for `leader`, oldest first, without the seqs in `skip`. */
  pending(leader: string, limit: number, skip: ReadonlySet<number>): SequencedRow[] {
    const found: SequencedRow[] = []
    for (const { seq, record, causalContext, pendingFor } of this.#rows.values()) {
      if (pendingFor === leader && !skip.has(seq))
        found.push({ seq, record, causalContext, isLost: true })
    }
    return found.sort((a, b) => a.seq - b.seq).slice(0, limit)
  }

  count(leader: string): number {
    let count = 0
    for (const { pendingFor } of this.#rows.values()) if (pendingFor === leader) count++
    return count
  }

  /** Whether this change is one of them. */
  includes(key: string, { origin, version }: ChangeName): boolean {
    return [...this.#rows.values()].some(
      ({ record }) =>
        record.key === key && record.origin === origin && versionOf(record) === version,
    )
  }

  /** The one of this seq, if it is pending for `leader`. */
  find(leader: string, seq: number): SequencedRow | undefined {
    const row = this.#rows.get(seq)
    if (row?.pendingFor !== leader) return undefined
    return { seq, record: row.record, causalContext: row.causalContext, isLost: true }
  }

  /** Asks again for whom they are pending. A node that leads keeps them for who leads after it. */
  retarget(leaderOf: LeaderOf): void {
    for (const [seq, row] of this.#rows) {
      this.#rows.set(seq, { ...row, pendingFor: leaderOf(row.record.key) })
    }
  }

  /** Reads them from a storage that was just opened; those that nobody leads any more are passed over. */
  async load(adapter: StorageAdapter, leaderOf: LeaderOf): Promise<void> {
    this.#rows.clear()
    for await (const [row, sealed] of adapter.iterate(SUPERSEDED_ROWS)) {
      const superseded = decodeSuperseded(row, sealed)
      const pendingFor = superseded === undefined ? undefined : leaderOf(superseded.record.key)
      if (superseded === undefined || pendingFor === undefined || this.#rows.size >= MAX_ROWS)
        continue
      this.#rows.set(superseded.seq, { ...superseded, pendingFor })
    }
  }
}

interface RowSources {
  readonly records: { keyState(key: string): KeyState | undefined | Promise<KeyState | undefined> }
  readonly superseded: Pick<SupersededWrites, 'find'>
}

/** what is pending under the seq of a row; undefined when that is settled, or another change took its place. */
export async function readPendingRow(
  { records, superseded }: RowSources,
  leader: string,
  { seq, record: { key } }: SequencedRow,
): Promise<SequencedRow | undefined> {
  const keyState = await records.keyState(key)
  // After that: what loses while it is read is in one of them.
  const row = superseded.find(leader, seq)
  if (row !== undefined) return row
  return keyState?.seq === seq && keyState.pendingFor === leader ? keyState : undefined
}

/** To whom, how many at most, and the seqs to leave out. */
export type PendingQuery = readonly [leader: string, limit: number, skip: ReadonlySet<number>]

/** what is pending and is held, or is no longer, each. */
export interface PendingSources {
  readonly records: { pending(...query: PendingQuery): SequencedRow[] | Promise<SequencedRow[]> }
  readonly superseded: Pick<SupersededWrites, 'pending'>
}

/** what is pending of both kinds, in the order in which it is pushed. */
export async function readPending(
  { records, superseded: writes }: PendingSources,
  query: PendingQuery,
): Promise<SequencedRow[]> {
  const pending = await records.pending(...query)
  // After that: what loses while they are read is in both, and would be in neither the other way round.
  const superseded = writes.pending(...query)
  const seqs = new Set(superseded.map(({ seq }) => seq))
  const others = pending.filter(({ seq }) => !seqs.has(seq))
  return inOrderMade([...superseded, ...others].sort((a, b) => a.seq - b.seq).slice(0, query[1]))
}

/**
 * A leader takes what comes out of turn for a repetition (see `merged-versions.ts`). A change that was given a
 * new place, for marks or to be told again, lies behind what its node wrote later: within the places that
 * changes of one origin have, the one that was made first comes first.
 */
function inOrderMade(rows: readonly SequencedRow[]): SequencedRow[] {
  const made = new Map<string, SequencedRow[]>()
  for (const row of rows) {
    const { origin } = row.record
    const others = made.get(origin)
    if (others === undefined) made.set(origin, [row])
    else others.push(row)
  }
  for (const of of made.values()) of.sort((a, b) => compareMade(a.record, b.record))
  const next = new Map([...made].map(([origin, of]) => [origin, of.values()]))
  return rows.map((row) => next.get(row.record.origin)?.next().value ?? row)
}

/** Of one origin. Deletes of one operation have one version; they are made by key. */
function compareMade(a: StoredRecord, b: StoredRecord): number {
  const [of, than] = [versionOf(a), versionOf(b)]
  if (of !== than) return of < than ? -1 : 1
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0
}

/** The rows of a change. */
export function supersededOperations({
  added,
  settled,
}: Required<SupersededChange>): BatchOperation[] {
  return [
    ...added.map(({ seq, record, causalContext }): BatchOperation => {
      const row = supersededRow(seq)
      const value = `${causalContext} ${record.key} ${encodeRecord(record, seq)}`
      return { type: 'put', key: row, value: sealRow(row, value) }
    }),
    ...settled.map((seq): BatchOperation => ({ type: 'del', key: supersededRow(seq) })),
  ]
}

function decodeSuperseded(
  row: string,
  sealed: string,
): Omit<SupersededWrite, 'pendingFor'> | undefined {
  const value = unsealRow(row, sealed)
  const [, causalContext, key, rest] = value?.match(/^(\S+) (\S+) (.+)$/s) ?? []
  if (causalContext === undefined || key === undefined || rest === undefined) return undefined
  const decoded = decodeRecord(key, rest)
  return decoded === undefined
    ? undefined
    : { seq: seqOfRow(row), record: decoded.record, causalContext }
}
