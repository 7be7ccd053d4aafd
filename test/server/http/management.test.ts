/** The management API over real sockets: shapes, field order, bytes. */
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { cluster } from '../../../cluster/index.ts'
import { request } from '../../support/http.ts'
import { KeptStorage } from '../../support/kept-storage.ts'
import { waitFor } from '../../support/wait.ts'
import { serve, type TestServer } from '../serve.ts'

/** The body of an API, which must be JSON that ends in a newline. */
async function ask(node: TestServer, query: string): Promise<string> {
  const answer = await node.get(`/?api=${query}`)
  expect(answer.status).toBe(200)
  expect(answer.headers['content-type']).toBe('application/json')
  expect(answer.body.endsWith('\n')).toBe(true)
  return answer.body.trimEnd()
}

const PERSON = { properties: { name: { type: 'string' } } }

const NO_PIVOT =
  '{"role":"none","pivotIP":"","nodes":null,"syncedKeys":null,"pivotHealthy":false,"pivotLastCheck":"","pivotProtocol":"","pivotCompatible":false}'

describe('?api=', () => {
  it('is the page for an unknown or missing name, and takes no other method', async () => {
    const node = await serve()
    for (const path of ['/', '/?api=', '/?api=nothing', '/?api=__proto__', '/?api=toString']) {
      const answer = await node.get(path)
      expect(answer.status).toBe(200)
      expect(answer.headers['content-type']).toBe('text/html; charset=utf-8')
    }
    const answer = await node.post('/?api=info', '{}')
    expect(answer).toMatchObject({ status: 405, body: 'Method Not Allowed\n' })
    expect(await node.request('HEAD', '/?api=info')).toMatchObject({ status: 200, body: '' })
  })

  it('answers in static mode, where nothing else is open', async () => {
    const node = await serve({ static: true })
    await node.server.store.set('hidden', '1')
    expect(await ask(node, 'keys')).toContain('"hidden"')
    expect((await node.get('/hidden')).status).toBe(400)
  })

  it('escapes what HTML would read', async () => {
    const node = await serve({ name: '<b>&\u2028' })
    expect(await ask(node, 'info')).toContain('"name":"\\u003cb\\u003e\\u0026\\u2028"')
  })
})

describe('routes', () => {
  it('are all that the node answers, what was registered among them, in the order of asking', async () => {
    const node = await serve()
    const remove = node.server.endpoint({
      ...{ path: '/e/{id}', methods: { PUT: {} }, description: 'an endpoint' },
      fetch: () => new Response('e'),
    })
    node.server.proxy.route({ localPath: 'p/*', resolve: () => ({ address: 'a:1', path: 'p' }) })
    const routes = JSON.parse(await ask(node, 'routes')) as { path: string }[]
    expect(routes).toContainEqual({
      ...{ path: '/e/{id}', methods: ['PUT'], webSocket: false, who: 'client' },
      description: 'an endpoint',
    })
    const at = (path: string): number => routes.findIndex((route) => route.path === path)
    const order = ['/-/healthz', '/e/{id}', '/p/{path1:.*}', '/', '/{key}'].map(at)
    expect(order).toEqual([...order].sort((a, b) => a - b))
    expect(order[0]).toBeGreaterThanOrEqual(0)
    remove()
    expect(await ask(node, 'routes')).not.toContain('/e/{id}')
  })
})

