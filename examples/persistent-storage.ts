/** How do I keep the state on disk? */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer, type Server } from 'ooo-cluster'
import { LevelStorage } from 'ooo-cluster/storage/level'

const directory = await mkdtemp(join(tmpdir(), 'ooo-example-'))

const first = await start()
await first.set('counter', { value: 41 })
await first.close()

// Another process, another day: the same folder gives the same state.
const second = await start()
await second.patch('counter', { value: 42 })
const counter = await second.get('counter')
console.log('counter:', counter?.data, 'was written again:', (counter?.updated ?? 0n) > 0n)
await second.close()

await rm(directory, { recursive: true })

async function start(): Promise<Server> {
  const server = createServer({ storage: new LevelStorage({ directory }), port: 0 })
  await server.open()
  return server
}
