import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type MemoryUse, startSizedNode } from '../test/support/sized-node.ts'
import { type Bench, type Table, wanted } from './kit/bench.ts'
import { type Peers, peerTargets } from './kit/peers.ts'
import { residentBytes } from './kit/process-use.ts'
import { Swarm } from './kit/swarm-link.ts'
import { FLOOR, type Target } from './kit/target.ts'

const ENTRIES = 100_000
const VALUE_BYTES = [20, 200, 2000]
const SUBSCRIBERS = [1000, 10_000]
const HEAP_MIB = 1024
const SETTLE_POLL_MS = 500
const SETTLE_POLLS = 40

/** What a node keeps for subscribers that only wait, and for what it stores. */
export const bench: Bench = {
  question: 'How much memory do an idle subscriber and a key take?',
  setting: `A node in a process of its own on LevelDB. Subscribers: all of one key, idle; resident memory (without mapped files) and heap after a garbage collection, less those before they came, divided by their number. "bare Node" is the program of \`floor\`; it and other servers without a collection. Keys: ${ENTRIES} of 14 characters, everything in memory, opened again after they were written; heap after a collection, less that of a node without entries, divided by their number.`,
  async run(context) {
    const peers = await peerTargets(context)
    try {
      const sizes = wanted(SUBSCRIBERS, context)
      const subscribers = await ofSubscribers(sizes, peers.targets, context.say)
      const tables = [subscribers, await ofKeys(context.say)]
      return { tables, notes: peers.notes, versions: peers.versions }
    } finally {
      await peers.end()
    }
  },
}

async function ofSubscribers(
  sizes: readonly number[],
  peers: Peers['targets'],
  say: (line: string) => void,
): Promise<Table> {
  const rows: (string | number)[][] = []
  const swarm = await Swarm.start()
  try {
    for (const count of sizes) {
      say(`${count} idle subscribers`)
      rows.push(await ofNode(swarm, count))
      for (const target of [FLOOR, ...peers]) rows.push(await ofTarget(swarm, target, count))
    }
  } finally {
    await swarm.end()
  }
  const columns = [
    'server',
    'subscribers',
    'resident KiB each',
    'heap KiB each',
    'resident MiB in all',
  ]
  return { title: 'Idle subscribers', columns, rows }
}

async function ofNode(swarm: Swarm, subscribers: number): Promise<(string | number)[]> {
  return withFolder(async (directory) => {
    const node = await startSizedNode({ directory, cache: 'all', heapMiB: HEAP_MIB, fill: 1 })
    try {
      const port = Number(new URL(node.url).port)
      const room = { port, key: 'items/k0000000', dialect: 'ooo' } as const
      await swarm.join({ ...room, subscribers: 100 })
      await swarm.leave()
      const before = await settled(() => node.memory())
      await swarm.join({ ...room, subscribers })
      const after = await settled(() => node.memory())
      const heap = (after.heapUsed - before.heapUsed) / subscribers
      return row('ooo-cluster', subscribers, before.own, after.own, (heap / 1024).toFixed(1))
    } finally {
      await swarm.leave()
      await node.close()
    }
  })
}

async function ofTarget(
  swarm: Swarm,
  { name, dialect, start }: Target,
  subscribers: number,
): Promise<(string | number)[]> {
  const { port, pid, stop } = await start()
  const use = async (): Promise<Pick<MemoryUse, 'own'>> => ({ own: residentBytes(pid).own })
  const room = { port, key: 'items/k', dialect }
  try {
    await swarm.join({ ...room, subscribers: 100 })
    await swarm.leave()
    const before = await settled(use)
    await swarm.join({ ...room, subscribers })
    const after = await settled(use)
    return row(name, subscribers, before.own, after.own, '–')
  } finally {
    await swarm.leave()
    await stop()
  }
}

function row(
  server: string,
  subscribers: number,
  before: number,
  after: number,
  heap: string,
): (string | number)[] {
  const each = (after - before) / subscribers / 1024
  return [server, subscribers, each.toFixed(1), heap, Math.round(after / 2 ** 20)]
}

/** The use of memory once it has stopped changing by more than one percent. */
async function settled<Use extends Pick<MemoryUse, 'own'>>(read: () => Promise<Use>): Promise<Use> {
  let use = await read()
  for (let poll = 0; poll < SETTLE_POLLS; poll++) {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_POLL_MS))
    const next = await read()
    const isSettled = Math.abs(next.own - use.own) < use.own / 100
    use = next
    if (isSettled) break
  }
  return use
}

async function ofKeys(say: (line: string) => void): Promise<Table> {
  const empty = await heapOf(0, 0)
  const rows: (string | number)[][] = []
  for (const valueBytes of VALUE_BYTES) {
    say(`${ENTRIES} values of ${valueBytes} bytes`)
    const perEntry = ((await heapOf(ENTRIES, valueBytes)) - empty) / ENTRIES
    const beyond = Math.round(perEntry - valueBytes)
    rows.push([`values of ${valueBytes} bytes`, Math.round(perEntry), beyond])
  }
  return { title: 'Keys', columns: ['what', 'heap bytes per key', 'beyond its value'], rows }
}

/** Bytes of heap of a node that opened a folder with so many entries. */
function heapOf(entries: number, valueBytes: number): Promise<number> {
  return withFolder(async (directory) => {
    const options = { directory, cache: 'all', heapMiB: HEAP_MIB } as const
    const filling = await startSizedNode({ ...options, fill: entries, valueBytes })
    await filling.close()
    const node = await startSizedNode(options)
    const { heapUsed } = await node.memory()
    await node.close()
    return heapUsed
  })
}

async function withFolder<Result>(use: (directory: string) => Promise<Result>): Promise<Result> {
  const directory = await mkdtemp(join(tmpdir(), 'ooo-bench-'))
  try {
    return await use(directory)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}