describe('keys', () => {
  const page = (keys: string[], rest: object): string => JSON.stringify({ keys, ...rest })

  it('come sorted, in pages of 50, cluster keys among them', async () => {
    const node = await serve()
    for (let i = 0; i < 60; i++) {
      await node.server.store.set(`k/${String(i).padStart(2, '0')}`, '1')
    }
    await node.server.store.set('pivot/status', '1')
    const keys = Array.from({ length: 60 }, (_, i) => `k/${String(i).padStart(2, '0')}`)
    const all = [...keys, 'pivot/status']
    const rest = { total: 61, page: 1, limit: 50, filter: '' }
    expect(await ask(node, 'keys')).toBe(page(all.slice(0, 50), rest))
    expect(await ask(node, 'keys&page=2')).toBe(page(all.slice(50), { ...rest, page: 2 }))
    expect(await ask(node, 'keys&page=9')).toBe(page([], { ...rest, page: 9 }))
    const ten = { ...rest, page: 2, limit: 10 }
    expect(await ask(node, 'keys&page=2&limit=10')).toBe(page(all.slice(10, 20), ten))
    for (const odd of ['page=0', 'page=-1', 'page=x', 'limit=0', 'limit=501', 'limit=1.5']) {
      expect(await ask(node, `keys&${odd}`)).toBe(page(all.slice(0, 50), rest))
    }
  })

  it('are filtered by the text they start with, up to a star', async () => {
    const node = await serve()
    for (const key of ['a', 'a/b', 'a/b/c', 'ab', 'b/a']) await node.server.store.set(key, '1')
    const found = async (filter: string): Promise<unknown> =>
      JSON.parse(await ask(node, `keys&filter=${encodeURIComponent(filter)}`))
    expect(await found('a')).toMatchObject({ keys: ['a', 'a/b', 'a/b/c', 'ab'], filter: 'a' })
    expect(await found('a/*')).toMatchObject({ keys: ['a/b', 'a/b/c'], total: 2, filter: 'a/*' })
    expect(await found('a/b')).toMatchObject({ keys: ['a/b', 'a/b/c'] })
    expect(await found('a/b/*/x')).toMatchObject({ keys: ['a/b/c'] })
    expect(await found('*')).toMatchObject({ total: 5 })
    expect(await found('none')).toMatchObject({ keys: [], total: 0 })
  })
})

describe('info', () => {
  it('has the older fields in their order, durations in nanoseconds', async () => {
    const node = await serve({ name: 'n', deadlineMs: 2000, tickMs: 500, static: true })
    expect(await ask(node, 'info')).toBe(
      `{"name":"n","address":"127.0.0.1:${node.port}","deadline":2000000000,` +
        '"readTimeout":60000000000,"writeTimeout":60000000000,"readHeaderTimeout":10000000000,' +
        '"idleTimeout":10000000000,"forcePatch":false,"noPatch":false,"static":true,' +
        '"silence":true,"workers":1,"tick":500000000,"watchPanics":0,"droppedEvents":0}',
    )
  })
})

describe('filters', () => {
  it('are listed by path with what they open, those of cluster sync only as paths', async () => {
    const node = await serve({ open: ['logs/*', 'settings'] })
    node.server.filters.open('pivot/status')
    const { paths, filters } = JSON.parse(await ask(node, 'filters'))
    expect(paths.toSorted()).toEqual(['logs/*', 'pivot/status', 'settings'])
    const open = { type: 'open', canRead: true, canWrite: true, canDelete: true }
    expect(JSON.stringify(filters)).toBe(
      JSON.stringify([
        { path: 'logs/*', ...open, isGlob: true },
        { path: 'settings', ...open, isGlob: false },
      ]),
    )
    node.server.filters.limit('recent/*', {
      limit: 5,
      maxAgeMs: 5_400_000,
      description: 'a few',
      schema: PERSON,
    })
    expect(JSON.stringify(JSON.parse(await ask(node, 'filters')).filters)).toContain(
      '{"path":"recent/*","type":"limit","canRead":true,"canWrite":true,"canDelete":true,' +
        '"isGlob":true,"limit":5,"maxAge":"1h30m0s","order":"desc","descLimit":"a few",' +
        '"schema":{"name":""}}',
    )
    expect(await ask(await serve(), 'filters')).toBe('{"paths":[],"filters":[]}')
  })
})

