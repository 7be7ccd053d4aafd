/** What clients write below `nodes/*` makes no node act: not call, not believe, not show a secret. */
import { once } from 'node:events'
import * as http from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { cluster } from '../../../cluster/index.ts'
import { createServer, type Server } from '../../../src/server/server.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { request } from '../../support/http.ts'

/** Speaks 2.0 to whoever asks, and has lists to be merged. */
async function startEvil(): Promise<{ port: number; asked: string[] }> {
  const asked: string[] = []
  const server = http.createServer((incoming, outgoing) => {
    asked.push(incoming.url ?? '')
    const path = incoming.url ?? ''
    const stamp = `${BigInt(Date.now()) * 1_000_000n}`
    if (path.startsWith('/_pivot/version')) outgoing.end('{"protocol":"2.0"}')
    else if (path.startsWith('/_pivot/activity')) outgoing.end(`{"lastEntry":${stamp}}`)
    else if (path.startsWith('/_pivot/pivot/items'))
      outgoing.end(
        `[{"created":${stamp},"updated":0,"index":"evil","path":"items/evil","data":"owned"}]`,
      )
    else outgoing.end('[]')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  return { port: typeof address === 'object' && address !== null ? address.port : 0, asked }
}

async function startLeader(more: { nodesWritable?: boolean } = {}): Promise<Server> {
  const plugin = cluster({ keys: [{ path: 'items/*' }], token: 'secret', ...more })
  const server = createServer({
    storage: new MemoryStorage(),
    static: true,
    open: ['items/*', 'nodes/*'],
    port: 0,
    plugins: [plugin],
  })
  await server.open()
  onTestFinished(() => server.close())
  return server
}

/** The probes of a node that was found are over after this. */
async function untilProbed(server: Server): Promise<void> {
  for (let i = 0; i < 20; i++) {
    await request('GET', `${server.address?.url}/?api=pivot`)
    await server.store.set('items/round', String(i))
  }
}

test.each([
  { nodesWritable: true, status: 200 },
  { nodesWritable: false, status: 403 },
])('a record of a client is never called, writable: $nodesWritable', async (given) => {
  const { port, asked } = await startEvil()
  const server = await startLeader({ nodesWritable: given.nodesWritable })
  const url = server.address?.url ?? ''
  const body = JSON.stringify({ ip: '127.0.0.1', port })
  const answer = await request('POST', `${url}/nodes/evil`, { body })
  expect(answer.status).toBe(given.status)
  if (given.status === 403) expect(answer.body).toContain('--nodes-writable')
  // In process it gets there, whatever clients may do.
  await server.store.set('nodes/inside', body)
  const inner = JSON.stringify({ ip: `127.0.0.1:${port}/latest/meta-data/?x=`, port: 80 })
  await server.store.set('nodes/path', inner)
  await untilProbed(server)
  expect(asked).toEqual([])
  expect(await server.store.get('items/evil')).toBeUndefined()
  const info = JSON.parse((await request('GET', `${url}/?api=pivot`)).body)
  expect(info.nodes).toEqual([])
})

test('every way to write is refused to clients, also by patterns that only cover it', async () => {
  const server = await startLeader()
  const url = server.address?.url ?? ''
  await server.store.set('nodes/x', '{"ip":"10.0.0.1","port":1}')
  const batchOf = (op: string, path: string, data?: unknown): string =>
    JSON.stringify({ operations: [{ op, path, data }] })
  const record = { ip: '10.0.0.2' }
  const refused: [method: string, path: string, body?: string][] = [
    ['POST', '/nodes/y', '1'],
    ['POST', '/nodes/*', '1'],
    ['PATCH', '/nodes/x', '{"ip":"10.0.0.2"}'],
    ['DELETE', '/nodes/x'],
    ['DELETE', '/nodes/*'],
    ['PATCH', '/nodes/absent', JSON.stringify(record)],
    ['DELETE', '/nodes/absent'],
    ['POST', '/-/batch', batchOf('set', 'nodes/y', 1)],
    ['POST', '/-/batch', batchOf('push', 'nodes/*', 1)],
    ['POST', '/-/batch', batchOf('patch', 'nodes/x', record)],
    ['POST', '/-/batch', batchOf('patch', 'nodes/absent', record)],
    ['POST', '/-/batch', batchOf('delete', 'nodes/absent')],
    ['POST', '/-/batch', batchOf('delete', 'nodes/*')],
  ]
  for (const [method, path, body] of refused) {
    const answer = await request(method, url + path, body === undefined ? {} : { body })
    expect([method, path, body, answer.status]).toEqual([method, path, body, 403])
    expect(answer.body).toContain('--nodes-writable')
  }
  expect((await server.store.list('nodes/*')).map(({ data }) => data)).toEqual([
    '{"ip":"10.0.0.1","port":1}',
  ])
  expect((await request('GET', `${url}/nodes/x`)).status).toBe(200)
})

test('the record by which a listed 2.0 node registers is taken, and brings no other call about', async () => {
  const { port, asked } = await startEvil()
  const server = createServer({
    storage: new MemoryStorage(),
    port: 0,
    plugins: [cluster({ keys: [{ path: 'items/*' }], pivot2: ['10.255.255.1:8800'] })],
  })
  await server.open()
  onTestFinished(() => server.close())
  const url = server.address?.url ?? ''
  const post = async (record: unknown): Promise<number> =>
    (await request('POST', `${url}/nodes/old`, { body: JSON.stringify(record) })).status
  expect(await post({ ip: '10.255.255.1', port: 8800 })).toBe(200)
  expect(await post({ IP: '10.255.255.1', Port: '8800' })).toBe(200)
  expect(await post({ ip: '10.255.255.1', port: 8801 })).toBe(403)
  expect(await post({ ip: '127.0.0.1', port })).toBe(403)
  expect(await post('text')).toBe(403)
  expect((await request('DELETE', `${url}/nodes/old`)).status).toBe(403)
  await untilProbed(server)
  expect(asked).toEqual([])
})
