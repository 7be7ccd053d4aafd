/**
 * Whether an elected leader has missed deletes that nobody keeps a tombstone of any more: it was away for longer than
 * deletes are kept, and won the lease when it came back. It would bring back what was deleted, as all take what
 * their leader holds. So it says what it was in step with before its grant, and when. A node that knows one of these
 * places judges it as it would judge a follower with those places (`proof-of-place.ts`): what was held there was
 * held here, and deletes of later than the leader was in step are forgotten here.
 */
import type { InStepPlace } from '../src/core/protocol-known.ts'
import { NS_PER_MS } from '../src/core/time.ts'
import type { Store } from '../src/store/store.ts'
import { marksBeside } from './link-progress.ts'
import { proofOfPlace } from './proof-of-place.ts'

/** What this node was in step with, for those who follow it. Of its own log it is not known when. */
export function placesInStep(store: Pick<Store, 'id' | 'meta' | 'pastEpochs'>): InStepPlace[] {
  return marksBeside(store, { cursor: null, seen: null }).map(({ place, seen, heardMs }) => ({
    ...{ place, seen },
    ...(heardMs === undefined ? {} : { heardMs }),
  }))
}

/**
 * Whether a leader that tells these places has missed deletes that this node knows of. Where nothing is known of any
 * of the places it is not known either: false.
 * @param scopes that this node follows it for.
 */
export function hasMissedDeletes(
  store: Pick<Store, 'canResume' | 'meta' | 'retention'>,
  scopes: readonly string[],
  places: readonly InStepPlace[],
): boolean {
  const { floor, forgotten } = store.retention
  const nowhere = { cursor: null, base: null, seen: null, scopes }
  const proofs = places.map((place) =>
    proofOfPlace(store, { floor, forgotten }, { ...nowhere, known: [place] }),
  )
  const gone = proofs.map((proof) => (proof.knows === undefined ? 0n : BigInt(proof.forgotten)))
  // In step with any leader by then, it has heard of all deletes of before.
  const heard = places.map(({ heardMs = 0 }) => BigInt(heardMs) * NS_PER_MS)
  return greatest(gone) > greatest(heard)
}

function greatest(stamps: readonly bigint[]): bigint {
  return stamps.reduce((most, stamp) => (stamp > most ? stamp : most), 0n)
}