describe('state', () => {
  it('counts connections by pool, the clock first, and drops what nobody uses', async () => {
    const node = await serve()
    expect(await ask(node, 'state')).toBe('{"pools":[],"totalConnections":0}')
    const first = await node.subscribe('/things/*')
    await node.subscribe('/things/*')
    await node.subscribe('/', { expectFrame: false })
    expect(await ask(node, 'state')).toBe(
      '{"pools":[{"key":"(clock)","connections":1},{"key":"things/*","connections":2}],"totalConnections":3}',
    )
    first.socket.close()
    await waitFor(async () => (await ask(node, 'state')).includes('"totalConnections":2'))
  })
})

describe('endpoints', () => {
  it('are shown with an example of their documents', async () => {
    const node = await serve()
    const fetch = (): Response => new Response()
    node.server.endpoint({
      path: '/users/{id:[0-9]+}/{part}',
      methods: {
        GET: { response: { type: 'array' }, params: { q: 'what to look for' } },
        POST: {
          request: {
            properties: { name: { type: 'string' }, age: { type: 'integer' } },
          },
          response: z.object({ ok: z.boolean() }),
        },
      },
      fetch,
    })
    node.server.endpoint({
      path: '/x',
      methods: { PUT: { request: {} } },
      description: 'does x',
      vars: { a: 'b' },
      fetch,
    })
    const remove = node.server.endpoint({ path: '/gone', methods: { GET: {} }, fetch })
    remove()
    expect(await ask(node, 'endpoints')).toBe(
      '[{"path":"/users/{id:[0-9]+}/{part}","methods":[' +
        '{"method":"GET","response":{"type":"slice"},"params":{"q":"what to look for"}},' +
        '{"method":"POST","request":{"name":"","age":0},"response":{"ok":false}}],' +
        '"description":"","vars":{"id":"id:[0-9]+","part":"part"}},' +
        '{"path":"/x","methods":[{"method":"PUT"}],"description":"does x","vars":{"a":"b"}}]',
    )
  })
})

describe('proxies and orphan keys', () => {
  it('shows proxies in order of registration', async () => {
    const node = await serve()
    expect(await ask(node, 'proxies')).toBe('[]')
    node.server.proxy.route({
      localPath: 'far/*',
      resolve: () => ({ address: '127.0.0.1:1', path: 'x' }),
      capabilities: { read: true, write: false, delete: false },
      description: 'elsewhere',
    })
    expect(await ask(node, 'proxies')).toBe(
      '[{"localPath":"far/*","type":"single","canRead":true,"canWrite":false,"canDelete":false,"description":"elsewhere"}]',
    )
  })

  it('shows stored keys that no read filter covers, sorted, cluster keys left out', async () => {
    const node = await serve({ open: ['logs/*', 'settings'] })
    for (const key of ['z', 'logs/1', 'settings', 'pivot/x', 'pivot', 'pivothings', 'logs/1/2']) {
      await node.server.store.set(key, '1')
    }
    expect(await ask(node, 'orphan-keys')).toBe('["logs/1/2","pivothings","z"]')
  })
})

