/**
 * Meta rows about the leaders that this node follows: the present placement, and how far it is with each
 * leader. What holds of a leader no longer under its address becomes a mark (`in-step.ts`).
 */
import type { LogPosition } from '../../core/wire/protocol.ts'
import type { ReplicationStore } from '../replication-store.ts'
import { type Apart, type Followed, type InStep, MAX_APART, moreApart } from './in-step.ts'

export const PLACEMENT_ROW = 'placement'

export const progressRow = (leader: string): string => `link/${leader}`

/** Of one leader, as stored. Fields as in `LinkProgress`. */
export interface StoredProgress {
  readonly placementId: string
  readonly cursor: LogPosition | null
  readonly seen: LogPosition | null
  readonly base?: LogPosition
  readonly beyond?: number
  /** Absent in rows of earlier builds. */
  readonly leader?: string
  readonly apart?: Apart
  /**
   * Deletes up to this stamp may have been forgotten in that log by the cursor, nanoseconds as integer text. What this
   * node holds of the log lacks those, though it never had their tombstones. Default: none.
   */
  readonly forgotten?: string
  /** When this node was last in step with it, or up to an eighth of the retention later; ms since the epoch. */
  readonly heardMs?: number
}

export interface StoredPlacement {
  readonly fingerprint: string
  readonly epoch: string
  readonly id: string
  /** Followed now or before, the latest first; absent in rows of earlier builds. */
  readonly leaders?: readonly string[]
  /** Seq of the own log up to which it held for sure. Default: to the end of the epoch. */
  readonly until?: number
}

type Rows = Pick<ReplicationStore, 'meta' | 'epoch' | 'head' | 'pastEpochs' | 'outboxRows'>

export function readPlacement(store: Pick<ReplicationStore, 'meta'>): StoredPlacement | undefined {
  const text = store.meta(PLACEMENT_ROW)
  return text === undefined ? undefined : (JSON.parse(text) as StoredPlacement)
}

/** undefined: none is stored for this placement. */
export function readProgress(
  store: Pick<ReplicationStore, 'meta'>,
  url: string,
  placementId: string,
): StoredProgress | undefined {
  const stored = store.meta(progressRow(url))
  if (stored === undefined) return undefined
  const progress = JSON.parse(stored) as StoredProgress
  return progress.placementId === placementId ? progress : undefined
}

/**
 * Marks of the leaders with which this node is, or was when the engine last ran, in step.
 * @param urls of the leaders. Default: all of the placement.
 * @throws StateError of the storage.
 */
export async function marksNow(store: Rows, urls?: readonly string[]): Promise<InStep[]> {
  // Before all else: what changes meanwhile is apart.
  const { head } = store
  const rows = await store.outboxRows(MAX_APART + 1)
  const pending = { rows: rows.slice(0, MAX_APART), isCut: rows.length > MAX_APART }
  const placement = readPlacement(store)
  if (placement === undefined) return []
  const { epoch, id, leaders = [], fingerprint, until } = placement
  // Nothing is told of a present one while it runs; of one that has ended, up to where.
  const past = store.pastEpochs.find((one) => one.epoch === epoch)
  const end = epoch === store.epoch ? head : past?.seq
  if (end === undefined) return []
  const after = Math.min(end, until ?? end)
  return (urls ?? leaders).flatMap((url): InStep[] => {
    const progress = readProgress(store, url, id)
    const place = progress?.cursor ?? progress?.base ?? null
    if (progress === undefined || place === null) return []
    const apart = moreApart(progress.apart ?? {}, after, pending, followedOf(fingerprint, url))
    const own = { epoch, seq: after }
    const { leader = url, seen } = progress
    return [{ leader, place, seen, apart, own, ...inheritedOf(progress) }]
  })
}

/** How far the logs of the present leaders are applied. Of what is held, nothing is said: of that all is apart. */
export function appliedNow(store: Pick<ReplicationStore, 'meta'>): Omit<InStep, 'own'>[] {
  const placement = readPlacement(store)
  if (placement === undefined) return []
  const { id, leaders = [], fingerprint } = placement
  return leaders.flatMap((url) => {
    const progress = readProgress(store, url, id)
    const place = progress?.cursor ?? null
    if (progress === undefined || place === null) return []
    const { leader = url, seen } = progress
    const apart = { after: 0, within: [followedOf(fingerprint, url)] }
    return [{ leader, place, seen, apart, ...inheritedOf(progress) }]
  })
}

function inheritedOf({
  forgotten,
  heardMs,
}: StoredProgress): Pick<InStep, 'forgotten' | 'heardMs'> {
  return {
    ...(forgotten === undefined ? {} : { forgotten }),
    ...(heardMs === undefined ? {} : { heardMs }),
  }
}

function followedOf(fingerprint: string, url: string): Followed {
  const scopes = JSON.parse(fingerprint) as { readonly path: string; readonly leader?: string }[]
  return scopes.map(({ path, leader }) => [path, leader === url] as const)
}
