import { ProcessCluster, type ProcessNode } from '../test/support/process-cluster.ts'
import type { Subscriber } from '../test/support/subscriber.ts'
import { waitFor } from '../test/support/wait.ts'
import { type Bench, type Measurement, measure } from './harness.ts'

/** From a write on one node to a frame at a subscriber of another. */
export const bench: Bench = {
  question: 'How long until a write on one node is seen by a subscriber of another?',
  setting:
    'A leader and two followers, three processes on one machine, durability process; one write under way at a time, each to the same key of `items/*`, timed from the request to the frame at the other node.',
  async run() {
    const cluster = new ProcessCluster()
    try {
      const leader = await cluster.start({ name: 'leader' })
      const a = await cluster.start({ name: 'a', follows: leader })
      const b = await cluster.start({ name: 'b', follows: leader })
      return [
        await latency('leader to follower', leader, a),
        await latency('follower to leader', a, leader),
        await latency('follower to the other follower', a, b),
      ]
    } finally {
      await cluster.cleanup()
    }
  },
}

async function latency(what: string, from: ProcessNode, to: ProcessNode): Promise<Measurement> {
  const subscriber = await to.subscribe('items/*')
  const key = 'items/measured'
  const seen = (): unknown => (subscriber.dataByPath()[key] as { n?: number } | undefined)?.n
  await from.post(key, { n: -1 })
  await waitFor(() => seen() === -1, { what: 'the link to carry writes' })
  const result = await measure({
    what,
    warmUp: 100,
    samples: 1_000,
    run: async (number) => {
      const arrived = nextState(subscriber, () => seen() === number)
      await Promise.all([from.post(key, { n: number }), arrived])
    },
  })
  subscriber.close()
  return result
}

/** Resolves with the frame after which the condition holds; looks at each frame, not at a clock. */
function nextState(subscriber: Subscriber, condition: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const stop = subscriber.onState(() => {
      if (!condition()) return
      stop()
      resolve()
    })
  })
}
