/** Owing a leader everything it leads, for one whose log is new to this node. */
import type { Planner } from './operations.ts'
import { planRefill } from './replication.ts'
import type { SequencedRow } from './rows.ts'

/** Rows of a scan that are owed in one step. */
const PAGE = 5000

export interface RefillParts {
  /** Of all records. */
  readonly rows: AsyncIterable<SequencedRow>
  readonly leaderOf: (key: string) => string | undefined
  readonly run: (planner: Planner<number>) => Promise<number>
}

/** @throws StateError of the storage. */
export async function refill({ rows, leaderOf, run }: RefillParts, leader: string): Promise<void> {
  let page: SequencedRow[] = []
  for await (const row of rows) {
    if (leaderOf(row.record.key) !== leader) continue
    page.push(row)
    if (page.length < PAGE) continue
    await run(planRefill(leader, page))
    page = []
  }
  if (page.length > 0) await run(planRefill(leader, page))
}
