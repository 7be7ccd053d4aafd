/**
 * What a subscriber of one node knows: the records as of its start, and every commit since. Fails
 * at once when a key goes back to an older record, or a read differs from what was told.
 */
import type { Commit, Entry, StoredRecord } from '../../src/core/data/entry.ts'
import { marksOf, newestFirst, versionOf } from '../../src/core/data/entry.ts'
import { hasGlob, matchKey } from '../../src/core/keys/key.ts'
import type { SequencedRow } from '../../src/store/format/rows.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { Causality, Op } from './causality.ts'

export interface ViewOptions {
  readonly host: string
  readonly store: ReplicationStore
  readonly causality: Causality
  /** Whether nothing can be said of a key, because its record was damaged on purpose. */
  readonly isExempt: (key: string) => boolean
  /** Whether a record is a delete that may be forgotten, of which nobody is told. */
  readonly isForgettable: (record: StoredRecord) => boolean
  /** Hears of a record that came in the place of another; throws when it may not. */
  readonly replaced: (before: StoredRecord, after: StoredRecord) => void
  /** Hears of a record that was given another stamp here. */
  readonly restamped: () => void
}

export class View {
  /** Tombstones too. */
  readonly records: Map<string, StoredRecord> = new Map()
  /** Changes made on this node in this life, oldest first. */
  readonly own: StoredRecord[] = []
  readonly #options: ViewOptions
  readonly #commits: Commit[] = []
  /** What has been visible under each key. */
  readonly #seen = new Map<string, Set<Op>>()
  #seq = 0
  /** What was wrong first. */
  #failure: Error | undefined

  /**
   * Begins with what the store holds; nothing may be written meanwhile.
   * @param past what the life before knew: the process may have died before it told of what it had written.
   */
  static async open(options: ViewOptions, past: View | undefined): Promise<View> {
    const view = new View(options)
    const { seq, records } = await options.store.scan()
    for await (const record of records) {
      if (past !== undefined && !options.causality.knows(record)) past.#written(record)
      view.records.set(record.key, record)
      view.#see(record.key, options.causality.opOf(record))
    }
    view.#seq = seq
    options.store.onCommit((commit) => view.#hear(commit))
    return view
  }

  constructor(options: ViewOptions) {
    this.#options = options
  }

  /** The greatest stamp of all that is known. */
  get latest(): bigint {
    let latest = 0n
    for (const record of this.records.values()) {
      if (versionOf(record) > latest) latest = versionOf(record)
    }
    return latest
  }

  /** @throws Error that says what was wrong with a commit or a read. */
  assertRight(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Reads a key or glob through the store. What it answers must be what was told up to its seq. */
  async read(pattern: string): Promise<void> {
    const before = new Map(this.records)
    const from = this.#commits.length
    const { seq, entries } = await this.#options.store.read(pattern)
    if ([...before.keys()].some((key) => this.#options.isExempt(key))) return
    for (const commit of this.#commits.slice(from)) {
      if (commit.seq > seq) break
      for (const { key, after } of commit.changes) before.set(key, after)
    }
    const told = [...before.values()]
      .filter((record): record is Entry => record.kind === 'entry')
      .filter(({ key }) => (hasGlob(pattern) ? matchKey(pattern, key) : key === pattern))
      .sort(newestFirst)
    const [a, b] = [told, entries].map((list) => list.map(tellRecord).join(', '))
    if (a !== b) this.#fail(`read ${pattern} as of ${seq}: told ${a}, read ${b}`)
  }

  /** The first key whose record in the store is not the one that was told. */
  difference(records: ReadonlyMap<string, StoredRecord>): string | undefined {
    for (const key of new Set([...records.keys(), ...this.records.keys()])) {
      const [told, stored] = [this.records, records].map((all) => tellRecord(all.get(key)))
      if (told === stored || this.#options.isExempt(key)) continue
      const last = this.records.get(key)
      if (!records.has(key) && last !== undefined && this.#options.isForgettable(last)) continue
      return `${this.#options.host} told its subscribers of ${key}: ${told}, and holds ${stored}`
    }
    return undefined
  }

  #hear(commit: Commit): void {
    if (commit.seq <= this.#seq) this.#fail(`commit ${commit.seq} after commit ${this.#seq}`)
    this.#seq = commit.seq
    this.#commits.push(commit)
    for (const { key, before, after } of commit.changes) {
      const known = this.records.get(key)
      const entry = known?.kind === 'entry' ? known : undefined
      if (!this.#options.isExempt(key)) {
        const [told, said] = [entry, before].map(tellRecord)
        if (told !== said) this.#fail(`a change of ${key} from ${said}, which was ${told}`)
      }
      this.#judge(known, after, commit)
      this.records.set(key, after)
      if (commit.source === undefined) this.own.push(after)
    }
  }

  /**
   * The process dies. What it had taken of others and not told of is on its disk, in the place of what it told last.
   * @param rowOf a key's record on the disk, before the disk loses anything.
   */
  died(rowOf: (key: string) => SequencedRow | undefined): void {
    const { causality } = this.#options
    for (const [key, told] of this.records) {
      const row = rowOf(key)
      if (row === undefined || row.seq <= this.#seq || !causality.knows(row.record)) continue
      causality.replaced(causality.opOf(told), causality.opOf(row.record))
    }
  }

  /** This life wrote this, and died before it told of it. */
  #written(record: StoredRecord): void {
    const { causality } = this.#options
    const known = this.records.get(record.key)
    if (known !== undefined && causality.isRestamp(known, record)) {
      causality.restamped(known, record)
      return
    }
    const op = causality.wrote(record, this.#seen.get(record.key) ?? [])
    if (known !== undefined) causality.replaced(causality.opOf(known), op)
  }

  /** Takes a change into what is known of causes, and says whether it may be. */
  #judge(known: StoredRecord | undefined, after: StoredRecord, commit: Commit): void {
    const { causality, isExempt, replaced, restamped } = this.#options
    const { key } = after
    // The log is told again of what is there, or its fields have changed.
    if (known !== undefined && tellRecord(known) === tellRecord(after)) return
    const isOwn = commit.source === undefined
    if (isOwn && known !== undefined && causality.isRestamp(known, after)) {
      causality.restamped(known, after)
      restamped()
    } else if (isOwn) causality.wrote(after, this.#seen.get(key) ?? [])
    else if (known !== undefined && !isExempt(key)) {
      try {
        replaced(known, after)
      } catch (error) {
        this.#fail((error as Error).message)
      }
    }
    const op = causality.opOf(after)
    if (known !== undefined) causality.replaced(causality.opOf(known), op)
    this.#see(key, op)
  }

  #see(key: string, op: Op): void {
    this.#seen.set(key, (this.#seen.get(key) ?? new Set()).add(op))
  }

  #fail(message: string): void {
    this.#failure ??= new Error(`${this.#options.host}: ${message}`)
  }
}

export function tellRecord(record: StoredRecord | undefined): string {
  if (record === undefined) return 'nothing'
  if (record.kind === 'tombstone') return `deleted ${record.deleted} by ${record.origin}`
  return `${record.data} ${record.created}/${record.updated} by ${record.origin}`
}

/** The record with what else nodes have to agree on. */
export function tellWithMarks(record: StoredRecord | undefined): string {
  const marks = marksOf(record)
  return `${tellRecord(record)}${marks === undefined ? '' : `, marks ${marks}`}`
}
