import { type Bench, type BenchContext, ms } from './kit/bench.ts'
import {
  type FanoutCell,
  fanoutCharts,
  fanoutNotes,
  fanoutTable,
  SHAPES,
} from './kit/fanout-table.ts'
import { peerTargets } from './kit/peers.ts'
import { Rig } from './kit/rig.ts'
import { FLOOR, node, type Running, type Target } from './kit/target.ts'

const SUBSCRIBERS = 1000
const FIRST_RATE = 50
const HIGHEST_RATE = 12_800
const SECONDS = 3
/** Between the last rate that was kept up with and the first that was not. */
const BISECTIONS = 3
const LIMIT_US = 100_000

/** Rates rise until subscribers wait too long. */
export const bench: Bench = {
  question: 'How many writes per second reach 1000 subscribers of a key in time?',
  setting: `In time: 99 of 100 receipts within ${LIMIT_US / 1000} ms of the intended write. The rate doubles, ${SECONDS} s each, until that fails, and the gap is then halved ${BISECTIONS} times. "bare Node" is the program of \`floor\`. One more subscriber of every room never reads a byte.`,
  async run(context) {
    const peers = await peerTargets(context)
    const rig = await Rig.start()
    const cells: FanoutCell[] = []
    const notes: string[] = []
    try {
      for (const target of [node(), FLOOR, ...peers.targets]) {
        const steps = await ramp(rig, target, context)
        cells.push(...steps)
        notes.push(verdict(target, steps))
      }
    } finally {
      await rig.end()
      await peers.end()
    }
    return {
      tables: [fanoutTable(cells)],
      charts: fanoutCharts(cells.filter((cell) => isBest(cell, cells))),
      notes: [...notes, ...fanoutNotes(cells), ...peers.notes],
      versions: peers.versions,
    }
  },
}

async function ramp(rig: Rig, target: Target, context: BenchContext): Promise<FanoutCell[]> {
  const cells: FanoutCell[] = []
  const server = await target.start()
  const step = async (rate: number): Promise<boolean> => {
    const cell = await load(rig, target, server, rate, context)
    cells.push(cell)
    return isKept(cell)
  }
  try {
    let [kept, failed] = [0, FIRST_RATE]
    while (failed <= HIGHEST_RATE && (await step(failed))) [kept, failed] = [failed, failed * 2]
    for (let i = 0; i < BISECTIONS && kept > 0 && failed <= HIGHEST_RATE; i++) {
      const middle = Math.round((kept + failed) / 2)
      if (await step(middle)) kept = middle
      else failed = middle
    }
  } finally {
    await rig.swarm.leave()
    await server.stop()
  }
  return cells
}

/** Each rate has subscribers of its own: what one has left behind is not the next one's burden. */
async function load(
  rig: Rig,
  target: Target,
  server: Running,
  rate: number,
  context: BenchContext,
): Promise<FanoutCell> {
  const [shape] = SHAPES
  const { port, pid } = server
  const writes = { port, pid, key: shape.key }
  context.say(`${target.name}, ${rate} writes/s`)
  const room = { port, key: shape.subscribed, dialect: target.dialect, subscribers: SUBSCRIBERS }
  await rig.swarm.leave()
  await rig.fill(room, writes)
  const outcome = await rig.run({ ...writes, rate, seconds: context.seconds ?? SECONDS })
  if (outcome.missing === 0) await rig.check()
  return { target: target.name, shape: shape.name, subscribers: SUBSCRIBERS, rate, outcome }
}

function isKept({ outcome }: FanoutCell): boolean {
  return outcome.every.p99 < LIMIT_US && outcome.missing + outcome.failedWrites === 0
}

function bestOf(cells: readonly FanoutCell[]): FanoutCell | undefined {
  return cells.filter(isKept).sort((a, b) => b.rate - a.rate)[0]
}

function isBest(cell: FanoutCell, cells: readonly FanoutCell[]): boolean {
  return bestOf(cells.filter(({ target }) => target === cell.target)) === cell
}

function verdict({ name }: Target, cells: readonly FanoutCell[]): string {
  const best = bestOf(cells)
  if (best === undefined) return `${name} did not keep up with ${FIRST_RATE} writes/s.`
  const { every, framesPerSecond } = best.outcome
  const frames = (Math.round(framesPerSecond / 1000) * 1000).toLocaleString('en-US')
  return `${name}: **${best.rate} writes/s** in time (p99 ${ms(every.p99)} ms), ${frames} frames/s.`
}
