/** Owing a leader everything it leads, for one whose log is new to this node. */

import type { SequencedRow } from '../format/rows.ts'
import type { Planner } from '../planning/planner.ts'
import { planRefill } from './replication.ts'

/** Rows of a scan that are queued in one step. */
const PAGE = 5000

/** The store whose records they are. */
export interface RefillTarget {
  leaderOf(key: string): string | undefined
  run(planner: Planner<number>): Promise<number>
}

/** @param rows of all records. @throws StateError of the storage. */
export async function resendAll(
  store: RefillTarget,
  rows: AsyncIterable<SequencedRow>,
  leader: string,
): Promise<void> {
  let page: SequencedRow[] = []
  for await (const row of rows) {
    if (store.leaderOf(row.record.key) !== leader) continue
    page.push(row)
    if (page.length < PAGE) continue
    await store.run(planRefill(leader, page))
    page = []
  }
  if (page.length > 0) await store.run(planRefill(leader, page))
}
