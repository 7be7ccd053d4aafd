/**
 * What a node remembers of having been **in step** with other nodes, by the logs that it was in step with and
 * not by addresses. A place names a log for sure, as the ids of epochs are drawn again. So a leader that is
 * met again under another address, or whose node was made from a backup, can tell what this node holds of it:
 *
 * All that this node held when the mark was made, and was not pending, came from that log or was in it by `place`
 * and `seen`, but for what is `apart`. And it had applied all of that log up to `place`.
 *
 * One meta row: a list of marks as JSON, the latest first, one per other node.
 */
import { encodeHash, hashText } from '../../core/data/digest.ts'
import { matchKey } from '../../core/keys/key.ts'
import type { LogPosition } from '../../core/wire/protocol.ts'
import type { SequencedRow } from '../format/rows.ts'

/** Meta row. */
export const IN_STEP_ROW = 'instep'

/** Paths in the order of their scopes, and whether each was followed there. */
export type Followed = readonly (readonly [path: string, isFollowed: boolean])[]

/** Of what is held, that which says nothing of the other log. */
export interface Apart {
  /** What changed here after this seq of the own log. Default: nothing. */
  readonly after?: number
  /** Hashes of keys: what is under those. */
  readonly keys?: readonly string[]
  /** What one of these does not follow. Default: nothing. */
  readonly within?: readonly Followed[]
}

export interface InStep {
  /** Id of the other node, or its URL where that is not known. */
  readonly leader: string
  /** See `LinkProgress`. */
  readonly place: LogPosition
  readonly seen: LogPosition | null
  readonly apart: Apart
  /** See `StoredProgress`. */
  readonly forgotten?: string
  readonly heardMs?: number
  /** Where the own log was. */
  readonly own: LogPosition
}

/** Marks that are kept. */
const MAX_MARKS = 32
/** Keys that are apart, one by one. */
export const MAX_APART = 1000

export function readInStep(store: { meta(name: string): string | undefined }): InStep[] {
  const stored = store.meta(IN_STEP_ROW)
  return stored === undefined ? [] : (JSON.parse(stored) as InStep[])
}

/** The row with these marks in the place of earlier ones of the same nodes. */
export function withInStep(known: readonly InStep[], added: readonly InStep[]): string {
  const leaders = new Set(added.map(({ leader }) => leader))
  const others = known.filter(({ leader }) => !leaders.has(leader))
  return JSON.stringify([...added, ...others].slice(0, MAX_MARKS))
}

export function apartHash(key: string): string {
  return encodeHash(hashText(key))
}

/** Tells of rows whether they are apart. */
export function apartOf({ after, keys = [], within = [] }: Apart): (row: SequencedRow) => boolean {
  const hashes = new Set(keys)
  return ({ seq, record: { key } }) =>
    (after !== undefined && seq > after) ||
    hashes.has(apartHash(key)) ||
    within.some((followed) => followed.find(([path]) => matchKey(path, key))?.[1] !== true)
}

/** With more apart: what changed after `after`, and what is pending. @param pending by seq, ascending; `isCut`: there is more. */
export function moreApart(
  apart: Apart,
  after: number,
  pending: { readonly rows: readonly { seq: number; key: string }[]; readonly isCut: boolean },
  followed: Followed,
): Apart {
  const known = new Set(apart.keys)
  let end = Math.min(after, apart.after ?? after)
  for (const { seq, key } of pending.rows) {
    if (seq > end) break
    if (known.size >= MAX_APART) end = seq - 1
    else known.add(apartHash(key))
  }
  const last = pending.rows.at(-1)
  if (pending.isCut && last !== undefined) end = Math.min(end, last.seq)
  const text = JSON.stringify(followed)
  const isKnown = apart.within?.some((one) => JSON.stringify(one) === text) ?? false
  const within = isKnown ? apart.within : [...(apart.within ?? []), followed]
  return { after: end, keys: [...known], ...(within ? { within } : {}) }
}
