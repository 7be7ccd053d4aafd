// A process that writes to a LevelDB folder at full speed until it is killed, through the store as
// production builds it. It says "ready", waits for a line `{directory, durability, first}`, says
// "open", and then the number of each acknowledged operation. Eight operations are under way at once.

import { writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { HybridClock } from '../../dist/src/core/data/clock.js'
import { createSystemTime } from '../../dist/src/server/process/system-time.js'
import { ReplicationStore } from '../../dist/src/store/replication-store.js'
import { LevelStorage } from '../../dist/storage-adapters/leveldb/leveldb.js'
import { runOn } from './workload.mjs'

const UNDER_WAY = 8

const lines = createInterface({ input: process.stdin })
lines.once('line', (line) => void write(JSON.parse(line)))
lines.once('close', () => process.exit(0))
writeSync(1, 'ready\n')

async function write({ directory, durability, first }) {
  const store = new ReplicationStore({
    // Small, so that logs end and sorted files are merged within a round.
    adapter: new LevelStorage({ directory, writeBufferBytes: 64 * 1024 }),
    clock: new HybridClock(createSystemTime()),
    newId: () => crypto.randomUUID(),
    durability,
  })
  await store.open()
  writeSync(1, 'open\n')
  const running = []
  for (let n = first; ; n += 1) {
    running.push(runOn(store, n).then(() => writeSync(1, `${n}\n`)))
    if (running.length >= UNDER_WAY) await running.shift()
  }
}
