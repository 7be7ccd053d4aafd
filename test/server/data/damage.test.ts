/** Damaged records as users meet them: refused by name, left out of lists with a count, healed by a write. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createClient } from '../../../src/client/index.ts'
import type { StorageAdapter } from '../../../src/core/ports/storage-adapter.ts'
import type { ServerOptions } from '../../../src/server/server.ts'
import { LevelStorage } from '../../../storage-adapters/leveldb/leveldb.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { waitFor } from '../../support/wait.ts'
import { afterTest, serve, type TestServer } from '../serve.ts'

async function levelStorage(): Promise<StorageAdapter> {
  const directory = await mkdtemp(join(tmpdir(), 'ooo-damage-'))
  afterTest(() => rm(directory, { recursive: true, force: true }))
  return new LevelStorage({ directory })
}

const NODES: [name: string, make: () => StorageAdapter | Promise<StorageAdapter>, cache: object][] =
  [
    ['memory', () => new MemoryStorage(), {}],
    ['LevelDB', levelStorage, {}],
    ['LevelDB with a bounded cache', levelStorage, { cacheBytes: 0 }],
  ]

/** A node that finds, when it opens, the last bit of the row of `l/b` flipped. */
async function serveDamaged(
  storage: StorageAdapter,
  options: Partial<ServerOptions>,
): Promise<TestServer> {
  const before = await serve({ storage, ...options })
  for (const key of ['l/a', 'l/b', 'l/c']) await before.post(`/${key}`, '{"n":1}')
  await before.server.close()
  await storage.open()
  const value = (await storage.get('e/l/b')) ?? ''
  await storage.batch([{ type: 'put', key: 'e/l/b', value: `${value.slice(0, -1)}|` }])
  await storage.close()
  const node = await serve({ storage, ...options })
  // With a bounded cache the records are checked after opening.
  await waitFor(() => node.server.store.damaged().length === 1)
  return node
}

describe.each(NODES)('a damaged record, %s', (_name, make, cache) => {
  it('is refused with its key, counted by lists, shown to tools, and healed by a write', async () => {
    const node = await serveDamaged(await make(), cache)
    expect(await node.get('/l/b')).toMatchObject({
      status: 500,
      body: 'storage: the record of key "l/b" is damaged; write it again, or let a peer repair it',
    })
    const list = await node.get('/l/*')
    expect(list.status).toBe(200)
    expect(list.headers['ooo-damaged']).toBe('1')
    expect(JSON.parse(list.body).map(({ path }: { path: string }) => path)).toEqual(['l/c', 'l/a'])
    expect((await node.get('/other/*')).headers['ooo-damaged']).toBeUndefined()

    const ready = await node.get('/-/readyz')
    expect(ready.status).toBe(200)
    expect(JSON.parse(ready.body)).toMatchObject({
      status: 'ready',
      reasons: expect.arrayContaining(['1 record can not be read: see /?api=storage']),
    })
    const seen = JSON.parse((await node.get('/?api=storage')).body)
    expect(seen).toMatchObject({ damaged: 1, damagedKeys: ['l/b'] })

    expect((await node.post('/l/b', '{"n":2}')).status).toBe(200)
    expect(JSON.parse((await node.get('/l/b')).body).data).toEqual({ n: 2 })
    const healed = await node.get('/l/*')
    expect(healed.headers['ooo-damaged']).toBeUndefined()
    expect(JSON.parse(healed.body)).toHaveLength(3)
    expect(JSON.parse((await node.get('/?api=storage')).body).damaged).toBe(0)
  })

  it('is not shown to a subscriber of its key as if it were not there', async () => {
    const node = await serveDamaged(await make(), cache)
    const socket = node.subscribe('/l/b', { expectFrame: false })
    await expect(socket).rejects.toThrow('500')
    const list = await node.subscribe('/l/*')
    expect(JSON.parse(list.state ?? '')).toHaveLength(2)
    await node.post('/l/b', '{"n":2}')
    await waitFor(() => JSON.parse(list.state ?? '').length === 3)
    expect((await node.subscribe('/l/b')).state).toContain('"n":2')
  })

  it('is told by the client from a failure that may pass', async () => {
    const node = await serveDamaged(await make(), cache)
    const client = createClient({ url: node.url })
    afterTest(() => client.close())
    await expect(client.get('l/b')).rejects.toMatchObject({ code: 'corrupt_record' })
  })
})

it('a node that is well says so', async () => {
  const node = await serve()
  expect(await node.get('/-/readyz')).toMatchObject({
    status: 200,
    body: '{"status":"ready","reasons":[]}\n',
  })
  expect((await node.get('/-/healthz')).body).toBe('ok')
  expect((await node.request('POST', '/-/readyz', '1')).status).toBe(405)
  expect((await node.get('/?api=storage')).body).toBe(
    '{"persistent":false,"durability":["memory"],"cacheBytes":null,"maxValueBytes":10485760,"waitingRows":0,"waitingWrites":0,"waitingBytes":0,"refusedWrites":0,"silentMs":0,"damaged":0,"damagedKeys":[],"findings":[],"refused":0,"refusedReasons":[]}\n',
  )
})

it('refuses a cache size that is none', async () => {
  await expect(serve({ cacheBytes: -1 })).rejects.toThrow('option cacheBytes must be an integer')
  await expect(serve({ cacheBytes: 1.5 })).rejects.toThrow('option cacheBytes must be an integer')
})
