/**
 * The store's state whole in memory: every record by key, entries of each directory in display
 * order, and which records are still pending for a leader. Synchronous, so that a read sees one point
 * of the order of commits and reads no disk.
 */
import type { Entry, RecordFields, StoredRecord } from '../../core/data/entry.ts'
import { newestFirst } from '../../core/data/entry.ts'
import { OrderedList } from '../../core/data/ordered-list.ts'
import { directoryOf, hasGlob, matchKey } from '../../core/keys/key.ts'
import type { Steps } from '../../core/steps.ts'
import { ownText } from '../format/own-text.ts'
import { outboxRow, type SequencedRow } from '../format/rows.ts'
import { type ListPace, SHORT_LIST } from '../types/list-pace.ts'
import type { LeaderOf } from '../types/store-options.ts'
import { isCreatedIn, isWholeDirectory, limited, pickingEntries } from './glob-scan.ts'
import type {
  Eventually,
  FoundEntries,
  KeyState,
  KeyStateChange,
  ListOptions,
  State,
  StateView,
} from './state.ts'

export class InMemoryState implements State {
  readonly #keyStates = new Map<string, KeyState>()
  readonly #directories = new Map<string, OrderedList<Entry>>()
  /** Per leader, the keys that are pending for it, by seq. */
  readonly #outboxes = new Map<string, Outbox>()
  /** Rows that were pending when somebody led their keys, which nobody does now but this node. */
  #parked: readonly (readonly [seq: number, key: string])[] = []
  readonly #head: () => number
  /** Entries by directory while the storage is being read: sorted once, at the end. */
  #unsorted = new Map<string, Entry[]>()

  /** @param head seq of the last commit that was applied. */
  constructor(head: () => number) {
    this.#head = head
  }

  view(): StateView {
    return this
  }

  /**
   * Takes a record that was read from the storage, where each has one row. Lists have it after
   * `loaded`; nothing else may be asked or told before that.
   */
  load({ record, seq }: SequencedRow): void {
    const own = ownRecord(record)
    this.#keyStates.set(own.key, { record: own, seq, pendingFor: undefined })
    if (own.kind !== 'entry') return
    const directory = directoryOf(own.key)
    const entries = this.#unsorted.get(directory)
    if (entries === undefined) this.#unsorted.set(ownText(directory), [own])
    else entries.push(own)
  }

  /** Forgets everything: it is read again. */
  clear(): void {
    this.#keyStates.clear()
    this.#directories.clear()
    this.#outboxes.clear()
    this.#unsorted.clear()
    this.#parked = []
  }

  /** Everything was read. */
  loaded(): void {
    for (const [directory, entries] of this.#unsorted) {
      this.#directories.set(directory, new OrderedList(newestFirst, entries.sort(newestFirst)))
    }
    this.#unsorted = new Map()
  }

  matching(glob: string): string[] {
    return this.#matches(glob).map(({ key }) => key)
  }

  written(): void {}

  has(key: string): boolean {
    return this.#keyStates.has(key)
  }

  keyState(key: string): KeyState | undefined {
    return this.#keyStates.get(key)
  }

  keyStates(keys: readonly string[]): readonly (KeyState | undefined)[] {
    return keys.map((key) => this.#keyStates.get(key))
  }

  put({ keyState, before }: KeyStateChange): void {
    const { record, seq, pendingFor, causalContext } = keyState
    const { key } = record
    // One shape for all but the few pending: an object made by spreading another can cost the engine 200
    // bytes more.
    const isPending = pendingFor !== undefined && causalContext !== undefined
    this.#keyStates.set(
      key,
      isPending ? { record, seq, pendingFor, causalContext } : { record, seq, pendingFor },
    )
    if (before?.record !== keyState.record) {
      if (before?.record.kind === 'entry') this.#unlist(before.record)
      if (keyState.record.kind === 'entry') this.#enlist(keyState.record)
    }
    if (before?.pendingFor !== undefined) this.#outbox(before.pendingFor).delete(before.seq)
    if (keyState.pendingFor !== undefined) this.#outbox(keyState.pendingFor).add(keyState.seq, key)
  }

  remove({ record }: KeyState): void {
    this.drop(record.key)
  }

