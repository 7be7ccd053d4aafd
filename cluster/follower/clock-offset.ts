/** Measuring how far this node's wall clock is from its leader's. Pure. */
import { NS_PER_MS } from '../../src/core/ports/time.ts'

export interface OffsetReading {
  /** The leader's wall clock when it answered. */
  readonly leaderNs: bigint
  /** This node's wall clock when the answer arrived. */
  readonly wallNs: bigint
  /** From question to answer. */
  readonly roundTripNs: bigint
  /** The offset in use. */
  readonly knownNs: bigint
}

/** A difference below this, beyond what the round trip explains, is noise. */
const TOLERANCE_NS = 10n * NS_PER_MS

/**
 * The offset to use, nanoseconds to add to the wall clock. Like NTP (RFC 5905) it takes the answer
 * as made half a round trip ago; the known offset is kept while the reading does not contradict it.
 */
export function measureOffset({ leaderNs, wallNs, roundTripNs, knownNs }: OffsetReading): bigint {
  const measured = leaderNs + roundTripNs / 2n - wallNs
  const difference = measured > knownNs ? measured - knownNs : knownNs - measured
  return difference <= roundTripNs / 2n + TOLERANCE_NS ? knownNs : measured
}
