/** What a leader wrote and no follower has got: it goes to the outbox when another node leads. */
import type { SequencedRow } from '../../src/store/format/rows.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { ClusterEngine } from './engine.ts'

const PAGE = 1000

/** The greatest seq of this node's log up to which somebody has it all; `sharedTo` at least. */
export function unsharedAfter(
  store: Pick<ReplicationStore, 'canResume'>,
  engine: Pick<ClusterEngine, 'followers' | 'status'>,
  sharedTo: number,
): number {
  const away = engine.status().registered.flatMap(({ cursor }) => {
    return cursor !== null && store.canResume(cursor) ? [cursor.seq] : []
  })
  const connected = engine.followers().map(({ cursor }) => cursor)
  return [...away, ...connected].reduce((a, b) => Math.max(a, b), sharedTo)
}

/** Owes `leader` every record that it leads and that changed after `after`. @throws StateError. */
export async function enqueueUnshared(
  store: Pick<ReplicationStore, 'head' | 'log' | 'leaderOf' | 'enqueue'>,
  leader: string,
  after: number,
): Promise<void> {
  // What is written from now on is pending already.
  const { head } = store
  for (let from = after; from < head; ) {
    const page = await store.log(from, PAGE)
    const rows: SequencedRow[] = page.rows.filter(
      ({ record }) => store.leaderOf(record.key) === leader,
    )
    if (rows.length > 0) await store.enqueue(leader, rows)
    from = page.through
  }
}
