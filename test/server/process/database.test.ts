import { describe, expect, it } from 'vitest'
import type { ServerOptions } from '../../../src/server/server.ts'
import { createServer } from '../../../src/server/server.ts'
import type { Database } from '../../../src/store/database.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { waitFor } from '../../support/wait.ts'
import { afterTest, serve } from '../serve.ts'

describe('the database of a server', () => {
  it('is there while the server is open', async () => {
    const server = createServer({ storage: new MemoryStorage(), port: 0 })
    afterTest(() => server.close())
    expect(() => server.database).toThrow('server is not open')
    await server.open()
    await server.database.set('a', '1')
    expect((await server.get('a'))?.data).toBe(1)
  })

  it('is given to plugins, who may use it once the storage is open', async () => {
    let seen: Database | undefined
    const refusals: unknown[] = []
    const node = await serve({
      plugins: [
        {
          name: 'p',
          setup: (host) => {
            seen = host.database
            try {
              host.database.watch()
            } catch (error) {
              refusals.push(error)
            }
          },
          start: async () => void (await seen?.set('from/plugin', '1')),
        },
      ],
    })
    expect(seen).toBe(node.server.database)
    expect(refusals).toMatchObject([{ code: 'not_open' }])
    expect((await node.get('/from/plugin')).status).toBe(200)
  })

  it('ends its watches and waits when the server closes', async () => {
    const node = await serve()
    const { database } = node.server
    await database.lock('a')
    const refusal = expect(database.set('a', '1', { waitMs: 60_000 })).rejects
    const loop = (async () => {
      for await (const event of database.watch()) expect(event).toBeDefined()
    })()
    const closed = node.server.close()
    await refusal.toMatchObject({ code: 'closing' })
    await loop
    await closed
  })
})

describe('a lock', () => {
  it('makes requests wait for it, and refuses them with 423 after a while', async () => {
    const node = await serve({ lockWaitMs: 50 })
    const { database } = node.server
    await node.post('/a', '{"n":1}')
    const { lock } = await database.getAndLock('a')
    const writes: [string, string, string?][] = [
      ['POST', '/a', '{"n":2}'],
      ['PATCH', '/a', '{"m":2}'],
      ['DELETE', '/a'],
      ['DELETE', '/*'],
      ['POST', '/-/batch', '{"operations":[{"op":"set","path":"a","data":1}]}'],
    ]
    for (const [method, path, body] of writes) {
      const { status, body: text } = await node.request(method, path, body)
      expect([method, path, status]).toEqual([method, path, 423])
      expect(text).toContain('key "a" is locked, and was not free within 50 ms')
    }
    expect((await node.get('/a')).body).toContain('"data":{"n":1}')
    expect((await node.post('/b', '1')).status).toBe(200)
    await node.server.set('a', { n: 3 }, { lock: lock.token })
    await node.server.patch('a', { m: 3 }, { lock: lock.token })
    database.unlock('a', lock.token)
    expect((await node.get('/a')).body).toContain('"data":{"m":3,"n":3}')
    expect((await node.request('DELETE', '/a')).status).toBe(204)
  })

  it('lets a request that waits go on when it ends', async () => {
    const node = await serve()
    const { database } = node.server
    const { token } = await database.lock('a')
    const answer = node.post('/a', '1')
    await waitFor(() => database.metrics().locks.waiting === 1)
    database.unlock('a', token)
    expect((await answer).status).toBe(200)
  })
})

