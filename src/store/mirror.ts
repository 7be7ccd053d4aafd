/**
 * The store's state in memory: every record by key, entries of each directory in display order,
 * and which records are still owed to a leader. Synchronous, so that a read sees one point of the
 * order of commits.
 */
import type { Entry, StoredRecord } from '../core/entry.ts'
import { newestFirst } from '../core/entry.ts'
import { directoryOf, hasGlob, matchKey } from '../core/key.ts'
import { OrderedList } from '../core/ordered-list.ts'

/** What is known of one key. */
export interface Slot {
  readonly record: StoredRecord
  /** Place in the change log of the latest change. */
  readonly seq: number
  /** Leader that has not acknowledged this record yet. */
  readonly owedTo: string | undefined
}

export interface ListOptions {
  /** `newest` (default): greatest `created` first; `oldest`: the reverse. */
  readonly order?: 'newest' | 'oldest'
  /** At most this many entries. Default: all. */
  readonly limit?: number
}

export class Mirror {
  readonly #slots = new Map<string, Slot>()
  readonly #directories = new Map<string, OrderedList<Entry>>()
  /** Per leader, the keys it is owed by seq, oldest first (a Map iterates in insertion order). */
  readonly #outboxes = new Map<string, Map<number, string>>()

  slot(key: string): Slot | undefined {
    return this.#slots.get(key)
  }

  /** The live entry of `key`; undefined when it is absent or deleted. */
  entry(key: string): Entry | undefined {
    const record = this.#slots.get(key)?.record
    return record?.kind === 'entry' ? record : undefined
  }

  slots(): IterableIterator<Slot> {
    return this.#slots.values()
  }

  /** Replaces what is known of a key. `seq` must not go down for a key that is owed. */
  put(slot: Slot): void {
    const key = slot.record.key
    const previous = this.#slots.get(key)
    this.#slots.set(key, slot)
    if (previous?.record !== slot.record) {
      if (previous?.record.kind === 'entry') this.#unlist(previous.record)
      if (slot.record.kind === 'entry') this.#enlist(slot.record)
    }
    if (previous?.owedTo !== undefined) this.#outbox(previous.owedTo).delete(previous.seq)
    if (slot.owedTo !== undefined) this.#outbox(slot.owedTo).set(slot.seq, key)
  }

  /** Entries matching a key or glob, in display order. */
  list(pattern: string, options: ListOptions = {}): Entry[] {
    const limit = options.limit ?? Number.POSITIVE_INFINITY
    const directory = directoryOf(pattern)
    const oldest = options.order === 'oldest'
    if (pattern === `${directory}*` && !hasGlob(directory)) {
      const list = this.#directories.get(directory)
      if (list === undefined) return []
      return oldest ? list.last(limit).reverse() : list.first(limit)
    }
    const matches = this.#matches(pattern).sort(newestFirst)
    if (oldest) matches.reverse()
    return limit < matches.length ? matches.slice(0, limit) : matches
  }

  /** Keys that start with `prefix`, ascending; directories that can hold none are not looked into. */
  keys(prefix = ''): string[] {
    const keys: string[] = []
    for (const [directory, list] of this.#directories) {
      if (!directory.startsWith(prefix) && !prefix.startsWith(directory)) continue
      for (const { key } of list) if (key.startsWith(prefix)) keys.push(key)
    }
    return keys.sort()
  }

  /** What `leader` is owed, oldest change first. */
  owed(leader: string): ReadonlyMap<number, string> {
    return this.#outbox(leader)
  }

  /** Puts the outboxes back in seq order after rows were added out of order. */
  sortOutboxes(): void {
    for (const [leader, outbox] of this.#outboxes) {
      this.#outboxes.set(leader, new Map([...outbox].sort(([a], [b]) => a - b)))
    }
  }

  #matches(pattern: string): Entry[] {
    if (!hasGlob(pattern)) {
      const entry = this.entry(pattern)
      return entry === undefined ? [] : [entry]
    }
    const parent = directoryOf(pattern).slice(0, -1)
    if (!hasGlob(parent)) {
      const list = this.#directories.get(directoryOf(pattern))
      return list === undefined
        ? []
        : list.toArray().filter((entry) => matchKey(pattern, entry.key))
    }
    const found: Entry[] = []
    for (const [directory, list] of this.#directories) {
      if (!matchKey(parent, directory.slice(0, -1))) continue
      for (const entry of list) if (matchKey(pattern, entry.key)) found.push(entry)
    }
    return found
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

  #outbox(leader: string): Map<number, string> {
    let outbox = this.#outboxes.get(leader)
    if (outbox === undefined) {
      outbox = new Map()
      this.#outboxes.set(leader, outbox)
    }
    return outbox
  }
}
