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
type Rates = readonly (readonly [perSecond: number, seconds: number])[]
/** Writes per second, and seconds that they last. */
const RATES: Rates = [
  [5, 10],
  [50, 4],
  [100, 4],
]
/** What other servers are asked for: more than they can do only measures how a swarm fills up. */
const PEER_SUBSCRIBERS = [1000]
/** What is measured once more, in turns with bare Node: these machines have better and worse minutes. */
const SLOW = RATES.slice(0, 1)
/** What bare Node is asked for, by subscribers: beyond that it falls behind, since it joins nothing. */
const FLOOR_RATES = new Map<number, Rates>([
  [1000, RATES],
  [5000, SLOW],
])

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
      const measure = async (
        target: Target,
        subscribers: number,
        shape: Shape,
        rates: Rates = RATES,
      ): Promise<void> => {
        cells.push(...(await runRates(rig, target, shape, subscribers, rates, context)))
      }
      for (const subscribers of wanted(SUBSCRIBERS, context)) {
        for (const shape of SHAPES) await measure(node(), subscribers, shape)
        const floorRates = FLOOR_RATES.get(subscribers)
        if (floorRates === undefined) continue
        const [key] = SHAPES
        await measure(FLOOR, subscribers, key, floorRates)
        await measure(node(), subscribers, key, SLOW)
        await measure(FLOOR, subscribers, key, SLOW)
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
