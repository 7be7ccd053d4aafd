/** What filters are: the functions a server's owner gives, and what is said about them. */
import type { Schema } from '../../core/json/schema.ts'
import type { FilterEntry } from './entry.ts'

/** What a request wants to do. Lists and single objects are opened apart. */
export type FilterOperation = 'read-object' | 'read-list' | 'write' | 'delete'

/**
 * Gives the value to store, or undefined to store what was sent, digit for digit. `key` is that of the
 * request: the glob for a push. `data` is the parsed value (integers a double cannot hold are `bigint`),
 * `json` its compact text. Throwing refuses the write with the error's text.
 */
export type WriteFilter = (key: string, data: unknown, json: string) => unknown
/** Throwing refuses the delete. `key` may be a glob. */
export type DeleteFilter = (key: string) => void | Promise<void>
/**
 * Gives what is shown of an entry: itself, a changed copy, or undefined to hide it. Also asked for a
 * key that is absent (`created` 0n, empty `index`), and may invent an entry. Synchronous and, since
 * subscribers are told of changes to the entry only, a function of its arguments.
 */
export type ReadObjectFilter = (key: string, entry: FilterEntry) => FilterEntry | undefined
/** Gives what is shown of a list: a subset, copies, another order. Synchronous. */
export type ReadListFilter = (
  key: string,
  entries: readonly FilterEntry[],
) => readonly FilterEntry[] | undefined
/** Runs after a write is durable, before it is answered. Never for deletes. */
export type AfterWriteFilter = (key: string) => void | Promise<void>

export interface FilterMeta {
  /** For people, shown by the management API. */
  readonly description?: string
  /** Shown by the management API; a write filter's is checked before the filter runs. */
  readonly schema?: Schema
}

/** How much of a read the filters take part in. */
export type ReadStages = 'plain' | 'objects' | 'list'
