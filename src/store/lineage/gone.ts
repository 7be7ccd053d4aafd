/**
 * Up to which stamp deletes are forgotten of what a node holds. A node that removes tombstones knows that itself
 * (`tombstones.ts`). One that applied another node's log, or was made from its backup, lacks what that had forgotten
 * by then, though it removed no tombstone: it inherits the stamp. So no node takes for news what it never saw deleted.
 *
 * A stamp that is too great does no harm: it only says of what is unknown, and was known by an earlier place, that it
 * was deleted.
 */

import type { ReplicationStore } from '../replication-store.ts'
import { readFormerLogs } from './former-logs.ts'
import { readInStep } from './in-step.ts'
import { appliedNow } from './link-rows.ts'

/** @param forgotten the stamp up to which this node has removed tombstones itself. */
export function goneOf(
  store: Pick<ReplicationStore, 'canResume' | 'meta'>,
  forgotten: bigint,
): bigint {
  const sources = [...readFormerLogs(store), ...readInStep(store)]
  const sound = sources.filter(({ own }) => store.canResume(own))
  return [...sound, ...appliedNow(store)].reduce((most, source) => {
    const stamp = BigInt(source.forgotten ?? 0n)
    return stamp > most ? stamp : most
  }, forgotten)
}
