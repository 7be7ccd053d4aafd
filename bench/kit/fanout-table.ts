/** The runs and the table that all questions about fan-out share. */
import type { BenchContext, Chart, Table } from './bench.ts'
import { ms } from './bench.ts'
import type { Outcome, Rig, Writes } from './rig.ts'
import type { Running, Target } from './target.ts'

/** What is written and subscribed to. */
export const SHAPES = [
  { name: 'key', key: 'room/state', subscribed: 'room/state', keys: 0 },
  { name: 'list', key: 'items/k', subscribed: 'items/*', keys: 1000 },
] as const

export type Shape = (typeof SHAPES)[number]

/** A load on a server with so many subscribers. */
export interface FanoutCell {
  readonly target: string
  readonly shape: string
  readonly subscribers: number
  readonly rate: number
  readonly outcome: Outcome
}

/** Beyond this p50 the server has fallen behind for good, and higher rates say nothing more. */
const SATURATED_US = 1_000_000

/** Fills the list, if it is one, and the room, and gives what is then to be written. */
export async function fillRoom(
  rig: Rig,
  target: Target,
  server: Running,
  shape: Shape,
  subscribers: number,
): Promise<Omit<Writes, 'rate' | 'seconds'>> {
  await prepare(rig, server, shape)
  const { port, pid } = server
  const load = { port, pid, key: shape.key, keys: shape.keys }
  await rig.fill({ port, key: shape.subscribed, dialect: target.dialect, subscribers }, load)
  return load
}

/** Writes every entry of the list once, so that the load only changes entries. */
export async function prepare(rig: Rig, server: Running, shape: Shape): Promise<void> {
  if (shape.keys === 0) return
  const { port, pid } = server
  await rig.run({
    port,
    pid,
    key: shape.key,
    keys: shape.keys,
    rate: 2000,
    seconds: shape.keys / 2000,
  })
}

/** One room of subscribers and each rate in turn, until one is too much. */
export async function runRates(
  rig: Rig,
  target: Target,
  shape: Shape,
  subscribers: number,
  rates: readonly (readonly [rate: number, seconds: number])[],
  context: BenchContext,
): Promise<FanoutCell[]> {
  const cells: FanoutCell[] = []
  const server = await target.start()
  try {
    const load = await fillRoom(rig, target, server, shape, subscribers)
    for (const [rate, seconds] of rates) {
      context.say(`${target.name}, ${shape.name}, ${subscribers} subscribers, ${rate} writes/s`)
      const outcome = await rig.run({ ...load, rate, seconds: context.seconds ?? seconds })
      cells.push({ target: target.name, shape: shape.name, subscribers, rate, outcome })
      if (outcome.missing === 0) await rig.check()
      if (outcome.missing > 0 || outcome.every.p50 > SATURATED_US) break
    }
  } finally {
    await rig.swarm.leave()
    await server.stop()
  }
  return cells
}

/** Times in milliseconds from the intended time of a write to its receipt. */
export function fanoutTable(cells: readonly FanoutCell[]): Table {
  return {
    columns: [
      'server',
      'subscribers of one',
      'writes/s',
      'p50 ms',
      'p90 ms',
      'p99 ms',
      'max ms',
      'last one p50',
      'last one p99',
      'frames/s',
      'server CPU %',
      'swarm CPU %',
    ],
    rows: cells.map(({ target, shape, subscribers, rate, outcome }) => [
      target,
      `${subscribers} × ${shape}`,
      rate,
      ...[outcome.every.p50, outcome.every.p90, outcome.every.p99, outcome.every.max].map(ms),
      ...[outcome.last.p50, outcome.last.p99].map(ms),
      Math.round(outcome.framesPerSecond),
      Math.round(outcome.serverCpu),
      Math.round(outcome.swarmCpu),
    ]),
  }
}

function loadOf({ target, shape, subscribers, rate }: FanoutCell): string {
  return JSON.stringify([target, shape, subscribers, rate])
}

/** One picture per number of subscribers, one line per load: of its last run. */
export function fanoutCharts(cells: readonly FanoutCell[]): Chart[] {
  const sizes = [...new Set(cells.map(({ subscribers }) => subscribers))]
  const loads = [...new Map(cells.map((cell) => [loadOf(cell), cell])).values()]
  return sizes.map((size) => ({
    name: String(size),
    title: `From an intended write to each of ${size} subscribers`,
    series: loads
      .filter(({ subscribers }) => subscribers === size)
      .map(({ target, shape, rate, outcome }) => ({
        label: `${target}, ${shape}, ${rate}/s`,
        histogram: outcome.histograms.every,
      })),
  }))
}

/** What went wrong, if anything, one sentence per load. */
export function fanoutNotes(cells: readonly FanoutCell[]): string[] {
  const notes: string[] = []
  for (const { target, shape, subscribers, rate, outcome } of cells) {
    const { missing, lost, failedWrites, problems } = outcome
    if (missing + lost + failedWrites === 0) continue
    const first = problems[0] === undefined ? '' : ` (${problems[0]})`
    notes.push(
      `${target}, ${subscribers} × ${shape}, ${rate} writes/s: ${missing} receipts had not come when the run was ended, ${lost} connections were lost, ${failedWrites} writes failed${first}.`,
    )
  }
  if (cells.length > 0 && notes.length === 0) {
    notes.push(
      'After every load each subscriber held what the server answered to a GET, digit for digit.',
    )
  }
  const late = Math.max(...cells.map(({ outcome }) => outcome.late.p99))
  if (cells.length > 0) {
    notes.push(`99 of 100 writes were sent within ${ms(late)} ms of their time, in every load.`)
  }
  return notes
}
