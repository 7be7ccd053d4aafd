/**
 * What was lost in concurrent writes of one key: values, or deletes, that another write replaced
 * without its maker having seen them; and what a leader refused for good. Kept by the node that decided, or that
 * was refused, in the batch in which it did; per scope up to a number of entries and an age.
 *
 * A row is `c/<scope> <stamp>`, where `<scope>` is a hash of the scope's path and `<stamp>` when it was
 * decided. Its value: `<winner's version> <winner's origin> <s|d> <key> <the record that lost>`; of what was refused
 * `<its version> <its origin> r:<error code> <key> <the record>`.
 */
import { hashText } from '../../core/data/digest.ts'
import type { StoredRecord } from '../../core/data/entry.ts'
import { nameOf, versionOf } from '../../core/data/entry.ts'
import type { ChangeName } from '../../core/data/marks.ts'
import { type ErrorCode, StateError } from '../../core/errors.ts'
import { matchKey } from '../../core/keys/key.ts'
import type { BatchOperation, RowRange, StorageAdapter } from '../../core/ports/storage-adapter.ts'
import {
  CONFLICT_ROWS,
  conflictRow,
  conflictRows,
  decodeRecord,
  encodeRecord,
  sealRow,
  unsealRow,
} from '../format/rows.ts'
import type { Planner } from '../planning/planner.ts'

/** A write that lost, or was refused. */
export interface Conflict {
  /** Letters, digits and `-`. */
  readonly id: string
  readonly key: string
  /** What it was: an entry, or a delete. */
  readonly loser: StoredRecord
  /** Stamp and node of what won, and whether that was a delete. */
  readonly winner: { readonly version: bigint; readonly origin: string; readonly isDelete: boolean }
  /** Code of the error for which the leader refused it for good; `winner` names the write itself then. */
  readonly refusedFor?: string
  /** When it was decided, nanoseconds. */
  readonly decidedNs: bigint
}

export interface ConflictLimits {
  /** Entries of one scope. Beyond them the oldest go, a tenth at a time. */
  readonly maxEntries: number
  /** What was decided before goes, nanoseconds; 0n and less: nothing does. */
  readonly oldNs: () => bigint
}

export interface ConflictLogOptions extends ConflictLimits {
  readonly adapter: StorageAdapter
  /** Runs an operation in its turn. */
  readonly run: (planner: Planner<void>) => Promise<void>
  /** The time, nanoseconds. */
  readonly now: () => bigint
  /** The path of the scope of a key. */
  readonly scopeOf: (key: string) => string
  /** Hears of a trim that failed: the next one is tried with the next conflict. */
  readonly onError: (error: unknown) => void
}

export interface ConflictQuery {
  /** A key or glob. Default: all. */
  readonly pattern?: string | undefined
  /** At most so many, the newest. */
  readonly limit: number
}

export class ConflictLog {
  readonly #options: ConflictLogOptions
  /** Codes of what was refused for good, by name, once they have been asked for; as many as one scope keeps. */
  #refusals: Promise<Map<string, string>> | undefined
  /** Entries added since the last trim, by scope. */
  readonly #added = new Map<string, number>()
  #logged = 0
  #trim: Promise<void> = Promise.resolve()

  constructor(options: ConflictLogOptions) {
    this.#options = options
  }

  /** The time, nanoseconds. */
  get nowNs(): bigint {
    return this.#options.now()
  }

  /** How many conflicts were decided since this was made. */
  get logged(): number {
    return this.#logged
  }

  /** The row of a conflict that is being decided; part of the batch that decides it. */
  note(loser: StoredRecord, winner: StoredRecord, decidedNs: bigint): BatchOperation {
    const kind = winner.kind === 'tombstone' ? 'd' : 's'
    return this.#row(loser, `${versionOf(winner)} ${winner.origin} ${kind}`, decidedNs)
  }

  /** The row of a record that the leader refused for good; part of the batch that lets go of it. */
  noteRefused(refused: StoredRecord, code: ErrorCode): BatchOperation {
    void this.#refusals?.then((known) => this.#remember(known, refused, code))
    return this.#row(refused, `${versionOf(refused)} ${refused.origin} r:${code}`, this.nowNs)
  }

  /** Code of the error for which the leader refused this write for good; undefined when it did not. */
  async refusalOf(key: string, change: ChangeName): Promise<string | undefined> {
    this.#refusals ??= this.#readRefusals()
    return (await this.#refusals).get(`${nameText(change)} ${key}`)
  }

  async #readRefusals(): Promise<Map<string, string>> {
    const known = new Map<string, string>()
    for await (const { loser, refusedFor } of this.#read(CONFLICT_ROWS)) {
      if (refusedFor !== undefined) this.#remember(known, loser, refusedFor)
    }
    return known
  }

  #remember(known: Map<string, string>, record: StoredRecord, code: string): void {
    known.set(`${nameText(nameOf(record))} ${record.key}`, code)
    for (const name of known.keys()) {
      if (known.size <= this.#options.maxEntries) return
      known.delete(name)
    }
  }

