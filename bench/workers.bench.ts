import { type Bench, wanted } from './kit/bench.ts'
import {
  type FanoutCell,
  fanoutCharts,
  fanoutNotes,
  fanoutTable,
  runRates,
  SHAPES,
} from './kit/fanout-table.ts'
import { Rig } from './kit/rig.ts'
import { node } from './kit/target.ts'

const SUBSCRIBERS = [1000, 5000]
const WORKERS = [0, 1, 2]
const RATES = [
  [5, 4],
  [50, 3],
] as const

/** One node whose sockets are held by several workers. */
export const bench: Bench = {
  question: 'Do workers bring writes to subscribers sooner?',
  setting:
    'The load of `fanout` on a node with `--workers` 0 (the default: one process does everything), 1 and 2. On a machine of two cores the swarm of subscribers takes one of them: a second worker has little left to win there.',
  async run(context) {
    const rig = await Rig.start()
    const cells: FanoutCell[] = []
    try {
      for (const workers of WORKERS) {
        const target = node(`--workers ${workers}`, ['--workers', String(workers)])
        for (const subscribers of wanted(SUBSCRIBERS, context)) {
          cells.push(...(await runRates(rig, target, SHAPES[0], subscribers, RATES, context)))
        }
      }
    } finally {
      await rig.end()
    }
    return { tables: [fanoutTable(cells)], charts: fanoutCharts(cells), notes: fanoutNotes(cells) }
  },
}