  /** Forgets a record that is not to be served. */
  drop(key: string): KeyState | undefined {
    const keyState = this.#keyStates.get(key)
    this.#keyStates.delete(key)
    if (keyState?.record.kind === 'entry') this.#unlist(keyState.record)
    return keyState
  }

  list(pattern: string, options: ListOptions, pace?: ListPace): Eventually<FoundEntries> {
    if (pace !== undefined) {
      const count = this.#countFor(pattern, options)
      if (count > SHORT_LIST) return this.#listInTurns(pattern, options, count, pace)
    }
    return { seq: this.#head(), entries: this.#entries(pattern, options) }
  }

  /** Directories that can hold no such key are not looked into. */
  keys(prefix: string): string[] {
    const keys: string[] = []
    for (const [directory, list] of this.#directories) {
      if (!directory.startsWith(prefix) && !prefix.startsWith(directory)) continue
      for (const { key } of list) if (key.startsWith(prefix)) keys.push(key)
    }
    return keys.sort()
  }

  scan(prefix: string): { seq: number; rows: AsyncIterable<SequencedRow> } {
    const keyStates: KeyState[] = []
    for (const [key, keyState] of this.#keyStates)
      if (key.startsWith(prefix)) keyStates.push(keyState)
    keyStates.sort((a, b) => (a.record.key < b.record.key ? -1 : 1))
    return { seq: this.#head(), rows: streamed(keyStates) }
  }

  pending(leader: string, limit: number, skip: ReadonlySet<number>): SequencedRow[] {
    const rows: SequencedRow[] = []
    for (const [seq, key] of this.#outbox(leader).rows()) {
      if (rows.length >= limit) break
      const keyState = this.#keyStates.get(key)
      if (keyState === undefined || skip.has(seq)) continue
      rows.push({ seq, record: keyState.record, causalContext: keyState.causalContext })
    }
    return rows
  }

  pendingCount(leader: string): number {
    return this.#outboxes.get(leader)?.size ?? 0
  }

  retarget(leaderOf: LeaderOf): readonly string[] {
    const outboxes = [...this.#outboxes.values()].flatMap((outbox) => [...outbox.rows()])
    const rows = [...this.#parked, ...outboxes].sort(([a], [b]) => a - b)
    const parked: (readonly [number, string])[] = []
    const stale: string[] = []
    this.#outboxes.clear()
    for (const [seq, key] of rows) {
      const keyState = this.#keyStates.get(key)
      if (keyState?.seq !== seq) {
        stale.push(outboxRow(seq))
        continue
      }
      const pendingFor = leaderOf(key)
      if (pendingFor === undefined) parked.push([seq, key])
      this.put({
        keyState: { ...keyState, pendingFor },
        before: { ...keyState, pendingFor: undefined },
      })
    }
    this.#parked = parked
    return stale
  }

  /** What may be in the list is taken in one turn, as of one commit; then it is looked through. */
  async #listInTurns(
    pattern: string,
    options: ListOptions,
    count: number,
    pace: ListPace,
  ): Promise<FoundEntries> {
    await pace.enter(count)
    return pace.run(this.#listing(pattern, options))
  }

  *#listing(pattern: string, options: ListOptions): Steps<FoundEntries> {
    const seq = this.#head()
    if (isWholeDirectory(pattern)) return { seq, entries: this.#entries(pattern, options) }
    const candidates = this.#candidates(pattern)
    return { seq, entries: yield* pickingEntries(candidates, pattern, options) }
  }

  /** How many entries a list takes or looks through. */
  #countFor(pattern: string, { limit = Number.POSITIVE_INFINITY }: ListOptions): number {
    if (!hasGlob(pattern)) return 1
    const directory = directoryOf(pattern)
    if (hasGlob(directory)) return this.#keyStates.size
    const { size } = this.#directories.get(directory) ?? { size: 0 }
    return isWholeDirectory(pattern) ? Math.min(size, limit) : size
  }

  /** All entries among which those of the glob are. */
  #candidates(pattern: string): Entry[] {
    const directory = directoryOf(pattern)
    if (!hasGlob(directory)) return this.#directories.get(directory)?.toArray() ?? []
    const parent = directory.slice(0, -1)
    const found: Entry[] = []
    for (const [name, list] of this.#directories) {
      if (matchKey(parent, name.slice(0, -1))) for (const entry of list) found.push(entry)
    }
    return found
  }

  #entries(pattern: string, options: ListOptions): Entry[] {
    const limit = options.limit ?? Number.POSITIVE_INFINITY
    const oldest = options.order === 'oldest'
    const directory = directoryOf(pattern)
    const isRanged = options.from !== undefined || options.to !== undefined
    if (isWholeDirectory(pattern)) {
      const list = this.#directories.get(directory)
      if (list === undefined) return []
      if (isRanged) return limited(inRange(list, options), options)
      if (limit >= list.size) return oldest ? list.toArray().reverse() : list.toArray()
      return oldest ? list.last(limit).reverse() : list.first(limit)
    }
    const matches = this.#matches(pattern).sort(newestFirst)
    return limited(
      isRanged ? matches.filter((entry) => isCreatedIn(entry, options)) : matches,
      options,
    )
  }

  #matches(pattern: string): Entry[] {
    if (!hasGlob(pattern)) {
      const record = this.#keyStates.get(pattern)?.record
      return record?.kind === 'entry' ? [record] : []
    }
    return this.#candidates(pattern).filter((entry) => matchKey(pattern, entry.key))
  }

  #enlist(entry: Entry): void {
    const directory = directoryOf(entry.key)
    let list = this.#directories.get(directory)
    if (list === undefined) {
      list = new OrderedList<Entry>(newestFirst)
      this.#directories.set(directory, list)
    }
    list.insert(entry)
  }

