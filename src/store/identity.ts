/**
 * Under which name a node writes (see `core/origin.ts`), and how far the stamps reach that it gave out
 * under earlier ones. Stamps of one origin never go down: whenever the node's stamps do, because its
 * clock was wrong, it takes the next origin in the same batch.
 *
 * Until its stamps are beyond those again, each of its writes leaves a mark on the key that covers what
 * the node wrote there before; what has a greater stamp would come back otherwise.
 */
import { addMarks } from '../core/marks.ts'
import { nextOrigin, parseOrigin, previousOrigin } from '../core/origin.ts'

/** Meta row with the identity: `<origin> <reach>`. Without one the node writes under its id. */
export const ORIGIN_ROW = 'origin'

export interface WritingIdentity {
  readonly origin: string
  /** Greatest stamp given out under an earlier origin of the lineage; 0n for none. */
  readonly reach: bigint
}

export function encodeIdentity({ origin, reach }: WritingIdentity): string {
  return `${origin} ${reach}`
}

/** @param id the node's, under which it begins. */
export function decodeIdentity(row: string | undefined, id: string): WritingIdentity {
  const [origin = id, reach = '0'] = row?.split(' ') ?? []
  return { origin, reach: BigInt(reach) }
}

/** The identity once stamps up to `reach` were given out that later ones will not exceed. */
export function nextIdentity(identity: WritingIdentity, reach: bigint): WritingIdentity {
  return {
    origin: nextOrigin(identity.origin),
    reach: reach > identity.reach ? reach : identity.reach,
  }
}

/** Marks for a key that is written with this stamp: they cover what the node wrote there before. */
export function ownMarks({ origin, reach }: WritingIdentity, version: bigint): string | undefined {
  if (version > reach || parseOrigin(origin).generation === 0) return undefined
  return addMarks(undefined, [{ origin: previousOrigin(origin), version: reach }])
}
