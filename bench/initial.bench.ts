import { type Bench, wanted } from './kit/bench.ts'
import { caughtUp, startCluster, startFollower } from './kit/cluster.ts'
import { monotonicUs } from './kit/monotonic.ts'

const ENTRIES = [1000, 10_000, 100_000]
const FULL = [...ENTRIES, 1_000_000]

/** A follower without data joins a leader that has some. */
export const bench: Bench = {
  question: 'How long does a new follower take for its first copy?',
  setting:
    "A leader with a list of entries of 200 bytes, and a follower that is started without data, each a process on one machine with its defaults (every entry is on the follower's disk). Time counts from the follower's first connection to the moment at which it says that it is live and has everything; bytes are counted by a program in between.",
  async run(context) {
    const rows: (string | number)[][] = []
    for (const entries of wanted(context.full ? FULL : ENTRIES, context)) {
      context.say(`${entries} entries`)
      rows.push(await firstCopy(entries))
    }
    return { tables: [{ columns: ['entries', 'seconds', 'items/s', 'bytes per entry'], rows }] }
  },
}

async function firstCopy(entries: number): Promise<(string | number)[]> {
  const { link, end } = await startCluster({ entries, followers: 0, counted: true })
  if (link === undefined) throw new Error('no link to count at')
  try {
    const follower = await startFollower(link.url)
    try {
      await caughtUp(follower)
      const seconds = (monotonicUs() - (link.openedUs ?? 0)) / 1e6
      const perEntry = (link.passed.down + link.passed.up) / entries
      return [entries, seconds.toFixed(2), Math.round(entries / seconds), Math.round(perEntry)]
    } finally {
      await follower.stop()
    }
  } finally {
    await end()
  }
}