describe('what nobody is to be told of', () => {
  const told = async (options: Partial<ServerOptions> = {}) => {
    const node = await serve(options)
    const events: string[] = []
    const { hooks } = node.server
    hooks.on('afterWriteOp', (key, operation) => void events.push(`op ${operation} ${key}`))
    hooks.on('afterWrite', (key) => void events.push(`after ${key}`))
    hooks.on('storageEvent', ({ key }) => void events.push(`event ${key}`))
    return { node, events }
  }

  it('a silent delete reaches no hook, no watch and no subscriber; later frames still fit', async () => {
    const { node, events } = await told()
    const { database } = node.server
    await node.post('/l/a', '1')
    await node.post('/l/b', '2')
    const client = await node.subscribe('/l/*')
    const watch = database.watch()
    events.length = 0
    await database.deleteSilent('l/a')
    expect((await node.get('/l/a')).status).toBe(404)
    await node.post('/l/c', '3')
    await client.frame(1)
    expect(events).toEqual(['op set l/c', 'after l/c', 'event l/c'])
    expect((await watch.next()).value?.changes.map(({ key }) => key)).toEqual(['l/c'])
    // What it showed stays until its state is read anew.
    expect(client.state).toContain('"l/a"')
    client.socket.terminate()
    await waitFor(() => node.server.socketCount === 0)
    expect((await node.subscribe('/l/*')).state).not.toContain('"l/a"')
  })

  it.each(['before', 'after'])(
    'a silent delete %s the client left leaves it no version to resume from',
    async (moment) => {
      const node = await serve()
      const { database } = node.server
      for (const key of ['a', 'b', 'c']) await node.post(`/l/${key}`, '1')
      const first = await node.subscribe('/l/*')
      if (moment === 'before') await database.deleteSilent('l/a')
      first.socket.terminate()
      await waitFor(() => node.server.socketCount === 0)
      if (moment === 'after') await database.deleteSilent('l/a')
      const again = await node.subscribe(`/l/*?v=${first.version}`)
      expect(again.state).not.toContain('"l/a"')
      await node.post('/l/b', '2')
      await again.frame(1)
      expect(again.state).toBe((await node.subscribe('/l/*')).state)
    },
  )

  it('a key that is not broadcast reaches the hooks of writes, and no watch or subscriber', async () => {
    const { node, events } = await told({ noBroadcastKeys: ['quiet/*'] })
    const watch = node.server.database.watch()
    await node.post('/quiet/a', '1')
    await node.post('/loud', '2')
    expect(events).toEqual([
      ...['op set quiet/a', 'after quiet/a'],
      ...['op set loud', 'after loud', 'event loud'],
    ])
    expect((await watch.next()).value?.changes.map(({ key }) => key)).toEqual(['loud'])
  })

  it('a write with stamps of its own moves the entry for subscribers as well', async () => {
    const node = await serve()
    for (const key of ['a', 'b', 'c']) await node.post(`/l/${key}`, '1')
    const client = await node.subscribe('/l/*')
    await node.server.database.setWithMeta('l/b', '2', { created: 5n, updated: 9n })
    await client.frame(1)
    await node.post('/l/a', '3')
    await client.frame(2)
    expect(client.state).toBe((await node.subscribe('/l/*')).state)
    expect((await node.get('/l/*?order=oldest&limit=1')).body).toBe(
      '[{"created":5,"updated":9,"index":"b","path":"l/b","data":2}]',
    )
  })

  it('a hook that is slow or fails holds up neither the write, nor subscribers, nor other hooks', async () => {
    const node = await serve()
    const client = await node.subscribe('/a')
    const calls: string[] = []
    for (const kind of ['afterWriteOp', 'afterWrite'] as const) {
      node.server.hooks.on(kind, () => new Promise(() => undefined))
      node.server.hooks.on(kind, () => {
        throw new Error('broken')
      })
      node.server.hooks.on(kind, (key) => void calls.push(`${kind} ${key}`))
    }
    expect((await node.post('/a', '1')).status).toBe(200)
    await client.frame(1)
    expect(calls).toEqual(['afterWriteOp a', 'afterWrite a'])
  })

  it('clearing is told to all', async () => {
    const { node, events } = await told()
    await node.post('/l/a', '1')
    await node.post('/b', '2')
    const client = await node.subscribe('/l/*')
    events.length = 0
    await node.server.database.clear()
    await client.frame(1)
    expect(client.state).toBe('[]')
    expect(events.filter((event) => event.startsWith('op ')).sort()).toEqual([
      ...['op del b', 'op del l/a'],
    ])
  })
})

it('a read hook that was set applies to every read; one that is slow holds up its own read only so long', async () => {
  const node = await serve({ beforeReadTimeoutMs: 30 })
  const { database } = node.server
  const reads: string[] = []
  database.setBeforeRead((keyOrGlob) => {
    reads.push(keyOrGlob)
    return keyOrGlob === 'slow' ? new Promise(() => undefined) : undefined
  })
  await node.post('/slow', '1')
  await node.get('/a')
  await node.subscribe('/b/*')
  await node.server.get('c')
  expect((await node.get('/slow')).status).toBe(200)
  await node.subscribe('/slow')
  expect(reads).toEqual(['a', 'b/*', 'c', 'slow', 'slow'])
  expect(database.metrics().lateReadHooks).toBe(2)
})

it.each([
  [{ lockWaitMs: -1 }, 'option lockWaitMs must be an integer from 0 to 2147483647, not -1'],
  [{ lockWaitMs: 2 ** 31 }, 'not 2147483648'],
  [{ beforeReadTimeoutMs: 0.5 }, 'option beforeReadTimeoutMs must be an integer from 0'],
])('an option that can not be is refused: %j', (options, text) => {
  expect(() => createServer({ storage: new MemoryStorage(), ...options })).toThrow(text)
})
