/** Middleware over real sockets: what it sees, in which order, and what its errors become. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { StateError } from '../../../src/core/errors.ts'
import type { Middleware } from '../../../src/server/exchange/middleware.ts'
import { waitFor } from '../../support/wait.ts'
import { exchange, handshake, serve, type TestServer } from '../serve.ts'

/** Notes the path of every request that comes by. */
function witness(seen: string[]): Middleware {
  return (request, response, next) => {
    seen.push(`${request.method} ${request.url}${response === undefined ? ' upgrade' : ''}`)
    return next()
  }
}

const refuseAll: Middleware = () => {
  throw new StateError('unauthorized', 'who are you?')
}

describe('middleware', () => {
  it('sees every request: UI, management, health, plugins, routes, keys, unmatched, upgrades', async () => {
    const node = await serve({
      plugins: [
        {
          name: 'p',
          setup: (host) =>
            host.route({
              ...{ path: '/_p/x', methods: ['GET'], who: 'client', description: 'test' },
              http: (_request, response) => void response.end('plugin'),
            }),
        },
      ],
    })
    const seen: string[] = []
    node.server.use(witness(seen))
    node.server.endpoint({ path: '/e', methods: { GET: {} }, fetch: () => new Response('e') })
    const paths = ['/', '/?api=info', '/-/healthz', '/_p/x', '/e', '/key', '/a%20b', '/%zz']
    for (const path of paths) await node.get(path)
    await node.subscribe('/key')
    await node.subscribe('/', { expectFrame: false })
    expect(seen).toEqual([
      ...paths.map((path) => `GET ${path}`),
      'GET /key upgrade',
      'GET / upgrade',
    ])
  })

  it('takes long, and nothing is begun for a client that has left meanwhile', async () => {
    const node = await serve()
    let arrived = 0
    let over = 0
    node.server.use(async (_request, response, next) => {
      arrived++
      if (response !== undefined) await once(response, 'close')
      await next()
      over++
    })
    const asked: string[] = []
    node.server.endpoint({
      path: '/e',
      methods: { POST: {} },
      handler: (request) => void asked.push(request.url ?? ''),
    })
    for (const [i, path] of ['/e', '/key'].entries()) {
      const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1`
      const socket = connect(node.port, '127.0.0.1', () => socket.write(head))
      await waitFor(() => arrived === i + 1)
      socket.destroy()
      await waitFor(() => over === i + 1)
    }
    expect(asked).toEqual([])
    expect(await node.server.database.keys()).toEqual([])
  })

  it('may send a request somewhere else, where the door of that route is asked', async () => {
    const authorize = (): never => {
      throw new StateError('unauthorized', 'closed')
    }
    const route = {
      path: '/_p',
      methods: ['GET'],
      who: 'node',
      description: 'test',
      authorize,
    } as const
    const http = (): { status: number } => ({ status: 200 })
    const node = await serve({
      plugins: [{ name: 'p', setup: (host) => host.route({ ...route, http }) }],
    })
    await node.post('/key', '1')
    node.server.use((request, _response, next) => {
      if (request.url === '/alias') request.url = '/key'
      if (request.url === '/door') request.url = '/_p'
      return next()
    })
    expect((await node.get('/alias')).status).toBe(200)
    expect(await node.get('/door')).toMatchObject({ status: 401, body: 'closed' })
    await node.subscribe('/alias')
  })

  it('runs in the order of registration, and back', async () => {
    const node = await serve()
    const order: string[] = []
    const named =
      (name: string): Middleware =>
      async (_request, _response, next) => {
        order.push(`${name} in`)
        await next()
        order.push(`${name} out`)
      }
    node.server.use(named('a'))
    const remove = node.server.use(named('b'))
    node.server.endpoint({
      path: '/e',
      methods: { GET: {} },
      fetch: () => {
        order.push('route')
        return new Response()
      },
    })
    await node.get('/e')
    await waitFor(() => order.length === 5)
    expect(order).toEqual(['a in', 'b in', 'route', 'b out', 'a out'])
    remove()
    order.length = 0
    await node.get('/e')
    await waitFor(() => order.length === 3)
    expect(order).toEqual(['a in', 'route', 'a out'])
  })

  it('refuses requests and handshakes with the status of what it throws', async () => {
    const node = await serve()
    await node.server.store.set('key', '1')
    const remove = node.server.use(refuseAll)
    const paths = ['/', '/?api=keys', '/key', '/none', '/-/healthz']
    for (const path of paths) {
      expect(await node.get(path), path).toMatchObject({ status: 401, body: 'who are you?' })
    }
    const refused = await exchange(node.port, handshake('/key'))
    expect(refused).toMatchObject({ status: 401, body: 'who are you?' })
    expect(node.server.socketCount).toBe(0)
    remove()
    expect((await node.get('/key')).status).toBe(200)
  })

  it('keeps the cross-origin headers on a refusal, and does not see preflights', async () => {
    const node = await serve({ allowedOrigins: ['*'] })
    node.server.use(refuseAll)
    const headers = { origin: 'http://page.example' }
    const refused = await node.get('/key', headers)
    expect(refused.headers['access-control-allow-origin']).toBe('*')
    const asked = { ...headers, 'access-control-request-method': 'GET' }
    expect((await node.request('OPTIONS', '/key', undefined, { headers: asked })).status).toBe(204)
  })

  it('may answer itself, and nothing behind it runs', async () => {
    const node = await serve()
    const seen: string[] = []
    node.server.use((_request, response) => {
      response?.writeHead(418).end('short and stout')
    })
    node.server.use(witness(seen))
    expect(await node.get('/key')).toMatchObject({ status: 418, body: 'short and stout' })
    expect(seen).toEqual([])
  })

  it('may call next later, from a callback', async () => {
    const node = await serve()
    await node.server.store.set('key', '{"a":1}')
    node.server.use((_request, _response, next) => {
      setImmediate(() => void next())
    })
    expect((await node.get('/key')).status).toBe(200)
    expect((await node.get('/none')).status).toBe(404)
    const client = await node.subscribe('/key')
    expect(client.texts).toHaveLength(1)
  })

  it('may catch what is thrown behind it', async () => {
    const node = await serve()
    node.server.use(async (_request, response, next) => {
      try {
        await next()
      } catch (error) {
        response?.writeHead(410).end(`caught ${(error as Error).message}`)
      }
    })
    expect(await node.get('/none')).toMatchObject({ status: 410, body: 'caught ooo: empty key' })
  })

  it('loses no error behind it when it does not wait', async () => {
    const node = await serve()
    node.server.use(async (_request, _response, next) => {
      void next()
      // Long enough for the route to fail while nobody listens.
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
    })
    expect(await node.get('/none')).toMatchObject({ status: 404, body: 'ooo: empty key' })
  })

  it('runs the route once, however often next is called', async () => {
    const node = await serve()
    node.server.use(async (_request, _response, next) => {
      await Promise.all([next(), next(), next()])
    })
    expect((await node.post('/list/*', '1')).status).toBe(200)
    expect(await node.server.store.list('list/*')).toHaveLength(1)
  })

  it('gets 403 for a handshake that it neither passed on nor refused', async () => {
    const node = await serve()
    node.server.use(async () => undefined)
    expect((await exchange(node.port, handshake('/key'))).status).toBe(403)
  })

  it('turns an unexpected error into 500 without its text', async () => {
    const node = await serve()
    node.server.use(() => {
      throw new Error('secret')
    })
    expect(await node.get('/key')).toMatchObject({
      status: 500,
      body: 'ooo: internal server error',
    })
    const refused = await exchange(node.port, handshake('/key'))
    expect(refused).toMatchObject({ status: 500, body: 'ooo: internal server error' })
  })

  it('outlives close and open', async () => {
    const node = await serve()
    node.server.use(refuseAll)
    await reopen(node)
    expect((await node.get('/key')).status).toBe(401)
  })
})

async function reopen(node: TestServer): Promise<void> {
  await node.server.close()
  await node.server.open()
}