describe('pivot', () => {
  it('has an empty answer without replication', async () => {
    expect(await ask(await serve(), 'pivot')).toBe(NO_PIVOT)
  })

  it('is told by leader and follower, and follows their health', async () => {
    const leader = await serve({ plugins: [cluster({ keys: [{ path: 'items/*' }] })] })
    const clusterUrl = leader.url.replace('http://', '')
    const storage = new KeptStorage()
    const follower = await serve({
      storage,
      plugins: [cluster({ keys: [{ path: 'items/*' }], clusterUrl })],
    })
    const told = async (node: TestServer) => JSON.parse(await ask(node, 'pivot'))
    const address = `127.0.0.1:${follower.port}`
    await waitFor(async () => (await told(leader)).nodes[0]?.healthy === true)
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$/)
    expect(await told(leader)).toEqual({
      role: 'pivot',
      pivotIP: '',
      nodes: [
        {
          address,
          healthy: true,
          lastCheck: time,
          protocol: '3',
          compatible: true,
          lagRows: expect.any(Number),
          lagMs: expect.any(Number),
        },
      ],
      syncedKeys: ['items/*', 'nodes/*'],
      pivotHealthy: true,
      pivotLastCheck: '',
      pivotProtocol: '',
      pivotCompatible: false,
      cluster: expect.objectContaining({ role: 'leader', links: [] }),
    })
    expect(Object.keys(await told(leader))).toEqual([
      ...Object.keys(JSON.parse(NO_PIVOT)),
      'cluster',
    ])
    await waitFor(async () => (await told(follower)).pivotLastCheck !== '')
    await waitFor(async () => (await told(follower)).pivotHealthy === true)
    expect(await told(follower)).toMatchObject({
      role: 'node',
      pivotIP: clusterUrl,
      nodes: [],
      pivotHealthy: true,
      pivotLastCheck: time,
    })
    await follower.server.close()
    await waitFor(async () => (await told(leader)).nodes[0]?.healthy === false)
    expect((await told(leader)).nodes[0]).toMatchObject({
      lastCheck: time,
      protocol: '3',
      lagRows: null,
      lagMs: null,
    })
    await follower.server.open()
    await leader.server.close()
    await waitFor(async () => (await told(follower)).pivotHealthy === false)
  })

  it('shows a listed node that was never heard of, and nothing that a record says', async () => {
    const options = { keys: [{ path: 'items/*' }], pivot2: ['127.0.0.1:1'] }
    const leader = await serve({ plugins: [cluster(options)] })
    await leader.server.store.set('nodes/far', '{"IP":"10.0.0.9","Port":"8800"}')
    await leader.server.store.set('nodes/data', '{"note":"no address"}')
    expect(JSON.parse(await ask(leader, 'pivot')).nodes).toEqual([
      {
        address: '127.0.0.1:1',
        healthy: false,
        // It is dialled at once; where that fails at once as well, this is told.
        lastCheck: expect.stringMatching(/^(Never|\d{4}-\d\d-\d\dT.*)$/),
        protocol: 'unknown',
        compatible: false,
        lagRows: null,
        lagMs: null,
      },
    ])
  })
})

describe('a plugin', () => {
  it('may add an API of its own, but not take one', async () => {
    const node = await serve({
      plugins: [
        { name: 'p', setup: (host) => host.management('mine', () => Promise.resolve({ a: '<' })) },
      ],
    })
    expect(await ask(node, 'mine')).toBe('{"a":"\\u003c"}')
    await node.server.close()
    await node.server.open()
    expect(await ask(node, 'mine')).toBe('{"a":"\\u003c"}')
    await expect(
      serve({ plugins: [{ name: 'q', setup: (host) => host.management('info', () => 1) }] }),
    ).rejects.toMatchObject({ code: 'invalid_option' })
  })
})

describe('paths of the older UI', () => {
  it('answer 404 for a file that is not there, and are keys for other methods', async () => {
    const node = await serve()
    for (const path of ['/favicon.ico', '/components/App.jsx', '/api.js']) {
      expect(await node.get(path)).toMatchObject({ status: 404, body: 'file not found' })
    }
    expect((await node.post('/api.js', '1')).body).toBe('{"index":"api.js"}')
  })
})

describe('odd paths', () => {
  it('are 400 where a key is not valid, and 404 where there can be none', async () => {
    const node = await serve()
    const status = async (path: string) => (await request('GET', `${node.url}${path}`)).status
    expect(await status('/a/')).toBe(400)
    expect(await status('/a//b')).toBe(400)
    expect(await status('//a')).toBe(400)
    expect(await status('/a%2Fb')).toBe(404)
    expect((await node.post('/a%2Fb', '1')).body).toBe('{"index":"b"}')
    expect((await node.get('/a/b')).status).toBe(200)
    expect(await node.get('/a%20b')).toMatchObject({ status: 404, body: '404 page not found\n' })
    expect(await node.get('/%zz')).toMatchObject({ status: 400 })
  })
})
