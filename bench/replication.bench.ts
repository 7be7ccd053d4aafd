import { findRedis, startRedisProgram } from '../test/support/redis-program.ts'
import { type Bench, type BenchContext, type Chart, ms, Skipped, type Table } from './kit/bench.ts'
import { keyOf, type RunningCluster, startCluster } from './kit/cluster.ts'
import { pivotProgram } from './kit/peers.ts'
import { startPivotCluster } from './kit/pivot.ts'
import { type Outcome, Rig } from './kit/rig.ts'

interface Case {
  readonly entries: number
  readonly followers: number
  /** How the changes travel: `counted` is the stream through a program that counts its bytes. */
  readonly way: 'stream' | 'counted' | 'redis' | 'pivot'
}

interface Helpers {
  readonly redisUrl: string | undefined
  /** The program of a Go node. */
  readonly pivot: string | undefined
}

const RATE = 50
const SECONDS = 5

const CASES: readonly Case[] = [
  ...[1, 4, 16].map((followers) => ({ entries: 100, followers, way: 'stream' }) as const),
  ...[100, 10_000, 1_000_000].map(
    (entries) => ({ entries, followers: 1, way: 'counted' }) as const,
  ),
  { entries: 10_000, followers: 4, way: 'stream' },
  ...[1, 4, 16].map((followers) => ({ entries: 100, followers, way: 'redis' }) as const),
  ...[1, 4].map((followers) => ({ entries: 100, followers, way: 'pivot' }) as const),
]

interface Result extends Case {
  readonly outcome: Outcome
  /** Bytes per write, down to the follower and up. */
  readonly down: number
  readonly up: number
}

/** From a write on the leader to a subscriber of a follower. */
export const bench: Bench = {
  question: 'How long until a write on the leader is seen by a subscriber of a follower?',
  setting: `A leader and its followers, each a process with its defaults on one machine; each follower has one subscriber of the key that is written, ${RATE} times a second, an entry of a list of the length given. Times count from the intended write at the leader to the receipt from a follower. Where bytes are given, they are those of the follower's connection per write of about 230 bytes, all overhead included, counted by a program in between, which costs some time.`,
  async run(context) {
    const rig = await Rig.start()
    const redis = await startRedis()
    const notes: string[] = []
    const pivot = context.peers ? await orNote(pivotProgram(), notes) : undefined
    const results: Result[] = []
    const helpers = { redisUrl: redis?.url, pivot: pivot?.program }
    try {
      for (const each of CASES) {
        if (context.only !== undefined && context.only !== each.entries) continue
        if (each.way === 'redis' && redis === undefined) continue
        if (each.way === 'pivot' && pivot === undefined) continue
        const result = await orNote(measure(rig, each, helpers, context), notes)
        if (result !== undefined) results.push(result)
      }
    } finally {
      await rig.end()
      await redis?.end()
      await pivot?.end()
    }
    if (redis === undefined) notes.push('redis-server is not installed: the bus was left out.')
    return { tables: [tableOf(results)], charts: chartsOf(results), notes }
  },
}

async function startRedis(): Promise<{ url: string; end(): Promise<void> } | undefined> {
  const program = findRedis()
  return program === undefined ? undefined : await startRedisProgram(program)
}

/** What cannot be had here is noted, once; anything else that fails fails the run. */
async function orNote<Value>(value: Promise<Value>, notes: string[]): Promise<Value | undefined> {
  try {
    return await value
  } catch (error) {
    if (!(error instanceof Skipped)) throw error
    if (!notes.includes(error.message)) notes.push(error.message)
    return undefined
  }
}

function start(each: Case, { redisUrl, pivot }: Helpers): Promise<RunningCluster> {
  if (each.way === 'pivot') return startPivotCluster(pivot ?? '', each)
  const args = each.way === 'redis' ? ['--redis', redisUrl ?? ''] : []
  return startCluster({ ...each, counted: each.way === 'counted', args })
}

async function measure(
  rig: Rig,
  each: Case,
  helpers: Helpers,
  context: BenchContext,
): Promise<Result> {
  context.say(nameOf(each))
  const { leader, followers, link, end } = await start(each, helpers)
  const key = keyOf(7)
  try {
    for (const { port } of followers) {
      await rig.swarm.join({ port, key, dialect: 'ooo', subscribers: 1 })
    }
    const writes = { port: leader.port, pid: leader.pid, key, rate: RATE }
    await rig.run({ ...writes, seconds: 1 })
    const before = link?.passed
    const outcome = await rig.run({ ...writes, seconds: context.seconds ?? SECONDS })
    if (outcome.missing === 0) await rig.check()
    else context.say(`${outcome.missing} receipts had not come`)
    const after = link?.passed
    const count = outcome.answered.count
    const per = (side: 'down' | 'up'): number =>
      before === undefined || after === undefined
        ? Number.NaN
        : (after[side] - before[side]) / count
    return { ...each, outcome, down: per('down'), up: per('up') }
  } finally {
    await rig.swarm.leave()
    await end()
  }
}

const WAYS: Readonly<Record<Case['way'], string>> = {
  stream: '',
  counted: ', bytes counted',
  redis: ', over Redis',
  pivot: ', Go with pivot',
}

function nameOf({ entries, followers, way }: Case): string {
  return `list of ${entries}, ${followers} ${followers === 1 ? 'follower' : 'followers'}${WAYS[way]}`
}

function tableOf(results: readonly Result[]): Table {
  const bytes = (value: number): string | number => (Number.isNaN(value) ? '–' : Math.round(value))
  return {
    columns: [
      'what',
      'p50 ms',
      'p90 ms',
      'p99 ms',
      'max ms',
      'last follower p50',
      'last follower p99',
      'bytes to the follower',
      'bytes from it',
      'leader CPU %',
      'missing',
    ],
    rows: results.map((result) => [
      nameOf(result),
      ...[result.outcome.every.p50, result.outcome.every.p90, result.outcome.every.p99].map(ms),
      ms(result.outcome.every.max),
      ...[result.outcome.last.p50, result.outcome.last.p99].map(ms),
      bytes(result.down),
      bytes(result.up),
      Math.round(result.outcome.serverCpu),
      result.outcome.missing,
    ]),
  }
}

function chartsOf(results: readonly Result[]): Chart[] {
  const title = 'From an intended write at the leader to a subscriber of a follower'
  const series = results.map((result) => ({
    label: nameOf(result),
    histogram: result.outcome.histograms.every,
  }))
  return [{ name: 'latency', title, series }]
}
