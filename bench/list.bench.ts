import { once } from 'node:events'
import { WebSocket } from 'ws'
import { createServer, type Server } from '../src/index.ts'
import { MemoryStorage } from '../storage-adapters/memory/memory.ts'
import { type Bench, wanted } from './kit/bench.ts'
import { type Measurement, measure } from './kit/measure.ts'

const VALUE = JSON.stringify({ text: 'x'.repeat(180), n: 1 })
const LENGTHS = [100, 10_000, 100_000]
/** Beside the list in question there is another one of this length, which no read may look at. */
const OTHER = 100_000
const COLUMNS = ['what', 'samples', 'p50 µs', 'p99 µs', 'max µs', 'per second']

/** One list of each length, written to and read in process. */
export const bench: Bench = {
  question: 'What do a write and a read of the newest ten cost as a list grows?',
  setting: `One node in the measuring process, memory storage, entries of 200 bytes, one WebSocket subscriber of the list, another list of ${OTHER} entries beside it. Compare the lines with each other: the cost should hardly grow.`,
  async run(context) {
    const lines: Measurement[] = []
    for (const length of wanted(LENGTHS, context)) {
      context.say(`${length} entries`)
      lines.push(...(await measureLength(length)))
    }
    const rows = lines.map(({ what, samples, p50, p99, max, perSecond }) => [
      what,
      samples,
      ...[p50, p99, max].map((microseconds) => microseconds.toFixed(1)),
      Math.round(perSecond),
    ])
    return { tables: [{ columns: COLUMNS, rows }] }
  },
}

async function measureLength(length: number): Promise<Measurement[]> {
  const server = createServer({ storage: new MemoryStorage(), port: 0 })
  await server.open()
  await fill(server, 'items', length)
  await fill(server, 'others', OTHER)
  const { port } = server.address ?? { port: 0 }
  const subscriber = new WebSocket(`ws://127.0.0.1:${port}/items/*`)
  try {
    await once(subscriber, 'message')
    const changed = await measure({
      what: `${length} entries: an entry changed`,
      warmUp: 500,
      samples: 3_000,
      run: async (number) => {
        await server.store.set(`items/k${(number * 7919) % length}`, VALUE)
      },
    })
    const read = await measure({
      what: `${length} entries: newest ten read`,
      warmUp: 500,
      samples: 3_000,
      run: async () => {
        await server.store.list('items/*', { limit: 10 })
      },
    })
    return [changed, read]
  } finally {
    subscriber.close()
    await server.close()
  }
}

async function fill(server: Server, list: string, length: number): Promise<void> {
  for (let from = 0; from < length; from += 1000) {
    const size = Math.min(1000, length - from)
    await server.store.batch(
      Array.from({ length: size }, (_, i) => ({
        op: 'set' as const,
        key: `${list}/k${from + i}`,
        json: VALUE,
      })),
    )
  }
}
