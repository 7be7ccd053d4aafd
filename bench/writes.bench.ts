import { Agent } from 'node:http'
import { ProcessCluster } from '../test/support/process-cluster.ts'
import { type Bench, type Measurement, measure } from './harness.ts'

const VALUE = { text: 'x'.repeat(230), n: 1 }

/** One node alone, written to over HTTP. */
export const bench: Bench = {
  question: 'How long does one node take to acknowledge a write?',
  setting:
    'One leader without followers, as a process of its own; POST of 250 bytes to a new key each time, over kept connections. The writer shares the machine with the node.',
  async run() {
    const lines: Measurement[] = []
    for (const durability of ['process', 'disk']) {
      for (const concurrency of [1, 32]) lines.push(await writes(durability, concurrency))
    }
    return lines
  },
}

async function writes(durability: string, concurrency: number): Promise<Measurement> {
  const cluster = new ProcessCluster({ args: ['--durability', durability] })
  const agent = new Agent({ keepAlive: true, maxSockets: concurrency })
  try {
    const node = await cluster.start({ name: 'leader' })
    return await measure({
      what: `durability ${durability}, ${concurrency} at once`,
      warmUp: 1_000,
      samples: 5_000,
      concurrency,
      run: async (number) => {
        await node.post(`items/k${number}`, VALUE, { agent })
      },
    })
  } finally {
    agent.destroy()
    await cluster.cleanup()
  }
}
