/**
 * The state of a list subscription. One order, newest first, holds for snapshots and inserts alike;
 * entries are told apart by key, and a patch position is the rank at that point of the patch.
 */
import type { Entry, StoredRecord } from '../../core/data/entry.ts'
import { indexOfKey, metaJson, metaListJson, newestFirst } from '../../core/data/entry.ts'
import { OrderedList } from '../../core/data/ordered-list.ts'
import { patchJson, putOperation, removeOperation } from '../../core/json/patch.ts'
import { type FrameBody, patchLimit } from '../frames/frame.ts'
import type { View } from './view.ts'

export class ListView implements View {
  readonly #order: OrderedList<Entry>
  readonly #byKey = new Map<string, Entry>()
  /** Characters of all meta objects, kept so that patch and snapshot can be weighed. */
  #length = 0

  constructor(entries: readonly Entry[]) {
    this.#order = new OrderedList(newestFirst, entries)
    for (const entry of entries) {
      this.#byKey.set(entry.key, entry)
      this.#length += metaLength(entry)
    }
  }

  apply(records: readonly StoredRecord[]): FrameBody | undefined {
    const operations: string[] = []
    for (const record of records) {
      if (record.kind === 'entry') this.#put(record, operations)
      else this.#remove(record.key, operations)
    }
    if (operations.length === 0) return undefined
    // A glob delete that took everything: one short frame, whatever it took.
    if (this.#order.size === 0 && operations.length > 1) return { snapshot: true, data: '[]' }
    const patch = patchJson(operations)
    return patch.length > patchLimit(this.length)
      ? { snapshot: true, data: this.json() }
      : { snapshot: false, data: patch }
  }

  json(): string {
    return metaListJson(this.#order.toArray())
  }

  entries(): readonly Entry[] {
    return this.#order.toArray()
  }

  get length(): number {
    return this.#length + this.#order.size + 1
  }

  #put(entry: Entry, operations: string[]): void {
    const old = this.#take(entry.key)
    const rank = this.#order.insert(entry)
    this.#byKey.set(entry.key, entry)
    this.#length += metaLength(entry)
    if (old?.rank === rank) {
      operations.push(putOperation('replace', `/${rank}`, metaJson(entry)))
      return
    }
    // A peer's entry may have another `created` and so another place.
    if (old !== undefined) operations.push(removeOperation(`/${old.rank}`))
    operations.push(putOperation('add', `/${rank}`, metaJson(entry)))
  }

  #remove(key: string, operations: string[]): void {
    const old = this.#take(key)
    if (old !== undefined) operations.push(removeOperation(`/${old.rank}`))
  }

  #take(key: string): { rank: number } | undefined {
    const entry = this.#byKey.get(key)
    if (entry === undefined) return undefined
    this.#byKey.delete(key)
    this.#length -= metaLength(entry)
    return { rank: this.#order.delete(entry) }
  }
}

/** The length of `metaJson(entry)`, without building it. */
export function metaLength(entry: Entry): number {
  const stamps = `${entry.created}${entry.updated}`.length
  return (
    META_PUNCTUATION + stamps + indexOfKey(entry.key).length + entry.key.length + entry.data.length
  )
}

const META_PUNCTUATION = '{"created":,"updated":,"index":"","path":"","data":}'.length
