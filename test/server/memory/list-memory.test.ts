/** Long lists on a node whose heap is that of a small machine: a real process, 256 MiB. */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import * as http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createGunzip } from 'node:zlib'
import { afterEach, beforeAll, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { prepareBuild } from '../../support/built.ts'
import { type SizedNode, startSizedNode } from '../../support/sized-node.ts'

const HEAP_MIB = 256
const COUNT = 200
const VALUE_BYTES = 500_000
const TOTAL = COUNT * VALUE_BYTES

let directory: string
let node: SizedNode | undefined

beforeAll(prepareBuild)
afterEach(async () => {
  await node?.close()
  node = undefined
  await rm(directory, { recursive: true, force: true })
})

async function start(cache: number | 'all'): Promise<string> {
  directory = await mkdtemp(join(tmpdir(), 'ooo-list-memory-'))
  const size = { fill: COUNT, valueBytes: VALUE_BYTES }
  node = await startSizedNode({ directory, cache, heapMiB: HEAP_MIB, ...size })
  return node.url
}

interface Read {
  readonly status: number
  readonly bytes: number
  readonly entries: number
  readonly retryAfter: string | undefined
}

/** Reads a list to its end and keeps nothing of it but what it counts. */
async function read(url: string, headers: Record<string, string> = {}): Promise<Read> {
  const request = http.get(url, { headers, agent: false })
  const [answer] = (await once(request, 'response')) as [http.IncomingMessage]
  const isPacked = answer.headers['content-encoding'] === 'gzip'
  const body = isPacked ? answer.pipe(createGunzip()) : answer
  let bytes = 0
  let entries = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length
    // Each entry has two closing braces, one of them its value's; nothing else holds any.
    for (let i = chunk.indexOf('}'); i !== -1; i = chunk.indexOf('}', i + 1)) entries++
  }
  const retryAfter = answer.headers['retry-after']
  return { status: answer.statusCode ?? 0, bytes, entries: entries / 2, retryAfter }
}

const WHOLE = { status: 200, entries: COUNT }

function expectWholeOrRefused(reads: readonly Read[]): void {
  for (const found of reads) {
    if (found.status === 503) expect(found.retryAfter).toMatch(/^\d+$/)
    else expect(found).toMatchObject(WHOLE)
    if (found.status === 200) expect(found.bytes).toBeGreaterThan(TOTAL)
  }
  expect(reads.some(({ status }) => status === 200)).toBe(true)
}

it('a list of 100 MB is read by many at once, packed and not', async () => {
  const url = await start('all')
  const asked = Array.from({ length: 5 }, (_, i) =>
    read(`${url}/items/*`, i === 3 ? { 'Accept-Encoding': 'gzip' } : {}),
  )
  const globs = ['items/k*', '*/*'].map((glob) => read(`${url}/${glob}`))
  expectWholeOrRefused(await Promise.all(asked))
  for (const found of await Promise.all(globs)) expect([200, 503]).toContain(found.status)
  expect(await read(`${url}/items/*?limit=3`)).toMatchObject({ status: 200, entries: 3 })
}, 120_000)

it('readers that take nothing of it, while all of it is replaced, do not end the node', async () => {
  const url = await start('all')
  const stalled = Array.from({ length: 8 }, () => {
    const request = http.get(`${url}/items/*`, { agent: false })
    request.on('error', () => undefined)
    request.on('response', (answer) => answer.on('error', () => undefined).pause())
    return request
  })
  await Promise.all(stalled.map((request) => once(request, 'response')))
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < COUNT; i++) {
      const key = `items/k${String(i).padStart(7, '0')}`
      const body = JSON.stringify({ n: i, text: String(round).repeat(VALUE_BYTES) })
      const answer = await fetch(`${url}/${key}`, { method: 'POST', body })
      await answer.arrayBuffer()
      expect(answer.status).toBe(200)
    }
  }
  for (const request of stalled) request.destroy()
  expect(await read(`${url}/items/*`)).toMatchObject(WHOLE)
}, 120_000)

it('with a bounded cache, a list beyond the room is refused with the limit, and a part is read', async () => {
  const url = await start(16 * 1024 * 1024)
  const reads = await Promise.all(Array.from({ length: 6 }, () => read(`${url}/items/*`)))
  for (const { status } of reads) expect([413, 503]).toContain(status)
  const refusal = await fetch(`${url}/items/*`)
  expect(refusal.status).toBe(413)
  expect(await refusal.text()).toMatch(/^ooo: the list has more than \d+ bytes, .*limit/)
  expect(await read(`${url}/items/*?limit=20`)).toMatchObject({ status: 200, entries: 20 })
}, 120_000)

it('subscriptions to it do not end the node', async () => {
  const url = await start('all')
  const sockets = ['items/*', 'items/k*', '*/*', '*/k*', 'i*/k*'].map((glob) => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/${glob}`)
    socket.on('error', () => undefined)
    return socket
  })
  // Each gets its state, or is told to come back.
  await Promise.all(
    sockets.map((socket) =>
      Promise.race(['message', 'close', 'unexpected-response'].map((name) => once(socket, name))),
    ),
  )
  for (const socket of sockets) socket.terminate()
  expect(await read(`${url}/items/*?limit=3`)).toMatchObject({ status: 200, entries: 3 })
}, 120_000)
