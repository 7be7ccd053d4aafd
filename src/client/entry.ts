/** What the client hands out: meta objects with exact stamps. */
import { StateError } from '../core/errors.ts'

/** A value and what the server knows about it. Treat it as read-only: states share structure. */
export interface ClientEntry<T = unknown> {
  /** Nanoseconds since the Unix epoch at which the key came into being. */
  readonly created: bigint
  /** Nanoseconds since the Unix epoch of the latest overwrite; 0n when there was none. */
  readonly updated: bigint
  /** Last segment of the key. */
  readonly index: string
  /** The whole key. */
  readonly path: string
  /** The value. Integers that a double cannot hold are `bigint`. Not checked against `T`. */
  readonly data: T
}

/** Entries by the document node they were made from, so that an unchanged one keeps its identity. */
const entries = new WeakMap<object, ClientEntry>()

/**
 * The entry that a decoded meta object describes; undefined for the empty object that stands for
 * an absent key (`created` 0 and no index).
 * @throws StateError `invalid_message` when it is not a meta object.
 */
export function entryOfMeta(meta: unknown): ClientEntry | undefined {
  if (typeof meta !== 'object' || meta === null || Array.isArray(meta)) {
    throw new StateError('invalid_message', 'an entry must be a JSON object')
  }
  const known = entries.get(meta)
  if (known !== undefined) return known
  const fields = meta as Record<string, unknown>
  const created = stamp(fields.created, 'created')
  const updated = stamp(fields.updated, 'updated')
  const index = text(fields.index, 'index')
  const path = text(fields.path ?? '', 'path')
  if (created === 0n && index === '') return undefined
  const data: unknown = fields.data
  const entry: ClientEntry = Object.freeze({ created, updated, index, path, data })
  entries.set(meta, entry)
  return entry
}

/**
 * The entries of a decoded list, in its order.
 * @throws StateError `invalid_message` when it is not an array of meta objects.
 */
export function entriesOfList(list: unknown): ClientEntry[] {
  if (!Array.isArray(list)) {
    throw new StateError('invalid_message', 'the state of a glob must be a JSON array')
  }
  const result: ClientEntry[] = []
  for (const meta of list) {
    const entry = entryOfMeta(meta)
    if (entry !== undefined) result.push(entry)
  }
  return result
}

function stamp(value: unknown, name: string): bigint {
  if (typeof value === 'bigint') return value
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value)
  throw new StateError('invalid_message', `"${name}" of an entry must be an integer`)
}

function text(value: unknown, name: string): string {
  if (typeof value === 'string') return value
  throw new StateError('invalid_message', `"${name}" of an entry must be a text`)
}
