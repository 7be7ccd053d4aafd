// A node of the built package, to be written to. Tells its parent its address over the IPC channel
// and ends when its parent goes. Arguments: adapter; folder or URL of its storage; durability.

import { createServer } from '../dist/src/index.js'
import { LevelStorage } from '../dist/storage-adapters/leveldb.js'
import { MemoryStorage } from '../dist/storage-adapters/memory.js'
import { PostgresStorage } from '../dist/storage-adapters/postgres.js'

const [adapter, place, durability] = process.argv.slice(2)
const makers = {
  memory: () => new MemoryStorage(),
  leveldb: () => new LevelStorage({ directory: place }),
  postgres: () => new PostgresStorage({ url: place, namespace: `bench-${process.pid}` }),
}
const server = createServer({ storage: makers[adapter](), port: 0, durability })
await server.open()
process.on('disconnect', () => server.close())
process.send({ url: server.address.url })
