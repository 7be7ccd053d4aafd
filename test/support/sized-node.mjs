// A node of the built package on a LevelDB folder, with a heap that the caller bounds. It tells its
// parent over the IPC channel how long opening took and where it listens, and answers each message
// with the memory it uses. It ends when its parent goes.
// Arguments: folder; bytes of cache or "all"; number of entries to write first, or 0; bytes of their values.

import { readFileSync } from 'node:fs'
import { createServer } from '../../dist/src/index.js'
import { LevelStorage } from '../../dist/storage-adapters/leveldb/leveldb.js'

const [directory, cache, fill, valueBytes] = process.argv.slice(2)
const count = Number(fill)
const server = createServer({
  storage: new LevelStorage({ directory }),
  port: 0,
  ...(cache === 'all' ? {} : { cacheBytes: Number(cache) }),
})

const began = performance.now()
await server.open()
const openMs = performance.now() - began

// Keys are not written in their order, as in life.
const keyOf = (number) => `items/k${String((number * 7919) % count).padStart(7, '0')}`
const textOf = (n) => {
  const start = `{"n":${n},"text":"`
  return `${start}${'x'.repeat(Math.max(0, Number(valueBytes) - start.length - 2))}"}`
}
for (let from = 0; from < count; from += 1000) {
  await server.store.batch(
    Array.from({ length: Math.min(1000, count - from) }, (_, i) => ({
      op: 'set',
      key: keyOf(from + i),
      json: textOf(from + i),
    })),
  )
}

// Without the files that LevelDB maps, whose pages the system may take back. Linux tells it.
const ownBytes = () => {
  if (process.platform !== 'linux') return undefined
  const kib = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
  return kib === undefined ? undefined : Number(kib) * 1024
}

process.on('message', () => {
  globalThis.gc?.()
  const { rss, heapUsed } = process.memoryUsage()
  const peakRss = process.resourceUsage().maxRSS * 1024
  process.send({ kind: 'memory', rss, own: ownBytes() ?? rss, heapUsed, peakRss })
})
process.on('disconnect', () => server.close())
process.send({ kind: 'open', openMs, url: server.address.url })
