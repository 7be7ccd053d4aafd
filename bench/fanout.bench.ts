import { type Bench, wanted } from './kit/bench.ts'
import type { FanoutCell, Shape } from './kit/fanout-table.ts'
import { fanoutCharts, fanoutNotes, fanoutTable, runRates, SHAPES } from './kit/fanout-table.ts'
import { inTurns, type Turns, type TurnsCell, turnsTable } from './kit/in-turns.ts'
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
/** What is measured in turns with bare Node. Where it falls behind for good, more says nothing. */
const COLD: Turns = { rate: 5, seconds: 2, turns: 5 }
const WARM: Turns = { rate: 50, seconds: 2, turns: 3 }
const LIMIT: Turns = { rate: 100, seconds: 2, turns: 3 }

function turnsOf(subscribers: number, shape: Shape): readonly Turns[] {
  if (subscribers === 1000 && shape.name === 'key') return [COLD, WARM, LIMIT]
  return subscribers === 1000 || subscribers === 5000 ? [COLD] : []
}

/** One change, many subscribers of the same key or list. */
export const bench: Bench = {
  question: 'How long until every subscriber has a write?',
  setting:
    'One node with its defaults (LevelDB, durability `process`); values of about 230 bytes, of which a write changes a number and a time; subscribers of one key, or of one list of 1000 entries that are changed in turn. Writes are sent at fixed times, and each time counts from the intended send to the receipt by a subscriber; "last one" is the subscriber that received it last. One more subscriber of every room never reads a byte. Server, swarm of subscribers and generator are three processes on one machine.',
  async run(context) {
    const peers = await peerTargets(context)
    const rig = await Rig.start()
    const cells: FanoutCell[] = []
    const turns: TurnsCell[] = []
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
        for (const shape of SHAPES) {
          await measure(node(), subscribers, shape)
          const loads = turnsOf(subscribers, shape)
          const others = PEER_SUBSCRIBERS.includes(subscribers)
            ? peers.targets.filter((target) => offers(target, shape))
            : []
          turns.push(
            ...(await inTurns([node(), FLOOR, ...others], shape, subscribers, loads, context)),
          )
        }
      }
      for (const target of peers.targets) {
        for (const subscribers of wanted(PEER_SUBSCRIBERS, context)) {
          for (const shape of SHAPES) {
            if (offers(target, shape)) await measure(target, subscribers, shape)
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
        turnsTable(turns, FLOOR.name),
        ...(context.peers ? [RECORDED_EARLIER] : []),
      ],
      charts: fanoutCharts(cells),
      notes: [...fanoutNotes([...cells, ...turns]), ...peers.notes],
      versions: peers.versions,
    }
  },
}

function offers({ hasLists }: Target, { name }: Shape): boolean {
  return name === 'key' || hasLists
}