  #row(loser: StoredRecord, decided: string, decidedNs: bigint): BatchOperation {
    const scope = hashOf(this.#options.scopeOf(loser.key))
    const added = (this.#added.get(scope) ?? 0) + 1
    this.#added.set(scope, added)
    this.#logged++
    if (added * 10 > this.#options.maxEntries) this.#trimSoon(scope)
    const row = conflictRow(scope, decidedNs)
    const value = `${decided} ${loser.key} ${encodeRecord(loser, 0)}`
    return { type: 'put', key: row, value: sealRow(row, value) }
  }

  /** What takes a conflict out of the log, as part of a batch. */
  dropOf({ id }: Pick<Conflict, 'id'>): BatchOperation {
    return { type: 'del', key: `c/${id.replace('-', ' ')}` }
  }

  /** Newest first. Rows that cannot be read are left out. */
  async list({ pattern, limit }: ConflictQuery): Promise<Conflict[]> {
    const oldNs = this.#options.oldNs()
    let found: Conflict[] = []
    for await (const conflict of this.#read(CONFLICT_ROWS)) {
      if (conflict.decidedNs < oldNs) continue
      if (pattern !== undefined && !matchKey(pattern, conflict.key)) continue
      found.push(conflict)
      if (found.length >= limit * 2) found = newest(found, limit)
    }
    return newest(found, limit)
  }

  /** @throws StateError `not_found` for an id that is not, or no longer, in the log. */
  async get(id: string): Promise<Conflict> {
    const row = rowOf(id)
    const [value] = row === undefined ? [] : await this.#options.adapter.getMany([row])
    const conflict =
      row === undefined || value === undefined ? undefined : decodeConflict(row, value)
    if (conflict !== undefined) return conflict
    throw new StateError('not_found', `conflicts: no conflict ${id} here`)
  }

  /** Takes an entry out of the log. */
  async remove(id: string): Promise<void> {
    const row = rowOf(id)
    if (row !== undefined) await this.#remove([row])
  }

  /** Removes what is beyond the limits, in every scope. */
  trim(): Promise<void> {
    this.#trim = this.#trim.then(() => this.#trimAll())
    return this.#trim
  }

  #trimSoon(scope: string): void {
    this.#added.delete(scope)
    this.#trim = this.#trim.then(() => this.#trimScope(scope)).catch(this.#options.onError)
  }

  async #trimAll(): Promise<void> {
    const scopes = new Set<string>()
    for await (const [row] of this.#options.adapter.iterate(CONFLICT_ROWS)) {
      scopes.add(row.slice(2, row.indexOf(' ')))
    }
    for (const scope of scopes) await this.#trimScope(scope).catch(this.#options.onError)
  }

  async #trimScope(scope: string): Promise<void> {
    const { adapter, maxEntries } = this.#options
    const oldNs = this.#options.oldNs()
    const oldest = conflictRow(scope, oldNs > 0n ? oldNs : 0n)
    const doomed: string[] = []
    let kept = 0
    for await (const [row] of adapter.iterate({ ...conflictRows(scope), reverse: true })) {
      if (row < oldest || kept >= maxEntries) doomed.push(row)
      else kept++
    }
    if (doomed.length > 0) await this.#remove(doomed)
  }

  #remove(rows: readonly string[]): Promise<void> {
    const operations = rows.map((key): BatchOperation => ({ type: 'del', key }))
    return this.#options.run({
      reads: () => ({}),
      plan: () => ({ plan: { keyStates: [], rows: operations }, result: undefined }),
    })
  }

  async *#read(range: RowRange): AsyncGenerator<Conflict> {
    for await (const [row, value] of this.#options.adapter.iterate(range)) {
      const conflict = decodeConflict(row, value)
      if (conflict !== undefined) yield conflict
    }
  }
}

function newest(conflicts: readonly Conflict[], limit: number): Conflict[] {
  const byTime = (a: Conflict, b: Conflict): number => (a.decidedNs > b.decidedNs ? -1 : 1)
  return [...conflicts].sort(byTime).slice(0, limit)
}

function nameText({ version, origin }: ChangeName): string {
  return `${version}@${origin}`
}

function hashOf(path: string): string {
  const { high, low } = hashText(path)
  return [high, low].map((lane) => lane.toString(16).padStart(8, '0')).join('')
}

function rowOf(id: string): string | undefined {
  return /^[\da-f]{16}-[\da-f]{16}$/.test(id) ? `c/${id.replace('-', ' ')}` : undefined
}

function decodeConflict(row: string, sealed: string): Conflict | undefined {
  const value = unsealRow(row, sealed)
  const fields = value?.match(/^(\d+) (\S+) (s|d|r:\w+) (\S+) (.+)$/s) ?? []
  const [, version, origin, kind, key, lost] = fields
  if (version === undefined || origin === undefined || key === undefined) return undefined
  const loser = lost === undefined ? undefined : decodeRecord(key, lost)?.record
  if (loser === undefined) return undefined
  return {
    id: row.slice(2).replace(' ', '-'),
    key,
    loser,
    winner: { version: BigInt(version), origin, isDelete: kind === 'd' },
    ...(kind?.startsWith('r:') === true ? { refusedFor: kind.slice(2) } : {}),
    decidedNs: BigInt(`0x${row.slice(-16)}`),
  }
}
