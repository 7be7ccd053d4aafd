/**
 * Whether an elected leader has missed deletes that nobody keeps a tombstone of any more: it was away for longer than
 * deletes are kept, and won the lease when it came back. It would bring back what was deleted, as all take what
 * their leader holds. So it says what it was in step with before its grant, and when. A node that knows one of these
 * places judges it as it would judge a follower with those places (`proof-of-place.ts`): what was held there was
 * held here, and deletes of later than the leader was in step are forgotten here.
 */

import { NS_PER_MS } from '../../src/core/ports/time.ts'
import type { InStepPlace } from '../../src/core/wire/known.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { ClusterLimits } from '../config/options.ts'
import type { FollowerIdentity } from '../follower/state/link.ts'
import { marksBeside } from './link-progress.ts'
import { proofOfPlace } from './proof-of-place.ts'

/** What this node was in step with, for those who follow it. Of its own log it is not known when. */
export function placesInStep(
  store: Pick<ReplicationStore, 'id' | 'meta' | 'pastEpochs'>,
): InStepPlace[] {
  return marksBeside(store, { cursor: null, seen: null }).map(({ place, seen, heardMs }) => ({
    ...{ place, seen },
    ...(heardMs === undefined ? {} : { heardMs }),
  }))
}

/** Who judges a leader. */
export interface JudgeOptions {
  readonly store: Pick<ReplicationStore, 'canResume' | 'meta' | 'retention'>
  /** Its scopes: what it follows the leader for. */
  readonly identity: Pick<FollowerIdentity, 'scopes'>
  readonly limits: Pick<ClusterLimits, 'beatIntervalMs' | 'maxSilentBeats'>
  /** For how long deletes are kept; 0: for ever. */
  readonly retentionMs: number
}

/** What is noted of when a node was in step may be late by this part of the retention: clocks differ. */
const LATE = 8

/**
 * Whether a leader that tells these places has missed deletes that this node knows of. Where nothing is known of any
 * of the places it is not known either: false.
 */
export function hasMissedDeletes(
  { store, identity, limits, retentionMs }: JudgeOptions,
  places: readonly InStepPlace[],
): boolean {
  const { scopes } = identity
  const { floor, forgotten } = store.retention
  const nowhere = { cursor: null, base: null, seen: null, scopes }
  const proofs = places.map((place) =>
    proofOfPlace(store, { floor, forgotten }, { ...nowhere, known: [place] }),
  )
  const gone = proofs.map((proof) => (proof.knows === undefined ? 0n : BigInt(proof.forgotten)))
  // In step with any leader by then, it has heard of all deletes of before.
  const heard = places.map(({ heardMs = 0 }) => BigInt(heardMs) * NS_PER_MS)
  // A follower notices for some beats only that its leader is silent. What is forgotten is older than the retention,
  // so who was away for clearly less is never taken for one that has missed something.
  const silenceMs = limits.beatIntervalMs * (limits.maxSilentBeats + 1)
  const lateMs = Math.max(retentionMs / LATE, silenceMs)
  const most = greatest(gone)
  return most > 0n && most + BigInt(Math.ceil(lateMs)) * NS_PER_MS > greatest(heard)
}

function greatest(stamps: readonly bigint[]): bigint {
  return stamps.reduce((most, stamp) => (stamp > most ? stamp : most), 0n)
}
