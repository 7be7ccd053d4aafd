/** What is written, and what a write did: the words that all who write speak. */
import { type Entry, indexOfKey } from '../../core/data/entry.ts'
import type { Precondition } from '../../core/data/precondition.ts'
import type { Durability } from '../../core/ports/storage-adapter.ts'

/** Something that is written alone, or among others that are all written or none. `json` is compact JSON text. */
export type Write = SetWrite | PushWrite | UpdateWrite | DeleteWrite

/** Writes a value under a plain key. */
export interface SetWrite extends Conditional {
  readonly op: 'set'
  readonly key: string
  readonly json: string
}

/** Writes a value under a new key made from a glob whose last segment is `*`. */
export interface PushWrite {
  readonly op: 'push'
  readonly key: string
  readonly json: string
}

/** Replaces the value of a plain key by what `change` makes of it. */
export interface UpdateWrite extends Conditional {
  readonly op: 'update'
  readonly key: string
  /** Runs when the write is planned, more than once perhaps; what it throws refuses the write. */
  readonly change: (current: Entry) => string
  /** Data that is changed where there is no entry, which then comes into being. Default: that is `not_found`. */
  readonly initial?: string | undefined
  /** Bytes that the change holds while it waits. Default 0. */
  readonly changeBytes?: number | undefined
}

/** Deletes a plain key, or all that a glob matches. */
export interface DeleteWrite extends Conditional {
  readonly op: 'delete'
  readonly key: string
}

export interface Conditional {
  /**
   * What must hold of the key when the write is made, decided atomically with it. Such a write does
   * not merge with others, so it is made only where the key is led.
   */
  readonly precondition?: Precondition | undefined
}

export interface DurabilityOption {
  /** When the write counts as done. Default: that of the store. */
  readonly durability?: Durability | undefined
}

/** Options of a write of one key. */
export interface WriteOptions extends DurabilityOption, Conditional {}

/** Options of several writes. */
export interface StoreWriteOptions extends DurabilityOption {
  /** Errors name the write by its position, as they do where there are several. Default false. */
  readonly isBatch?: boolean | undefined
}

/** What one write did. */
export interface Written {
  /** The key written; for a delete, what was asked for. */
  readonly key: string
  /** Stamp of the write or delete, nanoseconds; undefined when a glob matched nothing. */
  readonly version: bigint | undefined
  /** Under which name this node wrote it (see `core/data/origin.ts`); undefined where there is no version. */
  readonly origin: string | undefined
  /** How many keys were deleted. */
  readonly deleted: number
  /** The last change per leader: of these changes of one commit, the last to reach it. */
  readonly ends: readonly ChangeEnd[]
}

/** A key with the version that a write gave it, and under which name. */
export interface ChangeEnd {
  readonly key: string
  readonly version: bigint
  readonly origin: string
}

/** What a write of one value did. */
export interface WriteResult extends ChangeEnd {
  /** The key's last segment. */
  readonly index: string
}

/** What a delete did. */
export type DeleteResult = Pick<Written, 'deleted' | 'version' | 'ends'>

/** What the write of one value did. */
export function resultOf(written: readonly Written[]): WriteResult {
  const end = written[0]?.ends[0]
  if (end === undefined) throw new Error('a write of a value tells no change')
  return { ...end, index: indexOfKey(end.key) }
}

/** What one or several deletes did: how many keys they took, and the stamp of the last that took any. */
export function deletedOf(written: readonly Written[]): DeleteResult {
  return {
    deleted: written.reduce((sum, { deleted }) => sum + deleted, 0),
    version: written.findLast(({ version }) => version !== undefined)?.version,
    ends: written.flatMap(({ ends }) => ends),
  }
}
