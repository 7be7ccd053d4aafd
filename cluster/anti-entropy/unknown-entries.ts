/**
 * Retention, seen from a comparison. Pure.
 *
 * A leader removes a tombstone once it is old and every registered follower has passed it. Two
 * questions follow, answered here for whoever compares two nodes:
 *
 * 1. Which records count in a digest? Entries always. Tombstones only while they are newer than the
 *    **horizon**, which the leader of the scope decides and tells (`LeaderClock.horizon`); what counts is the
 *    greatest stamp that they may have to win against (`lastStampOf`). Nobody removes
 *    a tombstone that is newer than the horizon, so removing never changes a digest; two digests
 *    are compared only when both were made with the same horizon.
 * 2. What becomes of a record the follower holds and its leader knows nothing of? Ask only after the
 *    leader's records of the same part were merged, and only for keys under which it has none: a
 *    leader that has an older record has ours pending already.
 *
 * `forgotten` is the proof that a deletion may have been forgotten: the leader tells a stamp greater
 * than 0 only when its log continues this follower's (so it lost nothing it ever had) and
 * tombstones up to that stamp were removed after the follower's cursor. An entry that was synced
 * with that leader, is not newer, and is unknown to it now, was deleted there.
 */
import type { StoredRecord } from '../../src/core/data/entry.ts'
import { lastStampOf, versionOf } from '../../src/core/data/entry.ts'
import { PROTOCOL_WITH_FIELDS } from '../../src/core/wire/records.ts'

export interface UnknownContext {
  /** The record is in the outbox for this leader. */
  readonly isPending: boolean
  /**
   * Tombstones up to this stamp were removed by the leader before this follower saw them; 0n when
   * none were, or when that can not be known.
   */
  readonly forgotten: bigint
  /** Tombstones up to this stamp are removed by everyone, sooner or later. */
  readonly horizon: bigint
}

/**
 * `push`: it is queued for the leader. `drop`: it was deleted; the follower deletes it, queuing nothing
 * (`planExpireUnknown`). `leave`: an old tombstone on its way out; nothing is done.
 */
export type UnknownPlan = 'push' | 'drop' | 'leave'

/** What to do with a record under whose key the leader has nothing. */
export function planForUnknown(record: StoredRecord, context: UnknownContext): UnknownPlan {
  if (context.isPending) return 'push'
  if (record.kind === 'tombstone') return lastStampOf(record) <= context.horizon ? 'leave' : 'push'
  return versionOf(record) <= context.forgotten ? 'drop' : 'push'
}

/**
 * Whether a record counts in digests made with this horizon; with 0n everything does.
 * @param protocol stream protocol of the peer that the digest is compared with: one that does not know marks
 *   removes a tombstone by the stamp that it has.
 */
export function countsInDigest(
  record: StoredRecord,
  horizon: bigint,
  protocol: number = PROTOCOL_WITH_FIELDS,
): boolean {
  if (record.kind === 'entry') return true
  return (protocol < PROTOCOL_WITH_FIELDS ? record.deleted : lastStampOf(record)) > horizon
}
