import { mkdtemp, rm } from 'node:fs/promises'
import { Agent } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { request } from '../test/support/http.ts'
import { type SizedNode, startSizedNode } from '../test/support/sized-node.ts'
import { Subscriber } from '../test/support/subscriber.ts'
import { waitFor } from '../test/support/wait.ts'
import { type Bench, ms, wanted } from './kit/bench.ts'
import { type Measurement, measure } from './kit/measure.ts'

const SIZES = [10_000, 100_000]
const FULL = [...SIZES, 1_000_000]
const BOUND = 64 * 2 ** 20
const HEAP_MIB = 1024
const MIB = 2 ** 20
const COLUMNS = [
  'entries, cache',
  'open s',
  'heap MiB',
  'memory MiB',
  'after use',
  'greatest, with files',
  'newest 100, p50 ms',
  'read p50 ms',
  'p99',
  'write p50 ms',
  'p99',
]

/** A node opened on folders of growing size, with everything in memory and with a bound. */
export const bench: Bench = {
  question: 'How do opening, memory and answers grow with the number of entries?',
  setting: `One node in a process of its own on LevelDB, entries of 200 bytes, a heap of at most ${HEAP_MIB} MiB (\`--max-old-space-size\`). "First" is the first opening with a bound, which makes the index by time. Memory is resident memory without the database's files, which LevelDB maps and whose pages the system may take back; the greatest has them. After use means: 20 lists of the newest 100, 2000 reads and 2000 writes of random keys over REST one at a time, a subscription of one key. With a bound the records are checked in the background after opening, which the reads and writes here compete with.`,
  async run(context) {
    const rows: (string | number)[][] = []
    for (const entries of wanted(context.full ? FULL : SIZES, context)) {
      context.say(`${entries} entries`)
      rows.push(...(await measureSize(entries)))
    }
    return { tables: [{ columns: COLUMNS, rows }] }
  },
}

async function measureSize(entries: number): Promise<(string | number)[][]> {
  const directory = await mkdtemp(join(tmpdir(), 'ooo-bench-'))
  const options = { directory, heapMiB: HEAP_MIB }
  try {
    const filling = await startSizedNode({ ...options, cache: 'all', fill: entries })
    await filling.close()
    const rows: (string | number)[][] = []
    for (const [name, cache] of [
      ['all', 'all'],
      ['64 MiB, first', BOUND],
      ['64 MiB', BOUND],
    ] as const) {
      const node = await startSizedNode({ ...options, cache })
      rows.push([`${entries}, ${name}`, ...(await use(node, entries))])
      await node.close()
    }
    return rows
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function use(node: SizedNode, entries: number): Promise<(string | number)[]> {
  const opened = await node.memory()
  const agent = new Agent({ keepAlive: true })
  const keyOf = (number: number): string =>
    `items/k${String((number * 104_729) % entries).padStart(7, '0')}`
  const run = (
    samples: number,
    method: string,
    pathOf: (number: number) => string,
    body?: string,
  ): Promise<Measurement> =>
    measure({
      what: method,
      samples,
      async run(number) {
        const options = { agent, timeoutMs: 60_000, ...(body === undefined ? {} : { body }) }
        const answer = await request(method, `${node.url}/${pathOf(number)}`, options)
        if (answer.status !== 200) throw new Error(`${answer.status}: ${answer.body}`)
      },
    })
  try {
    const lists = await run(20, 'GET', () => 'items/*?order=newest&limit=100')
    const reads = await run(2000, 'GET', keyOf)
    const followed = await Subscriber.open(node.url, keyOf(7))
    const writes = await run(2000, 'POST', keyOf, JSON.stringify({ text: 'y'.repeat(190) }))
    await waitFor(() => followed.states.length > 1, { what: 'the change of the followed key' })
    followed.close()
    const used = await node.memory()
    return [
      (node.openMs / 1000).toFixed(1),
      ...[opened.heapUsed, opened.own, used.own, used.peakRss].map((n) => Math.round(n / MIB)),
      ...[lists.p50, reads.p50, reads.p99, writes.p50, writes.p99].map(ms),
    ]
  } finally {
    agent.destroy()
  }
}
