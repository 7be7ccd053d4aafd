/**
 * The node that is fuzzed: of the built package, on a LevelDB folder, with streams for followers and with backups.
 * It tells its parent over the IPC channel where it listens; to the message `memory` it answers what it uses, to
 * `check` what it holds that it should not. It ends when its parent goes.
 *
 *   node.mjs <folder> <bytes of cache>
 */
import { backupRoutes } from '../../dist/backup/routes.js'
import { cluster } from '../../dist/cluster/index.js'
import { createServer } from '../../dist/src/index.js'
import { LevelStorage } from '../../dist/storage-adapters/leveldb/leveldb.js'

const MAX_DEPTH = 512

const [directory, cache] = process.argv.slice(2)
const server = createServer({
  storage: new LevelStorage({ directory }),
  port: 0,
  cacheBytes: Number(cache),
  plugins: [cluster({ keys: [{ path: 'items/*' }, { path: 'list/*' }] }), backupRoutes()],
})
await server.open()

function memory() {
  globalThis.gc?.()
  const { rss, heapUsed } = process.memoryUsage()
  return { rss, heapUsed, peakRss: process.resourceUsage().maxRSS * 1024 }
}

/** What is wrong with a record that is held, in words. */
function wrongIn({ kind, key, origin, data }) {
  if (Buffer.byteLength(key) > 1024 || key.split('/').length > 32) return 'key too long'
  if (!/^[\w-]{1,64}$/.test(origin)) return 'origin'
  if (kind === 'tombstone') return undefined
  try {
    JSON.parse(data)
  } catch {
    return 'no JSON'
  }
  return depthOf(data) > MAX_DEPTH ? 'too deep' : undefined
}

function depthOf(json) {
  let depth = 0
  let deepest = 0
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/g)) {
    if (token === '[' || token === '{') deepest = Math.max(deepest, ++depth)
    else if (token === ']' || token === '}') depth--
  }
  return deepest
}

async function check() {
  const { records } = await server.store.scan()
  const wrong = []
  let count = 0
  for await (const record of records) {
    count++
    const flaw = wrongIn(record)
    if (flaw !== undefined) wrong.push(`${flaw}: ${record.key.slice(0, 100)}`)
  }
  return { count, wrong: wrong.slice(0, 10) }
}

process.on('message', async (question) => {
  process.send(question === 'check' ? await check() : memory())
})
process.on('disconnect', () => server.close())
process.send({ url: server.address.url })
