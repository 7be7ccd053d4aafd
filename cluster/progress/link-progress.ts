/**
 * How far a follower is with each leader, on disk. Progress holds only while the same leaders lead
 * the same scopes and the engine has run in every opening of the store: otherwise changes may have
 * been made that are pending for nobody, and the leader must be compared with in full.
 */
import { errorText } from '../../src/core/errors.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import type { LogPosition } from '../../src/core/wire/protocol.ts'
import {
  IN_STEP_ROW,
  type InStep,
  readInStep,
  withInStep,
} from '../../src/store/lineage/in-step.ts'
import {
  marksNow,
  PLACEMENT_ROW,
  progressRow,
  readPlacement,
  readProgress,
  type StoredPlacement,
} from '../../src/store/lineage/link-rows.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { LinkProgress } from '../follower/state/state.ts'
import type { Placement } from '../members/placement.ts'

/** Leaders of before about whom something is kept; of more, those followed longest ago are forgotten. */
const MAX_FORMER = 32
/** Marks that are told to a leader. */
const MAX_TOLD = 12
/** Of those, places of the own log. */
const MAX_OWN = 4

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

/**
 * The stored progress with `leader`. None when it belongs to another placement: then a comparison begins from
 * the latest of the marks that are kept, should it be of this leader.
 */
export function loadProgress(
  store: ReplicationStore,
  leader: string,
  placementId: string,
): LinkProgress {
  const stored = readProgress(store, leader, placementId)
  if (stored !== undefined) {
    const { placementId: _, ...progress } = stored
    return progress
  }
  const [mark] = readInStep(store)
  return mark === undefined ? { cursor: null, seen: null } : startFrom(mark)
}

/** What a comparison begins with whose leader knows the place of this mark. */
export function startFrom(mark: InStep): LinkProgress {
  const { leader, place, seen, apart, forgotten, heardMs } = mark
  return { cursor: null, seen, base: place, leader, apart, forgotten, heardMs }
}

/**
 * The marks that a leader is told beside this progress: of the own log, which it may have followed, and of other
 * leaders, the latest first.
 */
export function marksBeside(
  store: Pick<ReplicationStore, 'id' | 'meta' | 'pastEpochs'>,
  progress: LinkProgress,
): InStep[] {
  const { cursor, base = null } = progress
  const place = cursor ?? base
  const marks = readInStep(store).filter(
    (mark) =>
      mark.leader !== progress.leader ||
      mark.place.epoch !== place?.epoch ||
      mark.place.seq !== place.seq,
  )
  return [...ownLog(store), ...marks].slice(0, MAX_TOLD)
}

/** What this node held when it was stopped was in its own log. */
function ownLog({ id, pastEpochs }: Pick<ReplicationStore, 'id' | 'pastEpochs'>): InStep[] {
  return pastEpochs.slice(0, MAX_OWN).map((place) => {
    return { leader: id, place, seen: null, apart: { after: place.seq }, own: place }
  })
}

/**
 * Notes the placement this opening of the store runs with and returns its id: the stored one when
 * nothing changed since the opening before, else `newId`. What is kept of leaders that were followed
 * long ago is forgotten.
 */
export async function settlePlacement(
  store: ReplicationStore,
  { fingerprint, upstreams }: Pick<Placement, 'fingerprint' | 'upstreams'>,
  newId: () => string,
): Promise<string> {
  const stored = readPlacement(store)
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
  // Where the engine has just stopped in this opening, that has noted what held.
  const marks = unbroken || stored?.epoch === epoch ? [] : await marksNow(store)
  await store.saveMeta(
    new Map([
      ...none,
      [PLACEMENT_ROW, JSON.stringify(placement)] as const,
      ...(marks.length === 0 ? [] : [inStepRow(store, marks)]),
    ]),
  )
  return id
}

/**
 * The engine has stopped: who leads may be another one from now on, and changes be pending for nobody. So what
 * holds of the leaders up to here is noted. Never fails: what could not be noted is compared without proof.
 */
export async function leavePlacement(
  store: ReplicationStore,
  logger: Pick<Logger, 'warn'>,
): Promise<void> {
  try {
    const { head } = store
    const placement = readPlacement(store)
    if (placement === undefined || placement.epoch !== store.epoch) return
    const marks = await marksNow(store)
    if (marks.length === 0) return
    const left: StoredPlacement = { ...placement, until: head }
    await store.saveMeta(new Map([[PLACEMENT_ROW, JSON.stringify(left)], inStepRow(store, marks)]))
  } catch (error) {
    logger.warn('how far this node is with its leaders could not be noted', {
      error: errorText(error),
    })
  }
}

function inStepRow(
  store: Pick<ReplicationStore, 'meta'>,
  marks: readonly InStep[],
): [string, string] {
  return [IN_STEP_ROW, withInStep(readInStep(store), marks)]
}

/** Another log is met under the address of this leader: what held of the one before, as a row to store. */
export async function leaveLog(
  store: ReplicationStore,
  leader: string,
): Promise<[string, string][]> {
  const marks = await marksNow(store, [leader])
  return marks.length === 0 ? [] : [inStepRow(store, marks)]
}
