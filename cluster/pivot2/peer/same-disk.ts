/**
 * Whether a 2.0 peer still has the disk it had, by the records of nodes there: they are few, change
 * rarely, and a list that is empty or all new says nothing of itself.
 */
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import { Absence } from './absence.ts'
import type { PeerClient } from './client.ts'
import type { HeldByPeer, Observation } from './held.ts'
import { isOfScope, type PivotScope } from './wire.ts'

/** `unknown`: there is nothing by which to tell. */
export type SameDisk = 'same' | 'another' | 'unknown'

export interface DiskQuestion {
  readonly store: ReplicationStore
  readonly peer: PeerClient
  /** The scope of the node records; undefined when 2.0 does not carry it. */
  readonly nodes: PivotScope | undefined
  readonly held: HeldByPeer
  /** What had been seen when: what came there after this look may have come to another disk. */
  readonly observation: Observation | undefined
}

/** Never rejects: a peer that does not give the list leaves it `unknown`. */
export async function sameDisk(question: DiskQuestion): Promise<SameDisk> {
  const { store, peer, nodes, held, observation } = question
  const seen = nodes === undefined ? undefined : held.of(nodes.path)
  if (nodes === undefined || seen === undefined || observation === undefined) return 'unknown'
  const absence = new Absence(seen.seq < observation.seq ? seen : observation)
  try {
    for await (const entry of peer.list(nodes)) {
      absence.met(await store.keyState(entry.key), entry)
      if (absence.hasSurvivor) return 'same'
    }
    const { rows } = await store.scanRows({ prefix: `${nodes.base}/` })
    for await (const { record, seq } of rows) {
      if (!isOfScope(nodes, record.key)) continue
      const keyState = await store.keyState(record.key)
      if (keyState?.seq === seq && absence.isKnown(keyState)) return 'another'
    }
  } catch {
    // Released servers may not sync that list at all.
  }
  return 'unknown'
}
