/**
 * What is asked of data, as values: whoever serves data (REST, batches, endpoints, in-process calls) builds
 * requests, and `execute.ts` and `read.ts` alone carry them out.
 */
import type { Entry } from '../../core/data/entry.ts'
import type { JsonBounds } from '../../core/json/bounds.ts'
import type { Logger } from '../../core/ports/logger.ts'
import type { FilterOperation } from '../../store/filters/filters.ts'
import type { KeyValueStore } from '../../store/key-value-store.ts'
import type { LockingStore } from '../../store/locking-store.ts'
import type { LockedWriteOptions } from '../../store/locks/locks.ts'
import type { ListPace } from '../../store/types/list-pace.ts'
import type { Conditional, DurabilityOption, UpdateWrite, Write } from '../../store/types/write.ts'
import type { MergeRoom } from '../turns/merge-room.ts'

/**
 * Who asks. A `client` is anybody outside of this process, and is served what static mode and guards let out;
 * the code of this `process` is served everything.
 */
export type Caller = 'client' | 'process'

/** A write as it may be asked for: as the store takes it, or a merge. Values have not passed their filter. */
export type RequestedWrite = Exclude<Write, UpdateWrite> | RequestedUpdate | PatchWrite

/** Changes a value in one step; the write filter sees what `change` makes of it. */
export interface RequestedUpdate extends UpdateWrite {
  /** Is given each JSON text that is about to be stored; the last one is what was stored. */
  readonly onMade?: (json: string) => void
}

/** Merges a value deeply into what is stored under a plain key; the write filter sees the merged value. */
export interface PatchWrite extends Conditional {
  readonly op: 'patch'
  readonly key: string
  /** Compact JSON text. */
  readonly json: string
}

/** Writes that are all made or none; one that is made alone is a request of one. */
export interface WriteRequest extends DurabilityOption, Pick<LockedWriteOptions, 'lock'> {
  readonly writes: readonly RequestedWrite[]
  readonly caller: Caller
  /** Errors name the write by its position, from 0. Default false. */
  readonly isBatch?: boolean | undefined
}

export interface ReadRequest {
  /** A plain key, or a glob. */
  readonly key: string
  readonly caller: Caller
}

export interface ListRequest extends ReadRequest {
  /** `newest` (default): greatest `created` first; `oldest`: the reverse. A filter may re-order. */
  readonly order?: 'newest' | 'oldest' | undefined
  /** At most this many entries. Default: all. Without a filter the cost follows the limit. */
  readonly limit?: number | undefined
  /** Only entries with `created` from here on, nanoseconds. Default: from the first. */
  readonly from?: bigint | undefined
  /** Only entries with `created` up to and including this, nanoseconds. Default: to the last. */
  readonly to?: bigint | undefined
  /** How the entries are read. Default: at once. */
  readonly pace?: ListPace | undefined
}

/** The part of `Filters` that data passes through. */
export interface DataFilters {
  permits(operation: FilterOperation, key: string): boolean
  applyWrite(key: string, json: string): string | Promise<string>
  applyDelete(key: string): void | Promise<void>
  applyReadObject(key: string, entry: Entry | undefined): Entry | undefined
  applyReadList(glob: string, entries: readonly Entry[]): readonly Entry[]
  afterWrite(key: string): void | Promise<void>
  /** Whether a read of this key or glob may differ from what is stored. */
  isFiltered(keyOrGlob: string): boolean
}

/** What requests are carried out with. */
export interface DataParts {
  readonly store: Pick<KeyValueStore, 'get' | 'list'>
  /** The store, with writes that wait for the locks of their keys. */
  readonly lockingStore: Pick<LockingStore, 'write'>
  readonly filters: DataFilters
  /** Whether clients are served only paths with a filter. */
  readonly isStatic: boolean
  readonly logger: Logger
  /** What filters may be given. */
  readonly jsonBounds: JsonBounds
  /** Where merges of large documents take their room from. */
  readonly merges: MergeRoom
  /** Asked before what a client sends is written or deleted; throws to refuse it. */
  readonly guard?: (keyOrGlob: string, json: string | undefined) => void
  /** Runs before each read and is waited for; undefined when there is nothing to wait for. */
  readonly beforeRead?: (keyOrGlob: string) => Promise<void> | undefined
}
