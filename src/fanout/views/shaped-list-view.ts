/**
 * The state of a list subscription whose whole list passes through a filter. Every frame is the
 * difference between what was last sent and what the filter makes of the entries now, so it is
 * right whatever the filter drops, changes or re-orders. The cost of a change follows the list.
 */
import type { Entry, StoredRecord } from '../../core/data/entry.ts'
import { metaListJson, newestFirst } from '../../core/data/entry.ts'
import { OrderedList } from '../../core/data/ordered-list.ts'
import { patchJson } from '../../core/json/patch.ts'
import { type FrameBody, patchLimit } from '../frames/frame.ts'
import { diffEntries } from './list-diff.ts'
import { metaLength } from './list-view.ts'
import type { View } from './view.ts'

export class ShapedListView implements View {
  readonly #shape: (entries: readonly Entry[]) => readonly Entry[]
  /** What there is to filter, newest first. */
  readonly #source: OrderedList<Entry>
  readonly #byKey = new Map<string, Entry>()
  /** What subscribers hold. */
  #shown: readonly Entry[]

  /**
   * @param entries as shaped one by one, newest first
   * @param shape the filter of the whole list
   * @throws what the filter throws
   */
  constructor(entries: readonly Entry[], shape: (entries: readonly Entry[]) => readonly Entry[]) {
    this.#shape = shape
    this.#source = new OrderedList(newestFirst, [...entries].sort(newestFirst))
    for (const entry of entries) this.#byKey.set(entry.key, entry)
    this.#shown = shape(this.#source.toArray())
  }

  list(): readonly Entry[] {
    return this.#shown
  }

  apply(records: readonly StoredRecord[]): FrameBody | undefined {
    for (const record of records) {
      const old = this.#byKey.get(record.key)
      if (old !== undefined) this.#source.delete(old)
      this.#byKey.delete(record.key)
      if (record.kind !== 'entry') continue
      this.#byKey.set(record.key, record)
      this.#source.insert(record)
    }
    return this.refresh()
  }

  /** The step to what the filter shows now. @throws what the filter throws; what was sent stays. */
  refresh(): FrameBody | undefined {
    const before = this.#shown
    const after = this.#shape(this.#source.toArray())
    this.#shown = after
    const operations = diffEntries(before, after)
    if (operations.length === 0) return undefined
    if (after.length === 0 && operations.length > 1) return { snapshot: true, data: '[]' }
    const patch = patchJson(operations)
    return patch.length > patchLimit(this.length)
      ? { snapshot: true, data: this.json() }
      : { snapshot: false, data: patch }
  }

  json(): string {
    return metaListJson(this.#shown)
  }

  entries(): readonly Entry[] {
    return this.#shown
  }

  get length(): number {
    const shown = this.#shown
    return shown.reduce((sum, entry) => sum + metaLength(entry), shown.length + 1)
  }
}
