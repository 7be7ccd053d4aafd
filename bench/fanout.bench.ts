import { type Bench, wanted } from './kit/bench.ts'
import type { FanoutCell, Shape } from './kit/fanout-table.ts'
import {
  fanoutCharts,
  fanoutNotes,
  fanoutTable,
  ratioTable,
  runRates,
  SHAPES,
} from './kit/fanout-table.ts'
import { peerTargets, RECORDED_EARLIER } from './kit/peers.ts'
import { Rig } from './kit/rig.ts'
import { FLOOR, node, type Target } from './kit/target.ts'

const SUBSCRIBERS = [100, 1000, 5000, 10_000]
/** Writes per second, and seconds that they last. */
const RATES = [
  [5, 10],
  [50, 4],
  [100, 4],
] as const
/** What other servers are asked for: more than they can do only measures how a swarm fills up. */
const PEER_SUBSCRIBERS = [1000]
/** What bare Node is asked for: beyond that it falls behind, since it joins nothing. */
const FLOOR_SUBSCRIBERS = [1000, 5000]

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
      const measure = async (target: Target, subscribers: number, shape: Shape): Promise<void> => {
        cells.push(...(await runRates(rig, target, shape, subscribers, RATES, context)))
      }
      for (const subscribers of wanted(SUBSCRIBERS, context)) {
        for (const shape of SHAPES) await measure(node(), subscribers, shape)
        // Right after what is compared with it: these machines have better and worse minutes.
        if (FLOOR_SUBSCRIBERS.includes(subscribers)) await measure(FLOOR, subscribers, SHAPES[0])
      }
      for (const target of peers.targets) {
        for (const subscribers of wanted(PEER_SUBSCRIBERS, context)) {
          for (const shape of SHAPES) {
            if (shape.name === 'key' || target.hasLists) await measure(target, subscribers, shape)
          }
        }
      }
    } finally {
      await rig.end()
      await peers.end()
    }
    return {
      tables: [
        fanoutTable(cells),
        ratioTable(cells, FLOOR.name),
        ...(context.peers ? [RECORDED_EARLIER] : []),
      ],
      charts: fanoutCharts(cells),
      notes: [...fanoutNotes(cells), ...peers.notes],
      versions: peers.versions,
    }
  },
}
