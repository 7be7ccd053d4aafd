import { describe, expect, it } from 'vitest'
import { globTemplate, listBase } from '../../../src/server/reverse-proxy/path.ts'
import type { ProxyNodeFilter, ProxyRoute } from '../../../src/server/reverse-proxy/proxy.ts'
import { serve } from '../serve.ts'
import { addressOf, httpTarget } from './fixtures.ts'

const nowhere = (): never => {
  throw new Error('not asked')
}

describe('registering a proxy', () => {
  it.each<[string, Partial<ProxyRoute>]>([
    ['proxy: Resolver is required', { localPath: 'a/*' }],
    ['proxy: LocalPath is required', { localPath: '', resolve: nowhere }],
    ['proxy: LocalPath is required', { resolve: nowhere }],
  ])('is refused: %s', async (text, route) => {
    const { proxy } = (await serve()).server
    expect(() => proxy.route(route as ProxyRoute)).toThrow(text)
    expect(() => proxy.routeList(route as ProxyRoute)).toThrow(text)
    expect(() => proxy.routeWithVars(route as ProxyRoute)).toThrow(text)
    expect(proxy.describe()).toEqual([])
  })

  it.each<[string, ProxyNodeFilter]>([
    ['nodesKey', { nodesKey: '', localKey: 'a/*/*', remoteKey: 'b' }],
    ['localKey', { nodesKey: 'nodes/*', localKey: '', remoteKey: 'b' }],
    ['remoteKey', { nodesKey: 'nodes/*', localKey: 'a/*/*', remoteKey: '' }],
  ])('of nodes is refused without %s', async (_name, filter) => {
    const { proxy } = (await serve()).server
    const text = 'proxy: NodesKey, LocalKey, and RemoteKey are required'
    expect(() => proxy.routeNodeFilter(filter)).toThrow(text)
    expect(() => proxy.routeNodeListFilter(filter)).toThrow(text)
  })

  it('of node lists is refused with fewer than two wildcards', async () => {
    const { proxy } = (await serve()).server
    const filter = { nodesKey: 'nodes/*', localKey: 'a/*', remoteKey: 'b/*' }
    expect(() => proxy.routeNodeListFilter(filter)).toThrow(
      'proxy: LocalKey must have at least two wildcards for node list filter',
    )
  })

  it('is refused with a number out of range, a header no request can have, or a broken template', async () => {
    const { proxy } = (await serve()).server
    const route = { localPath: 'a', resolve: nowhere }
    expect(() => proxy.route({ ...route, timeoutMs: 0 })).toThrow('timeoutMs')
    expect(() => proxy.route({ ...route, subscribe: { maxOutageMs: -1 } })).toThrow('maxOutageMs')
    expect(() => proxy.route({ ...route, headers: { 'a b': 'c' } })).toThrow('a b')
    expect(() => proxy.route({ ...route, subscribe: { headers: { a: '\n' } } })).toThrow('header a')
    expect(() => proxy.routeWithVars({ ...route, localPath: 'a/{x:(}' })).toThrow('a/{x:(}')
    expect(proxy.describe()).toEqual([])
  })

  it('is described to tools, in order, and no longer once it is taken out', async () => {
    const server = await serve()
    const { proxy } = server.server
    const resolve = nowhere
    const remove = proxy.route({ localPath: 'settings/*', resolve, description: 'Settings' })
    proxy.routeList({ localPath: 'items/*/*', resolve, capabilities: { read: true } })
    proxy.routeWithVars({ localPath: 'rooms/{room}', resolve })
    const all = { canRead: true, canWrite: true, canDelete: true }
    const items = {
      localPath: 'items/*/*',
      type: 'list',
      canRead: true,
      canWrite: false,
      canDelete: false,
    }
    const rooms = { localPath: 'rooms/{room}', type: 'vars', ...all }
    expect(proxy.describe()).toEqual([
      { localPath: 'settings/*', type: 'single', ...all, description: 'Settings' },
      items,
      rooms,
    ])
    const settings =
      '{"localPath":"settings/*","type":"single","canRead":true,"canWrite":true,"canDelete":true,"description":"Settings"}'
    expect((await server.get('/?api=proxies')).body).toBe(
      `[${settings},${JSON.stringify(items)},${JSON.stringify(rooms)}]\n`,
    )
    remove()
    expect(proxy.describe()).toEqual([items, rooms])
  })
})

