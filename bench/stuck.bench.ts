import { type Bench, type BenchContext, wanted } from './kit/bench.ts'
import { type FanoutCell, fanoutCharts, fanoutNotes, fanoutTable } from './kit/fanout-table.ts'
import { peerTargets } from './kit/peers.ts'
import { Rig } from './kit/rig.ts'
import { node, type Target } from './kit/target.ts'

const SUBSCRIBERS = [200]
/** Changes of a list carry the whole entry, however little of it changed. */
const LIST = { name: 'list', key: 'items/k', subscribed: 'items/*', keys: 10 } as const
const PADDING = 16_000
const RATE = 50
const SECONDS = 12
/** What the system holds of one connection before the server's writes to it stop being taken. */
const SYSTEM_MIB = 5

/** The others in a room with one that subscribes and never reads. */
export const bench: Bench = {
  question: 'Does one reader that is stuck slow down the others?',
  setting: `The same room with and without one more subscriber that never reads a byte. Entries of ${PADDING / 1000} kB of a list of ${LIST.keys}, ${RATE} a second for ${SECONDS} s: after less than half of that the system's buffers for the stuck connection are full (about ${SYSTEM_MIB} MiB), and the server has to do something about it.`,
  async run(context) {
    const peers = await peerTargets(context)
    const rig = await Rig.start()
    const cells: FanoutCell[] = []
    try {
      for (const target of [node(), ...peers.targets]) {
        for (const subscribers of wanted(SUBSCRIBERS, context)) {
          cells.push(await load(rig, target, subscribers, false, context))
          cells.push(await load(rig, target, subscribers, true, context))
        }
      }
    } finally {
      await rig.end()
      await peers.end()
    }
    return {
      tables: [fanoutTable(cells)],
      charts: fanoutCharts(cells),
      notes: [...fanoutNotes(cells), ...peers.notes],
      versions: peers.versions,
    }
  },
}

async function load(
  rig: Rig,
  target: Target,
  subscribers: number,
  isStuck: boolean,
  context: BenchContext,
): Promise<FanoutCell> {
  const server = await target.start()
  const { port, pid } = server
  const room = { port, key: LIST.subscribed, dialect: target.dialect, subscribers }
  const writes = { port, pid, key: LIST.key, keys: LIST.keys, padding: PADDING }
  const name = `${target.name}, ${isStuck ? 'one stuck' : 'none stuck'}`
  context.say(name)
  try {
    await rig.swarm.join(room)
    if (isStuck) await rig.swarm.joinStuck(room)
    const seconds = context.seconds ?? SECONDS
    const outcome = await rig.run({ ...writes, rate: RATE, seconds, deadlineMs: 30_000 })
    if (outcome.missing === 0) await rig.check()
    return { target: name, shape: LIST.name, subscribers, rate: RATE, outcome }
  } finally {
    await rig.swarm.leave()
    await server.stop()
  }
}
