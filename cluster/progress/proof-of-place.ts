/**
 * What a leader knows of the places that a follower names in its hello: whether all that was in that log by
 * then was held here. If so, what it does not hold of that any more was deleted. There are three ways to know:
 *
 * | the place lies on | because |
 * | --- | --- |
 * | the own log | it goes on from there |
 * | a former log (`src/store/lineage/former-logs.ts`) | this node was made from a backup of that node |
 * | the log of another leader, no later than this node has applied it | it follows that, or did before it led |
 *
 * Each holds as long as the own log goes on: one that was found damaged begins again.
 */
import { matchKey } from '../../src/core/keys/key.ts'
import type { KnownPlace } from '../../src/core/wire/known.ts'
import type { Hello } from '../../src/core/wire/protocol.ts'
import { isOnFormer, readFormerLogs } from '../../src/store/lineage/former-logs.ts'
import { goneOf } from '../../src/store/lineage/gone.ts'
import { type InStep, readInStep } from '../../src/store/lineage/in-step.ts'
import { appliedNow } from '../../src/store/lineage/link-rows.ts'
import type { Retention } from '../../src/store/log/tombstones.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'

export interface PlaceProof {
  /** The own log goes on from the follower's own place. */
  readonly continues: boolean
  /** See `Knowledge`. */
  readonly knows?: number
  readonly removed?: string
  readonly gone?: string
  /** See `Welcome`. */
  readonly forgotten: string
}

type Places = Pick<Hello, 'cursor' | 'base' | 'seen' | 'known' | 'scopes'>

/**
 * Where all was held, what is forgotten is told as the greatest of what this node forgot and of what it
 * inherited (`gone.ts`).
 */
export function proofOfPlace(
  store: Pick<ReplicationStore, 'canResume' | 'meta'>,
  { floor, forgotten }: Retention,
  { cursor, base, seen, known = [], scopes }: Places,
): PlaceProof {
  const first = cursor ?? base
  const places: (KnownPlace | undefined)[] = [first === null ? undefined : { place: first, seen }]
  const canResume = ({ place, seen }: KnownPlace): boolean =>
    store.canResume(place) && (seen === null || store.canResume(seen))
  const continues = places.some((place) => place !== undefined && canResume(place))
  const formers = readFormerLogs(store).filter(({ own }) => store.canResume(own))
  const marks = readInStep(store).filter(({ own }) => store.canResume(own))
  const passed = [...appliedNow(store), ...marks]
  const most = String(goneOf(store, forgotten))
  const gone = most === '0' ? {} : { gone: most }
  for (const [knows, reported] of [...places, ...known].entries()) {
    if (reported === undefined) continue
    if (canResume(reported)) {
      const own = String(reported.place.seq >= floor ? 0n : forgotten)
      return { continues, knows, forgotten: own, ...gone }
    }
    const isHeld =
      formers.some((log) => isOnFormer(log, reported)) ||
      passed.some((mark) => hasPassed(mark, reported, scopes))
    // Forgotten here, or by whoever this comes from: of them all the greatest is right, as it was held.
    if (isHeld) return { continues, knows, forgotten: most, ...gone }
  }
  return { continues, forgotten: '0', ...(most === '0' ? {} : { removed: most, gone: most }) }
}

/** Whether this node held all of these scopes that was in that log by then, when it was in step with it. */
function hasPassed(
  { place, apart }: Omit<InStep, 'own'>,
  reported: KnownPlace,
  scopes: readonly string[],
): boolean {
  const isBefore = (one: KnownPlace['place']): boolean =>
    one.epoch === place.epoch && one.seq <= place.seq
  if (!isBefore(reported.place) || (reported.seen !== null && !isBefore(reported.seen)))
    return false
  return (apart.within ?? []).every((followed) =>
    scopes.every(
      (scope) => followed.find(([path]) => path === scope || matchKey(path, scope))?.[1] === true,
    ),
  )
}
