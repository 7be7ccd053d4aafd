import { type Bench, wanted } from './kit/bench.ts'
import type { FanoutCell } from './kit/fanout-table.ts'
import { fanoutCharts, fanoutNotes, fanoutTable, runRates, SHAPES } from './kit/fanout-table.ts'
import { Rig } from './kit/rig.ts'
import { FLOOR } from './kit/target.ts'

const SUBSCRIBERS = [100, 1000, 5000, 10_000]
const RATES = [
  [5, 4],
  [50, 3],
  [100, 3],
] as const

/** The same load on a program that does nothing but write. */
export const bench: Bench = {
  question: 'How fast could a fan-out in Node be at all?',
  setting:
    'The load of `fanout` on a bare Node program that frames each change once and writes the same bytes to every socket: no storage, no patches, no bounds, no checks. What it takes is the price of the sockets, of the swarm and of the machine; the difference to `fanout` is the price of the server.',
  async run(context) {
    const rig = await Rig.start()
    const cells: FanoutCell[] = []
    try {
      for (const subscribers of wanted(SUBSCRIBERS, context)) {
        cells.push(...(await runRates(rig, FLOOR, SHAPES[0], subscribers, RATES, context)))
      }
    } finally {
      await rig.end()
    }
    return { tables: [fanoutTable(cells)], charts: fanoutCharts(cells), notes: fanoutNotes(cells) }
  },
}
