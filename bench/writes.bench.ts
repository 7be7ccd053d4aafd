import { findPostgres, startPostgresProgram } from '../test/support/postgres-program.ts'
import { type Bench, type BenchContext, type Chart, ms, type Table } from './kit/bench.ts'
import { type Generated, Generator, type Load } from './kit/generator-link.ts'
import { Histogram } from './kit/histogram.ts'
import { monotonicUs } from './kit/monotonic.ts'
import { peerTargets } from './kit/peers.ts'
import { node, type Target } from './kit/target.ts'

const RATE = 200
const SECONDS = 4
const AT_ONCE = 32
const WRITES = 10_000
const BATCHES = 200
const BATCH = 100
const DEADLINE_MS = 60_000

interface Store {
  readonly name: string
  readonly start: Target['start']
  /** Takes many writes in one request. */
  readonly hasBatches: boolean
}

interface Result {
  readonly name: string
  /** At a fixed rate. */
  readonly steady: Generated
  /** Writes per second, with so many at once. */
  readonly perSecond: number
  /** Entries per second, in batches; undefined: it takes none. */
  readonly batched: number | undefined
}

/** One node alone, written to over HTTP. */
export const bench: Bench = {
  question: 'How long does one node take to acknowledge a write, and how many can it take?',
  setting: `One node without followers and subscribers; 250 bytes to one of 10,000 keys each time, by POST from another process on the same machine. Times are those of ${RATE} writes a second, from the intended send to the answer. "At once" is how many writes are answered per second when ${AT_ONCE} connections send their next as soon as they have an answer, "in batches" how many entries when 4 connections send batches of ${BATCH}. PostgreSQL is the server of \`OOO_TEST_POSTGRES_URL\`, else the program found here with its data on the same disk and fsync on.`,
  async run(context) {
    const postgres = await findServer()
    const peers = await peerTargets(context)
    const others = peers.targets.map(({ name, start }) => ({ name, start, hasBatches: false }))
    const generator = await Generator.start()
    const results: Result[] = []
    try {
      for (const store of [...storesOf(postgres?.url), ...others]) {
        context.say(store.name)
        results.push(await measure(generator, store, context))
      }
    } finally {
      await generator.end()
      await peers.end()
      await postgres?.end()
    }
    const missing = postgres === undefined ? ['There is no PostgreSQL here: left out.'] : []
    const notes = [...missing, ...peers.notes]
    const { versions } = peers
    return { tables: [tableOf(results)], charts: [chartOf(results)], notes, versions }
  },
}

function storesOf(postgresUrl: string | undefined): Store[] {
  const namespace = `bench-${process.pid}`
  const postgres = ['--postgres', postgresUrl ?? '', '--postgres-namespace', namespace]
  const store = (name: string, args: readonly string[]): Store => {
    return { name, start: node(name, args).start, hasBatches: true }
  }
  return [
    store('memory', ['--memory']),
    ...['memory', 'process', 'disk'].map((level) =>
      store(`LevelDB, durability ${level}`, ['--durability', level]),
    ),
    ...(postgresUrl === undefined ? [] : ['process', 'disk']).map((level) =>
      store(`PostgreSQL, durability ${level}`, [...postgres, '--durability', level]),
    ),
  ]
}

async function measure(generator: Generator, store: Store, context: BenchContext): Promise<Result> {
  const server = await store.start()
  const send = async (
    count: number,
    intervalUs: number,
    more: Pick<Load, 'connections' | 'batch'> = {},
  ): Promise<Generated> => {
    const startUs = monotonicUs() + 100_000
    const generated = await generator.run({
      port: server.port,
      key: 'items/k',
      keys: 10_000,
      padding: 210,
      schedule: { startUs, intervalUs, count, firstNumber: 1 },
      deadlineMs: DEADLINE_MS,
      ...more,
    })
    const { failed, unanswered, problem } = generated
    if (failed + unanswered > 0) throw new Error(`${failed} failed, ${unanswered} open: ${problem}`)
    return generated
  }
  try {
    await send(1000, 0, { connections: AT_ONCE })
    const steady = await send(RATE * (context.seconds ?? SECONDS), 1e6 / RATE)
    const many = await send(WRITES, 0, { connections: AT_ONCE })
    const perSecond = WRITES / many.seconds
    if (!store.hasBatches) return { name: store.name, steady, perSecond, batched: undefined }
    const batches = await send(BATCHES, 0, { connections: 4, batch: BATCH })
    const batched = (BATCHES * BATCH) / batches.seconds
    return { name: store.name, steady, perSecond, batched }
  } finally {
    await server.stop()
  }
}

function tableOf(results: readonly Result[]): Table {
  return {
    columns: [
      'server, storage',
      'p50 ms',
      'p90 ms',
      'p99 ms',
      'max ms',
      'at once, per s',
      'in batches, per s',
    ],
    rows: results.map(({ name, steady, perSecond, batched }) => {
      const { p50, p90, p99, max } = Histogram.from(steady.answered).percentiles()
      const times = [p50, p90, p99, max].map(ms)
      const entries = batched === undefined ? '–' : Math.round(batched)
      return [name, ...times, Math.round(perSecond), entries]
    }),
  }
}

function chartOf(results: readonly Result[]): Chart {
  const title = `From an intended write to its answer, ${RATE} writes/s`
  const series = results.map(({ name, steady }) => ({ label: name, histogram: steady.answered }))
  return { name: 'latency', title, series }
}

/** The PostgreSQL server to measure; undefined when there is none. */
async function findServer(): Promise<{ url: string; end: () => Promise<void> } | undefined> {
  const url = process.env.OOO_TEST_POSTGRES_URL
  if (url !== undefined) return { url, end: () => Promise.resolve() }
  const program = findPostgres()
  if (program === undefined) return undefined
  return startPostgresProgram(program, { settings: { fsync: 'on' } })
}
