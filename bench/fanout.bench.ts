import { type Bench, wanted } from './kit/bench.ts'
import type { FanoutCell } from './kit/fanout-table.ts'
import { fanoutCharts, fanoutNotes, fanoutTable, runRates, SHAPES } from './kit/fanout-table.ts'
import { peerTargets, RECORDED_EARLIER } from './kit/peers.ts'
import { Rig } from './kit/rig.ts'
import { node } from './kit/target.ts'

const SUBSCRIBERS = [100, 1000, 5000, 10_000]
/** Writes per second, and seconds that they last. */
const RATES = [
  [5, 6],
  [50, 4],
  [100, 4],
] as const
/** What other servers are asked for: more than they can do only measures how a swarm fills up. */
const PEER_SUBSCRIBERS = [1000]

/** One change, many subscribers of the same key or list. */
export const bench: Bench = {
  question: 'How long until every subscriber has a write?',
  setting:
    'One node with its defaults (LevelDB, durability `process`); values of about 230 bytes, of which a write changes a number and a time; subscribers of one key, or of one list of 1000 entries that are changed in turn. Writes are sent at fixed times, and each time counts from the intended send to the receipt by a subscriber; "last one" is the subscriber that received it last. One more subscriber of every room never reads a byte. Server, swarm of subscribers and generator are three processes on one machine.',
  async run(context) {
    const peers = await peerTargets(context)
    const rig = await Rig.start()
    const cells: FanoutCell[] = []
    try {
      for (const target of [node(), ...peers.targets]) {
        const isPeer = peers.targets.includes(target)
        for (const subscribers of wanted(isPeer ? PEER_SUBSCRIBERS : SUBSCRIBERS, context)) {
          for (const shape of SHAPES) {
            if (shape.name === 'list' && !target.hasLists) continue
            cells.push(...(await runRates(rig, target, shape, subscribers, RATES, context)))
          }
        }
      }
    } finally {
      await rig.end()
      await peers.end()
    }
    return {
      tables: [fanoutTable(cells), ...(context.peers ? [RECORDED_EARLIER] : [])],
      charts: fanoutCharts(cells),
      notes: [...fanoutNotes(cells), ...peers.notes],
      versions: peers.versions,
    }
  },
}
