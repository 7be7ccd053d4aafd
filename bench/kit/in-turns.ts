/**
 * Servers measured in turns of a few seconds, all of them up with their subscribers: a machine has better
 * and worse minutes, and what lies minutes apart compares those. Each has a swarm and a generator of its own.
 */
import type { BenchContext, Table } from './bench.ts'
import { ms } from './bench.ts'
import { type FanoutCell, fillRoom, type Shape } from './fanout-table.ts'
import { joined, type Outcome, Rig, type Writes } from './rig.ts'
import type { Running, Target } from './target.ts'

/** How long each turn is, and how many each server has. */
export interface Turns {
  readonly rate: number
  readonly seconds: number
  readonly turns: number
}

/** A load on one server, whole and turn by turn. */
export interface TurnsCell extends FanoutCell {
  readonly turns: readonly Outcome[]
}

interface Side {
  readonly target: Target
  readonly rig: Rig
  readonly server: Running
  readonly load: Omit<Writes, 'rate' | 'seconds'>
}

/** The same room at each of the servers, and each load in turns. */
export async function inTurns(
  targets: readonly Target[],
  shape: Shape,
  subscribers: number,
  loads: readonly Turns[],
  context: BenchContext,
): Promise<TurnsCell[]> {
  const sides: Side[] = []
  if (loads.length === 0) return []
  try {
    for (const target of targets) sides.push(await startSide(target, shape, subscribers))
    const cells: TurnsCell[] = []
    for (const load of loads) {
      context.say(`in turns, ${shape.name}, ${subscribers} subscribers, ${load.rate} writes/s`)
      const seconds = context.seconds ?? load.seconds
      const outcomes = await takeTurns(sides, { ...load, seconds })
      for (const { target } of sides) {
        const each = outcomes.get(target) ?? []
        const cell = { target: target.name, shape: shape.name, subscribers, rate: load.rate }
        cells.push({ ...cell, outcome: joined(each), turns: each })
      }
    }
    return cells
  } finally {
    for (const side of sides) await endSide(side)
  }
}

async function startSide(target: Target, shape: Shape, subscribers: number): Promise<Side> {
  const [rig, server] = await Promise.all([Rig.start(), target.start()])
  try {
    return { target, rig, server, load: await fillRoom(rig, target, server, shape, subscribers) }
  } catch (error) {
    await endSide({ rig, server })
    throw error
  }
}

/** The swarm first, though it may have failed: its connections end with its process. */
async function endSide({ rig, server }: Pick<Side, 'rig' | 'server'>): Promise<void> {
  await rig.end()
  await server.stop()
}

/** What each turn came to, by server. */
async function takeTurns(
  sides: readonly Side[],
  { rate, seconds, turns }: Turns,
): Promise<Map<Target, Outcome[]>> {
  const outcomes = new Map(sides.map(({ target }): [Target, Outcome[]] => [target, []]))
  for (let turn = 0; turn < turns; turn++) {
    // Every other round backwards, so that nobody always comes after the same one.
    for (const { target, rig, load } of turn % 2 === 0 ? sides : [...sides].reverse()) {
      const outcome = await rig.run({ ...load, rate, seconds })
      outcomes.get(target)?.push(outcome)
      if (outcome.missing === 0) await rig.check()
    }
  }
  return outcomes
}

/** Each load beside the same one on `base`: how many times its time, over all turns and in the single ones. */
export function turnsTable(cells: readonly TurnsCell[], base: string): Table {
  const rows = cells.map((cell) => {
    const { target, shape, subscribers, rate, outcome } = cell
    const of = [target, `${subscribers} × ${shape}`, rate]
    const times = [outcome.every.p50, outcome.every.p99].map(ms)
    const beside = cells.find((other) => other.target === base && isSameLoad(other, cell))
    if (target === base || beside === undefined) return [...of, ...times, '–', '–', '–']
    const ratios = cell.turns.map(({ every }, i) => ratio(every.p50, beside.turns[i]?.every.p50))
    const [least, greatest] = [Math.min(...ratios), Math.max(...ratios)]
    return [
      ...of,
      ...times,
      ratio(outcome.every.p50, beside.outcome.every.p50).toFixed(2),
      ratio(outcome.every.p99, beside.outcome.every.p99).toFixed(2),
      `${least.toFixed(2)} to ${greatest.toFixed(2)}`,
    ]
  })
  return {
    title: `In turns with ${base}, all servers up at once`,
    columns: [
      'server',
      'subscribers of one',
      'writes/s',
      'p50 ms',
      'p99 ms',
      'p50 ratio',
      'p99 ratio',
      'p50 ratio of single turns',
    ],
    rows,
  }
}

function isSameLoad(a: FanoutCell, b: FanoutCell): boolean {
  return a.shape === b.shape && a.subscribers === b.subscribers && a.rate === b.rate
}

function ratio(time: number, base: number | undefined): number {
  return base === undefined ? Number.NaN : time / base
}