describe('the path of a proxy', () => {
  it.each([
    ['settings', 'settings', 'settings'],
    ['settings/*', 'settings/{path1:.*}', 'settings'],
    ['*', '{path1:.*}', undefined],
    ['*/items/*', '{path1}/items/{path2:.*}', '*/items'],
    ['items/*/*', 'items/{path1}/{path2:.*}', 'items/*'],
    ['items/*/last', 'items/{path1}/last', 'items/*/last'],
    ['a*/b', 'a*/b', 'a*/b'],
  ])('%s is the template %s and the list %s', (glob, template, base) => {
    expect(globTemplate(glob)).toBe(template)
    expect(listBase(glob)).toBe(base)
  })

  /** Which local paths reach the target: the path the resolver was given, or undefined. */
  async function reach(
    kind: 'route' | 'routeList' | 'routeWithVars',
    localPath: string,
    paths: readonly string[],
  ): Promise<(string | undefined)[]> {
    const target = await httpTarget((request, response) => response.end(request.url))
    const server = await serve()
    server.server.proxy[kind]({
      localPath,
      resolve: (path) => ({ address: target.address, path: `remote/${path}` }),
    })
    const answers: (string | undefined)[] = []
    for (const path of paths) {
      const { status, body } = await server.get(path)
      answers.push(status === 200 && body.startsWith('/remote/') ? body.slice(8) : undefined)
    }
    return answers
  }

  it('takes one segment for each wildcard, and anything for the last', async () => {
    const paths = ['/s/a', '/s/a/b', '/s/', '/s', '/x/s/a', '/S/a', '/s/%61%2Fb']
    expect(await reach('route', 's/*', paths)).toEqual([
      's/a',
      's/a/b',
      's/',
      undefined,
      undefined,
      undefined,
      's/a/b',
    ])
    expect(await reach('route', 's/*/t/*', ['/s/a/t/b', '/s/a/b/t/c', '/s//t/c'])).toEqual([
      's/a/t/b',
      undefined,
      undefined,
    ])
    expect(await reach('route', 's', ['/s', '/s/', '/s/a'])).toEqual(['s', undefined, undefined])
  })

  it('of a list also is the glob without its last wildcard, other wildcards being literal', async () => {
    expect(await reach('routeList', 'i/*', ['/i', '/i/a', '/j'])).toEqual(['i', 'i/a', undefined])
    expect(await reach('routeList', 'i/*/*', ['/i/*', '/i/a', '/i/a/b', '/i'])).toEqual([
      'i/*',
      undefined,
      'i/a/b',
      undefined,
    ])
  })

  it('may be a template, whose variables the resolver is given', async () => {
    expect(
      await reach('routeWithVars', 'r/{room}/{id:[0-9]+}', ['/r/a/12', '/r/a/x', '/r/a/b/12']),
    ).toEqual(['r/a/12', undefined, undefined])
    const target = await httpTarget((request, response) => response.end(request.url))
    const server = await serve()
    server.server.proxy.routeWithVars({
      localPath: 'r/{room}/{rest:.*}',
      resolve: (_path, { variables, request }) => ({
        address: target.address,
        path: `${variables.rest}/${variables.room}/${request.headers['x-who']}`,
      }),
    })
    expect((await server.get('/r/a/b/c', { 'X-Who': 'me' })).body).toBe('/b/c/a/me')
  })

  it('goes before data, also when registered while serving, until it is taken out', async () => {
    const target = await serve()
    const server = await serve()
    await server.post('/a/1', '"local"')
    await target.post('/b/1', '"remote"')
    const remove = server.server.proxy.route({
      localPath: 'a/*',
      resolve: (path) => ({ address: addressOf(target), path: path.replace('a', 'b') }),
    })
    expect((await server.get('/a/1')).body).toContain('"remote"')
    remove()
    expect((await server.get('/a/1')).body).toContain('"local"')
  })
})

describe('a proxy by node records', () => {
  it('finds the node by id, with either spelling of the record', async () => {
    const target = await httpTarget((request, response) => response.end(request.url))
    const [ip = '', port = ''] = target.address.split(':')
    const server = await serve({ static: true, proxyHosts: ['127.0.0.1'] })
    const { store, proxy } = server.server
    await store.set('nodes/one', JSON.stringify({ ip, port: Number(port) }))
    await store.set('nodes/two', JSON.stringify({ IP: ip, Port: port }))
    await store.set('nodes/bad', JSON.stringify({ ip }))
    proxy.routeNodeFilter({ nodesKey: 'nodes/*', localKey: 'status/*', remoteKey: 'status' })
    expect((await server.get('/status/one')).body).toBe('/status')
    expect((await server.get('/status/two')).body).toBe('/status')
    for (const id of ['none', 'bad', 'one/more', '']) {
      const answer = await server.get(`/status/${id}`)
      expect(answer).toMatchObject({ status: 400, body: `proxy: node not found: ${id}\n` })
    }
  })

  it('goes to no host that is not listed, and to none with a path', async () => {
    const asked: string[] = []
    const target = await httpTarget((request, response) => {
      asked.push(request.url ?? '')
      response.end('secret')
    })
    const [ip = '', port = ''] = target.address.split(':')
    const server = await serve({ proxyHosts: ['other.example', 'localhost'] })
    const { store, proxy } = server.server
    await store.set('nodes/one', JSON.stringify({ ip, port: Number(port) }))
    await store.set('nodes/path', JSON.stringify({ ip: `localhost:${port}/x?y=`, port: 80 }))
    await store.set('nodes/listed', JSON.stringify({ ip: 'localhost', port: Number(port) }))
    proxy.routeNodeFilter({ nodesKey: 'nodes/*', localKey: 'status/*', remoteKey: 'status' })
    const refused = await server.get('/status/one')
    expect(refused.status).toBe(400)
    expect(refused.body).toContain('host 127.0.0.1 is not listed (proxyHosts)')
    expect((await server.get('/status/path')).body).toBe('proxy: node not found: path\n')
    expect(asked).toEqual([])
    await server.get('/status/listed')
    expect(asked).toEqual(['/status'])
  })

  it('of lists puts what follows the id behind the remote key', async () => {
    const target = await httpTarget((request, response) => response.end(request.url))
    const [ip, port] = target.address.split(':')
    const server = await serve({ proxyHosts: ['127.0.0.1'] })
    const { store, proxy } = server.server
    await store.set('nodes/one', JSON.stringify({ ip, port: Number(port) }))
    proxy.routeNodeListFilter({ nodesKey: 'nodes/*', localKey: 'logs/*/*', remoteKey: 'log/*' })
    expect((await server.get('/logs/one/5')).body).toBe('/log/5')
    expect((await server.get('/logs/one/*')).body).toBe('/log/*')
    expect((await server.get('/logs/one/')).body).toBe('/log/*')
    expect((await server.get('/logs/two/5')).body).toBe('proxy: node not found: two\n')
    expect((await server.get('/logs/*')).body).toBe('proxy: node not found: *\n')
  })
})
