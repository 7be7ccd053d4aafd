/** The state of a single-key subscription: the key's meta object, or the empty object. */
import type { Entry, StoredRecord } from '../../core/data/entry.ts'
import { EMPTY_META, indexOfKey, metaJson } from '../../core/data/entry.ts'
import { diffTexts, patchJson, putOperation, removeOperation } from '../../core/json/patch.ts'
import { type FrameBody, patchLimit } from '../frames/frame.ts'
import { metaLength } from './list-view.ts'
import type { View } from './view.ts'

export class ObjectView implements View {
  readonly #shape: (entry: Entry | undefined) => Entry | undefined
  #entry: Entry | undefined

  /** @param shape gives what is shown of an entry, or of there being none; it may throw */
  constructor(
    entry: Entry | undefined,
    shape: (entry: Entry | undefined) => Entry | undefined = (stored) => stored,
  ) {
    this.#shape = shape
    this.#entry = shape(entry)
  }

  apply(records: readonly StoredRecord[]): FrameBody | undefined {
    const last = records[records.length - 1]
    if (last === undefined) return undefined
    const before = this.#entry
    this.#entry = this.#shape(last.kind === 'entry' ? last : undefined)
    return objectFrame(before, this.#entry)
  }

  json(): string {
    return this.#entry === undefined ? EMPTY_META : metaJson(this.#entry)
  }

  get length(): number {
    return this.#entry === undefined ? EMPTY_META.length : metaLength(this.#entry)
  }
}

/** The frame from one state of a key to the next; undefined when the meta object stays the same. */
function objectFrame(before: Entry | undefined, after: Entry | undefined): FrameBody | undefined {
  if (before === undefined) {
    return after === undefined ? undefined : { snapshot: true, data: metaJson(after) }
  }
  const full = after === undefined ? EMPTY_META : metaJson(after)
  const limit = patchLimit(full.length)
  const operations = metaOperations(before, after)
  const data = diffTexts(before.data, after?.data ?? '{}', '/data', limit)
  if (data === undefined) return { snapshot: true, data: full }
  operations.push(...data)
  if (operations.length === 0) return undefined
  const patch = patchJson(operations)
  return patch.length > limit ? { snapshot: true, data: full } : { snapshot: false, data: patch }
}

/** The steps of everything but `data`; `after` is undefined for the empty object. */
function metaOperations(before: Entry, after: Entry | undefined): string[] {
  const operations: string[] = []
  const created = after?.created ?? 0n
  const updated = after?.updated ?? 0n
  if (created !== before.created) operations.push(putOperation('replace', '/created', `${created}`))
  if (updated !== before.updated) operations.push(putOperation('replace', '/updated', `${updated}`))
  if (after === undefined) {
    if (indexOfKey(before.key) !== '') operations.push(putOperation('replace', '/index', '""'))
    operations.push(removeOperation('/path'))
  }
  return operations
}
