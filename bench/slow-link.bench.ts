import { setTimeout as delay } from 'node:timers/promises'
import { request } from '../test/support/http.ts'
import { SlowLine } from '../test/support/slow-line.ts'
import { waitFor } from '../test/support/wait.ts'
import type { Bench } from './kit/bench.ts'
import { caughtUp, startFollower } from './kit/cluster.ts'
import { type Running, startNode } from './kit/target.ts'

interface Case {
  readonly mib: number
  readonly kbPerSecond: number
  readonly cutEveryMs: number
}

const SHORT: readonly Case[] = [
  { mib: 1, kbPerSecond: 64, cutEveryMs: 10_000 },
  { mib: 5, kbPerSecond: 256, cutEveryMs: 10_000 },
]
const FULL: readonly Case[] = [
  { mib: 5, kbPerSecond: 64, cutEveryMs: 60_000 },
  { mib: 10, kbPerSecond: 64, cutEveryMs: 60_000 },
  { mib: 5, kbPerSecond: 16, cutEveryMs: 60_000 },
  { mib: 10, kbPerSecond: 16, cutEveryMs: 60_000 },
]
const MIB = 1024 * 1024
/** What a body has beside the text: the largest is as long as a body may be. */
const FRAME = 100
const SMALL_EVERY_MS = 1000
const DEADLINE_MS = 3_600_000

/** A large value and small changes over a line that is slow and does not last. */
export const bench: Bench = {
  question: 'Does a large value arrive over a slow line that is cut again and again?',
  setting:
    'A leader and a follower, each a process on one machine; between them a program that carries so many kilobytes a second in each direction and cuts the connections at intervals. One value is written at one end, and beside it a small one every second; each is waited for at the other end. With --full: 5 and 10 MiB at 64 and 16 kB/s, cut every minute.',
  async run(context) {
    const rows: (string | number)[][] = []
    const { only, full } = context
    const cases = (full ? FULL : SHORT).filter(({ mib }) => only === undefined || mib === only)
    for (const one of cases) {
      for (const direction of ['down', 'up'] as const) {
        context.say(`${one.mib} MiB at ${one.kbPerSecond} kB/s, ${direction}`)
        const row = await carry(one, direction)
        context.say(row.join(', '))
        rows.push(row)
      }
    }
    const columns = [
      'value',
      'line',
      'direction',
      'cuts',
      'seconds',
      'at full speed',
      'KB carried',
      'small: p50 ms',
      'max ms',
    ]
    return { tables: [{ columns, rows }] }
  },
}

async function carry(
  { mib, kbPerSecond, cutEveryMs }: Case,
  direction: 'up' | 'down',
): Promise<(string | number)[]> {
  const leader = await startNode(['--key', 'items/*', '--durability', 'process'])
  const line = await SlowLine.open({
    to: urlOf(leader),
    bytesPerSecond: kbPerSecond * 1000,
    cutEveryMs,
  })
  const follower = await startFollower(line.url)
  try {
    await caughtUp(follower)
    const [from, to] = direction === 'down' ? [leader, follower] : [follower, leader]
    const before = line.carried[direction]
    const cutsBefore = line.cuts
    const begin = performance.now()
    await post(
      from,
      'items/large',
      JSON.stringify({ mark: 'large', text: 'x'.repeat(mib * MIB - FRAME) }),
    )
    const arrived = arrival(to, 'items/large', 'large')
    const smalls = await smallOnes(from, to, arrived)
    await arrived
    const seconds = (performance.now() - begin) / 1000
    const sorted = smalls.toSorted((a, b) => a - b)
    return [
      `${mib} MiB`,
      `${kbPerSecond} kB/s, cut every ${cutEveryMs / 1000} s`,
      direction,
      (line.cuts - cutsBefore) / 2,
      seconds.toFixed(1),
      ((mib * MIB) / kbPerSecond / 1000).toFixed(1),
      Math.round((line.carried[direction] - before) / 1000),
      Math.round(sorted[Math.floor(sorted.length / 2)] ?? 0),
      Math.round(sorted.at(-1) ?? 0),
    ]
  } finally {
    await follower.stop()
    await line.close()
    await leader.stop()
  }
}

/** Writes small values until the large one has arrived. @returns how long each took, milliseconds. */
async function smallOnes(from: Running, to: Running, until: Promise<void>): Promise<number[]> {
  const end = new AbortController()
  void until.then(() => end.abort())
  const took: Promise<number>[] = []
  for (let i = 0; !end.signal.aborted; i++) {
    const begin = performance.now()
    const key = `items/small${i}`
    await post(from, key, JSON.stringify({ mark: `small${i}` }))
    took.push(arrival(to, key, `small${i}`).then(() => performance.now() - begin))
    await delay(SMALL_EVERY_MS)
  }
  return Promise.all(took)
}

async function post(node: Running, key: string, body: string): Promise<void> {
  const answer = await request('POST', `${urlOf(node)}/${key}`, { body })
  if (answer.status !== 200) throw new Error(`${key}: ${answer.status} ${answer.body}`)
}

async function arrival(node: Running, key: string, mark: string): Promise<void> {
  const isThere = async (): Promise<boolean> => {
    const answer = await request('GET', `${urlOf(node)}/${key}`)
    return answer.status === 200 && answer.body.includes(`"mark":"${mark}"`)
  }
  await waitFor(isThere, { deadlineMs: DEADLINE_MS, intervalMs: 50, what: key })
}

function urlOf({ port }: Running): string {
  return `http://127.0.0.1:${port}`
}