  #unlist(entry: Entry): void {
    const directory = directoryOf(entry.key)
    const list = this.#directories.get(directory)
    list?.delete(entry)
    if (list?.size === 0) this.#directories.delete(directory)
  }

  #outbox(leader: string): Outbox {
    let outbox = this.#outboxes.get(leader)
    if (outbox === undefined) {
      outbox = new Outbox()
      this.#outboxes.set(leader, outbox)
    }
    return outbox
  }
}

/** Keys by seq, oldest first: a Map in insertion order, put in order again after rows came out of it. */
class Outbox {
  #rows = new Map<number, string>()
  #greatest = 0
  #isSorted = true

  get size(): number {
    return this.#rows.size
  }

  add(seq: number, key: string): void {
    if (seq < this.#greatest && !this.#rows.has(seq)) this.#isSorted = false
    this.#greatest = Math.max(this.#greatest, seq)
    this.#rows.set(seq, key)
  }

  delete(seq: number): void {
    this.#rows.delete(seq)
  }

  rows(): ReadonlyMap<number, string> {
    if (!this.#isSorted) this.#rows = new Map([...this.#rows].sort(([a], [b]) => a - b))
    this.#isSorted = true
    return this.#rows
  }
}

/** The record without the text of the row it was cut from. */
function ownRecord(record: StoredRecord): StoredRecord {
  const key = ownText(record.key)
  const { origin, fields } = record
  if (record.kind === 'tombstone') {
    const tombstone = { kind: 'tombstone', key, deleted: record.deleted, origin } as const
    return fields === undefined ? tombstone : { ...tombstone, fields: ownFields(fields) }
  }
  const { created, updated } = record
  const entry = {
    kind: 'entry',
    key,
    created,
    updated,
    origin,
    data: ownText(record.data),
  } as const
  return fields === undefined ? entry : { ...entry, fields: ownFields(fields) }
}

function ownFields(fields: RecordFields): RecordFields {
  return Object.fromEntries(Object.entries(fields).map(([name, text]) => [name, ownText(text)]))
}

/** The entries of a range, newest first; only they are looked at. */
function inRange(list: OrderedList<Entry>, { from, to }: ListOptions): Entry[] {
  const found: Entry[] = []
  for (const entry of to === undefined ? list : list.from(beforeAllCreatedAt(to))) {
    if (from !== undefined && entry.created < from) break
    found.push(entry)
  }
  return found
}

/** Sorts before every entry with this stamp: no key is empty. */
function beforeAllCreatedAt(created: bigint): Entry {
  return { kind: 'entry', key: '', created, updated: 0n, origin: '', data: '' }
}

async function* streamed(keyStates: readonly KeyState[]): AsyncGenerator<SequencedRow> {
  for (const { seq, record } of keyStates) yield { seq, record }
}
