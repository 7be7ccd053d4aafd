/**
 * What a leader knows of the places that a follower names in its hello: whether all that was in that log by
 * then was held here. If so, what it does not hold of that any more was deleted. There are three ways to know:
 *
 * | the place lies on | because |
 * | --- | --- |
 * | the own log | it goes on from there |
 * | a former log (`src/store/former-logs.ts`) | this node was made from a backup of that node |
 * | the log of another leader, no later than this node was in step with that | it followed that before it led |
 *
 * Each holds as long as the own log goes on: one that was found damaged begins again.
 */
import { matchKey } from '../src/core/key.ts'
import type { Hello } from '../src/core/protocol.ts'
import type { KnownPlace } from '../src/core/protocol-known.ts'
import { isOnFormer, readFormerLogs } from '../src/store/former-logs.ts'
import { type InStep, readInStep } from '../src/store/in-step.ts'
import type { Store } from '../src/store/store.ts'
import type { Retention } from '../src/store/tombstones.ts'

export interface PlaceProof {
  /** The own log goes on from the follower's own place. */
  readonly continues: boolean
  /** See `Knowledge`. */
  readonly knows?: number
  readonly removed?: string
  /** See `Welcome`. */
  readonly forgotten: string
}

type Places = Pick<Hello, 'cursor' | 'base' | 'seen' | 'known' | 'scopes'>

export function proofOfPlace(
  store: Pick<Store, 'canResume' | 'meta'>,
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
  for (const [knows, reported] of [...places, ...known].entries()) {
    if (reported === undefined) continue
    if (canResume(reported)) {
      return { continues, knows, forgotten: String(reported.place.seq >= floor ? 0n : forgotten) }
    }
    const former = formers.find((log) => isOnFormer(log, reported))
    const before = former === undefined ? 0n : BigInt(former.forgotten)
    if (former !== undefined || marks.some((mark) => hasPassed(mark, reported, scopes))) {
      return { continues, knows, forgotten: String(before > forgotten ? before : forgotten) }
    }
  }
  const removed = formers.reduce(
    (most, log) => (BigInt(log.forgotten) > most ? BigInt(log.forgotten) : most),
    forgotten,
  )
  return { continues, forgotten: '0', ...(removed === 0n ? {} : { removed: String(removed) }) }
}

/** Whether this node held all of these scopes that was in that log by then, when it was in step with it. */
function hasPassed(
  { place, apart }: InStep,
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
