import { waitFor } from '../test/support/wait.ts'
import { type Bench, wanted } from './kit/bench.ts'
import {
  caughtUp,
  holds,
  keyOf,
  type RunningCluster,
  startCluster,
  writeEntries,
} from './kit/cluster.ts'
import { monotonicUs } from './kit/monotonic.ts'

const ENTRIES = 100_000
const CHANGED = [100, 1000, 10_000, 50_000]

/** A follower whose link was cut while its leader changed entries. */
export const bench: Bench = {
  question: 'How long does a follower that was away take to catch up?',
  setting: `A leader and a follower with a list of ${ENTRIES} entries of 200 bytes, each a process on one machine. Their link, a program that counts bytes, is shut; some entries change at the leader; the link is opened. Time counts from the follower's first new connection to the moment at which it answers with the last change. The time and the bytes should grow with what changed, not with the list.`,
  async run(context) {
    context.say(`writing ${ENTRIES} entries`)
    const cluster = await startCluster({ entries: ENTRIES, followers: 1, counted: true })
    const rows: (string | number)[][] = []
    try {
      for (const changed of wanted(CHANGED, context)) {
        context.say(`${changed} changed`)
        rows.push(await catchUp(cluster, changed))
      }
    } finally {
      await cluster.end()
    }
    const columns = ['changed', 'seconds', 'items/s', 'KB to the follower', 'KB from it']
    return { tables: [{ columns, rows }] }
  },
}

async function catchUp(cluster: RunningCluster, changed: number): Promise<(string | number)[]> {
  const { leader, followers, link } = cluster
  const [follower] = followers
  if (link === undefined || follower === undefined) throw new Error('no link to cut')
  link.shut()
  const mark = `changed-${changed}`
  await writeEntries(leader, 0, changed, mark)
  const before = link.passed
  link.open()
  await waitFor(() => link.openedUs !== undefined, {
    deadlineMs: 60_000,
    intervalMs: 1,
    what: 'the follower to dial again',
  })
  await holds(follower, keyOf(changed - 1), mark)
  const seconds = (monotonicUs() - (link.openedUs ?? 0)) / 1e6
  await caughtUp(follower)
  const { down, up } = link.passed
  const kb = (bytes: number): string => (bytes / 1000).toFixed(1)
  return [
    `${changed} of ${ENTRIES}`,
    seconds.toFixed(3),
    Math.round(changed / seconds),
    kb(down - before.down),
    kb(up - before.up),
  ]
}
