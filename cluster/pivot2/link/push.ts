/** Sends rows of the outbox to a 2.0 leader, one request each, in the order of their changes. */
import type { StoredRecord } from '../../../src/core/data/entry.ts'
import type { SequencedRow } from '../../../src/store/format/rows.ts'
import type { SentRow } from '../../../src/store/replication/replication.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import type { PeerClient } from '../peer/client.ts'
import { isOfScope, type PivotScope } from '../peer/wire.ts'

export interface PushTarget {
  readonly store: ReplicationStore
  readonly peer: PeerClient
  /** Ends early when it says no. */
  readonly isWanted: () => boolean
}

export interface PushWork {
  readonly rows: readonly SequencedRow[]
  /** Scopes that were pulled just before. */
  readonly scopes: readonly PivotScope[]
  /** `host:port` of this node. */
  readonly originator: string | undefined
}

export interface PushReport {
  /** Rows that are off the outbox now. */
  readonly taken: readonly SentRow[]
  /** Rows that the leader did not take; they stay. */
  readonly refused: readonly SentRow[]
  /** Paths of deletes answered 500: refused, or the leader had no such key. */
  readonly unsure: ReadonlySet<string>
  /** What the leader stored, by the path of its scope. */
  readonly stored: ReadonlyMap<string, readonly StoredRecord[]>
}

/** @throws StateError `unreachable` when not even the first was answered. */
export async function pushRows(
  { store, peer, isWanted }: PushTarget,
  { rows, scopes, originator }: PushWork,
): Promise<PushReport> {
  const taken: SentRow[] = []
  const refused: SentRow[] = []
  const stored = new Map<string, StoredRecord[]>()
  const unsure = new Set<string>()
  for (const { seq, record } of rows) {
    if (!isWanted()) break
    const { key } = record
    const current = await store.keyState(key)
    if (current?.seq !== seq) {
      // It has changed since, or lost against the leader's: sending it would bring the old value back.
      taken.push({ seq, key })
      continue
    }
    const scope = scopes.find((candidate) => isOfScope(candidate, key))
    let status: number
    try {
      status = scope === undefined ? 0 : await peer.push(scope, record, originator)
    } catch (error) {
      if (taken.length === 0) throw error
      break
    }
    if (status === 200 && scope !== undefined) {
      taken.push({ seq, key })
      const records = stored.get(scope.path) ?? []
      records.push(record)
      stored.set(scope.path, records)
      continue
    }
    refused.push({ seq, key })
    if (status === 500 && record.kind === 'tombstone' && scope) unsure.add(scope.path)
  }
  return { taken, refused, unsure, stored }
}
