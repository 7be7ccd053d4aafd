/**
 * How far a follower is with each leader, on disk. Progress holds only while the same leaders lead
 * the same scopes and the engine has run in every opening of the store: otherwise changes may have
 * been made that are owed to nobody, and the leader must be compared with in full.
 */
import type { LogPosition } from '../src/core/protocol.ts'
import type { Store } from '../src/store/store.ts'
import type { LinkProgress } from './follower-state.ts'
import type { Placement } from './placement.ts'

const PLACEMENT_ROW = 'placement'
/** Leaders of before about whom something is kept; of more, those followed longest ago are forgotten. */
const MAX_FORMER = 32

export const progressRow = (leader: string): string => `link/${leader}`

/** Up to which stamp this leader removes tombstones, as last told. */
export const horizonRow = (leader: string): string => `horizon/${leader}`

/** With which storage this leader was last met; see `leader-storage.ts`. */
export const storageRow = (leader: string): string => `storage/${leader}`

export function encodeProgress(placementId: string, progress: LinkProgress): string {
  return JSON.stringify({ placementId, ...progress })
}

/** The later of two places; one of the present epoch replaces one of an earlier epoch. */
export function laterSeen(known: LogPosition | null, seen: LogPosition): LogPosition {
  return known !== null && known.epoch === seen.epoch && known.seq > seen.seq ? known : seen
}

/** The stored progress with `leader`; none when it belongs to another placement. */
export function loadProgress(store: Store, leader: string, placementId: string): LinkProgress {
  const none: LinkProgress = { cursor: null, seen: null }
  const stored = store.meta(progressRow(leader))
  if (stored === undefined) return none
  const fields = JSON.parse(stored) as {
    placementId: string
    cursor: LogPosition | null
    seen: LogPosition | null
    base?: LogPosition
    beyond?: number
  }
  if (fields.placementId !== placementId) return none
  const { cursor, seen, base, beyond } = fields
  return {
    ...{ cursor, seen },
    ...(base === undefined ? {} : { base }),
    ...(beyond === undefined ? {} : { beyond }),
  }
}

interface StoredPlacement {
  readonly fingerprint: string
  readonly epoch: string
  readonly id: string
  /** Followed now or before, the latest first; absent in rows of earlier builds. */
  readonly leaders?: readonly string[]
}

/**
 * Notes the placement this opening of the store runs with and returns its id: the stored one when
 * nothing changed since the opening before, else `newId`. What is kept of leaders that were followed
 * long ago is forgotten.
 */
export async function settlePlacement(
  store: Pick<Store, 'meta' | 'saveMeta' | 'epoch' | 'previousEpoch'>,
  { fingerprint, upstreams }: Pick<Placement, 'fingerprint' | 'upstreams'>,
  newId: () => string,
): Promise<string> {
  const text = store.meta(PLACEMENT_ROW)
  const stored = text === undefined ? undefined : (JSON.parse(text) as StoredPlacement)
  const { epoch } = store
  const unbroken =
    stored !== undefined &&
    stored.fingerprint === fingerprint &&
    (stored.epoch === store.previousEpoch || stored.epoch === epoch)
  const id = unbroken ? stored.id : newId()
  const known = [...new Set([...upstreams.keys(), ...(stored?.leaders ?? [])])]
  const leaders = known.slice(0, upstreams.size + MAX_FORMER)
  const placement: StoredPlacement = { fingerprint, epoch, id, leaders }
  const forgotten = known
    .slice(leaders.length)
    .flatMap((url) => [progressRow(url), horizonRow(url), storageRow(url)])
  const none = forgotten.map((name) => [name, ''] as const)
  await store.saveMeta(new Map([...none, [PLACEMENT_ROW, JSON.stringify(placement)] as const]))
  return id
}
