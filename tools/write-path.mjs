/**
 * How much code one write passes: the functions of the product, and their files, that run in the node between
 * the request and the last that it causes. What runs in an idle node too is left out.
 *
 *   npm run write-path             both cases
 *   npm run write-path -- --list   with the functions, by file
 *
 * A plain node keeps its state in memory and has nobody connected. The leader keeps it in LevelDB, and has a
 * subscriber and a follower, both in another process.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { tmpdir } from 'node:os'
import { join, relative, sep } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const DIST = join(import.meta.dirname, '../dist')
/** Covers flushes, acknowledgements and fan-out; heartbeats come less often, or in the idle time as well. */
const WATCHED_MS = 1500
const WRITES_BEFORE = 20

const { values } = parseArgs({ options: { list: { type: 'boolean' }, peer: { type: 'string' } } })
if (values.peer === undefined) await measureAll()
else await runAsPeer(values.peer)

async function measureAll() {
  const { createServer } = await import(join(DIST, 'src/index.js'))
  const { MemoryStorage } = await import(join(DIST, 'storage-adapters/memory/memory.js'))
  const { LevelStorage } = await import(join(DIST, 'storage-adapters/leveldb/leveldb.js'))
  const { cluster } = await import(join(DIST, 'cluster/index.js'))
  const folder = mkdtempSync(join(tmpdir(), 'ooo-write-path-'))
  const inspector = new Session()
  inspector.connect()
  await inspector.post('Profiler.enable')
  await inspector.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })
  try {
    const plain = createServer({ storage: new MemoryStorage(), port: 0 })
    await measure(inspector, 'plain node', plain, false)
    const storage = new LevelStorage({ directory: join(folder, 'data') })
    const plugins = [cluster({ keys: [{ path: 'items/*' }] })]
    const leader = createServer({ storage, port: 0, plugins })
    await measure(inspector, 'leader with LevelDB, a subscriber and a follower', leader, true)
  } finally {
    inspector.disconnect()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function measure(inspector, name, server, hasPeer) {
  await server.open()
  const url = server.address?.url ?? ''
  const peer = hasPeer ? await startPeer(url) : undefined
  for (let i = 0; i < WRITES_BEFORE; i++) await post(url)
  await delay(WATCHED_MS)
  await functionsThatRan(inspector)
  await delay(WATCHED_MS)
  const idle = new Set(await functionsThatRan(inspector))
  await post(url)
  await delay(WATCHED_MS)
  const ran = (await functionsThatRan(inspector)).filter((each) => !idle.has(each))
  peer?.kill('SIGTERM')
  if (peer !== undefined) await once(peer, 'exit')
  await server.close()
  report(name, ran)
}

async function post(url) {
  const response = await fetch(`${url}/items/a`, { method: 'POST', body: '{"n":1}' })
  if (response.status !== 200) throw new Error(`POST: ${response.status} ${await response.text()}`)
}

/** Subscribes and follows until it is ended; says `live` when both stand. */
async function runAsPeer(url) {
  const { createServer } = await import(join(DIST, 'src/index.js'))
  const { createClient } = await import(join(DIST, 'src/client/index.js'))
  const { MemoryStorage } = await import(join(DIST, 'storage-adapters/memory/memory.js'))
  const { cluster } = await import(join(DIST, 'cluster/index.js'))
  const { WebSocket } = await import('ws')
  const replication = cluster({ keys: [{ path: 'items/*' }], clusterUrl: url })
  const plugins = [replication]
  const follower = createServer({ storage: new MemoryStorage(), port: 0, plugins })
  await follower.open()
  const client = createClient({ url, WebSocket })
  let isTold = false
  client.subscribe('items/*', {
    onState: () => {
      isTold = true
    },
  })
  const isLive = () => replication.status()?.links[0]?.state === 'live'
  while (!isTold || !isLive()) await delay(50)
  console.log('live')
  process.once('SIGTERM', () => process.exit(0))
}

/** `<file> <function>@<place>` of each that was called since this was asked last. */
async function functionsThatRan(inspector) {
  const { result } = await inspector.post('Profiler.takePreciseCoverage')
  return result.flatMap(({ url, functions }) => {
    const file = url.startsWith('file:') ? relative(DIST, fileURLToPath(url)) : `..${sep}`
    if (file.startsWith('..')) return []
    return functions
      .filter(({ ranges: [whole] }) => whole.count > 0)
      .map(({ functionName, ranges: [whole] }) => `${file} ${functionName}@${whole.startOffset}`)
  })
}

async function startPeer(url) {
  const args = [fileURLToPath(import.meta.url), '--peer', url]
  const peer = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const [said] = await once(peer.stdout, 'data')
  if (!String(said).startsWith('live')) throw new Error(`the other process said: ${said}`)
  return peer
}

function report(name, ran) {
  const byFile = groupedByFile(ran)
  console.log(`${name}: ${ran.length} functions in ${byFile.size} files`)
  if (values.list !== true) return
  for (const [file, functions] of [...byFile].sort()) {
    const names = functions.map((each) => each.slice(file.length + 1).replace(/@\d+$/, '') || '…')
    console.log(`  ${file}: ${names.join(', ')}`)
  }
}

function groupedByFile(ran) {
  const groups = new Map()
  for (const each of ran) {
    const file = each.slice(0, each.indexOf(' '))
    groups.set(file, [...(groups.get(file) ?? []), each])
  }
  return groups
}
