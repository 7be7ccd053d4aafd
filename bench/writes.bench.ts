import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { Agent } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer } from '../src/index.ts'
import type { Durability, StorageAdapter } from '../src/storage-adapter.ts'
import { LevelStorage } from '../storage-adapters/leveldb.ts'
import { MemoryStorage } from '../storage-adapters/memory.ts'
import { PostgresStorage } from '../storage-adapters/postgres.ts'
import { request } from '../test/support/http.ts'
import { findPostgres, startPostgresProgram } from '../test/support/postgres-program.ts'
import { type Bench, type Measurement, measure } from './harness.ts'

const VALUE = JSON.stringify({ text: 'x'.repeat(230), n: 1 })
const WRITERS = [1, 32]
const SAMPLES = 3_000
const WARM_UP = 500

interface Engine {
  readonly adapter: 'memory' | 'leveldb' | 'postgres'
  readonly levels: readonly Durability[]
}

const ENGINES: readonly Engine[] = [
  { adapter: 'memory', levels: ['memory'] },
  { adapter: 'leveldb', levels: ['memory', 'process', 'disk'] },
  { adapter: 'postgres', levels: ['memory', 'process', 'disk'] },
]

/** Takes one write of the number. */
type Write = (number: number) => Promise<void>

/** One node alone, written to in its process and over HTTP. */
export const bench: Bench = {
  question: 'How long does one node take to acknowledge a write?',
  setting: `One node without followers; 250 bytes to a new key each time, with 1 and with ${WRITERS[1]} writers that each wait for their answer. "Store" is in the measuring process, "REST" a POST to a node in a process of its own over kept connections; node, writers and PostgreSQL share the machine. PostgreSQL is the server of \`OOO_TEST_POSTGRES_URL\`, else the program found here with its data on the same disk and fsync on; without either it is left out.`,
  async run() {
    const lines: Measurement[] = []
    const postgres = await findServer()
    try {
      for (const { adapter, levels } of ENGINES) {
        if (adapter === 'postgres' && postgres === undefined) continue
        for (const level of levels) {
          lines.push(...(await onStorage(adapter, level, postgres?.url)))
        }
      }
    } finally {
      await postgres?.end()
    }
    return lines
  },
}

async function onStorage(
  adapter: Engine['adapter'],
  level: Durability,
  url: string | undefined,
): Promise<Measurement[]> {
  const lines: Measurement[] = []
  for (const [way, open] of [
    ['Store', inProcess],
    ['REST', overHttp],
  ] as const) {
    const folder = await mkdtemp(join(tmpdir(), 'ooo-bench-'))
    const { write, close } = await open(adapter, url ?? folder, level)
    try {
      for (const concurrency of WRITERS) {
        const what = `${adapter}, durability ${level}, ${way}, ${concurrency} at once`
        const first = concurrency * 1_000_000
        const run: Write = (number) => write(first + number)
        lines.push(await measure({ what, warmUp: WARM_UP, samples: SAMPLES, concurrency, run }))
      }
    } finally {
      await close()
      await rm(folder, { recursive: true, force: true })
    }
  }
  return lines
}

interface Opened {
  readonly write: Write
  readonly close: () => Promise<void>
}

async function inProcess(
  adapter: Engine['adapter'],
  place: string,
  durability: Durability,
): Promise<Opened> {
  const server = createServer({ storage: storageOf(adapter, place), port: 0, durability })
  await server.open()
  return {
    write: async (number) => {
      await server.store.set(`items/k${number}`, VALUE)
    },
    close: () => server.close(),
  }
}

async function overHttp(
  adapter: Engine['adapter'],
  place: string,
  durability: Durability,
): Promise<Opened> {
  const child = fork(join(import.meta.dirname, 'writing-node.mjs'), [adapter, place, durability])
  const ended = once(child, 'exit')
  const opened = await Promise.race([once(child, 'message'), ended])
  const { url } = opened[0] as { url?: string }
  if (url === undefined) throw new Error('the node did not start')
  const agent = new Agent({ keepAlive: true })
  return {
    write: async (number) => {
      const answer = await request('POST', `${url}/items/k${number}`, { agent, body: VALUE })
      if (answer.status !== 200) throw new Error(`${answer.status}: ${answer.body}`)
    },
    async close() {
      agent.destroy()
      child.disconnect()
      await ended
    },
  }
}

function storageOf(adapter: Engine['adapter'], place: string): StorageAdapter {
  if (adapter === 'memory') return new MemoryStorage()
  if (adapter === 'leveldb') return new LevelStorage({ directory: place })
  return new PostgresStorage({ url: place, namespace: `bench-${process.pid}-${Date.now()}` })
}

/** The PostgreSQL server to measure; undefined when there is none. */
async function findServer(): Promise<{ url: string; end: () => Promise<void> } | undefined> {
  const url = process.env.OOO_TEST_POSTGRES_URL
  if (url !== undefined) return { url, end: () => Promise.resolve() }
  const program = findPostgres()
  if (program === undefined) return undefined
  return startPostgresProgram(program, { settings: { fsync: 'on' } })
}
