/** What plugins add: routes ahead of the data, and sockets. */
import { describe, expect, it } from 'vitest'
import { StateError } from '../../../src/core/errors.ts'
import type { MessageSocket } from '../../../src/core/ports/transport.ts'
import type {
  PluginHost,
  PluginRoute,
  RouteHandler,
  ServerPlugin,
} from '../../../src/server/contract/plugin.ts'
import { createWsTransport } from '../../../src/server/dial/ws-transport.ts'
import { waitFor } from '../../support/wait.ts'
import { afterTest, exchange, handshake, serve } from '../serve.ts'

function plugin(setup: (host: PluginHost) => void): ServerPlugin {
  return { name: 'test', setup }
}

/** A route for whoever passes the page guard. */
function route(path: string, http: RouteHandler): PluginRoute {
  return { path, methods: ['GET', 'PUT'], who: 'client', description: 'test', http }
}

const echo = (events: string[] = []): ServerPlugin =>
  plugin((host) =>
    host.route({
      ...{ path: '/_test/echo', methods: [], who: 'peer', description: 'echo' },
      authorize: (request) => {
        if (request.headers.authorization !== 'Bearer good') {
          throw new StateError('unauthorized', 'cluster token required')
        }
      },
      socket: {
        maxMessageBytes: 1000,
        connected: (socket) => ({
          message: (text) => socket.send(`echo ${text}`),
          close: ({ code, reason }) => events.push(`${code} ${reason}`),
        }),
      },
    }),
  )

describe('a plugin route', () => {
  it('covers what its template covers, its methods, and nothing beside it', async () => {
    const server = await serve({
      plugins: [
        plugin((host) => {
          host.route(
            route('/_test{rest:(?:/.*)?}', (request, response, { path, query, variables }) => {
              response.end(`${request.method} ${path} ${query} ${variables.rest}`)
            }),
          )
          host.route(route('/_test/deep', () => ({ status: 201, body: 'deep' })))
        }),
      ],
    })
    expect((await server.get('/_test?q=1')).body).toBe('GET /_test q=1 ')
    expect((await server.request('PUT', '/_test/a/b?q=2', 'x')).body).toBe(
      'PUT /_test/a/b q=2 /a/b',
    )
    expect(await server.get('/_test/deep')).toMatchObject({ status: 201, body: 'deep' })
    expect((await server.get('/_testing')).status).toBe(400)
    const refused = await server.post('/_test', 'x')
    expect(refused).toMatchObject({ status: 405, headers: { allow: 'GET, PUT' } })
    const asked = await server.request('OPTIONS', '/_test')
    expect(asked).toMatchObject({ status: 204, headers: { allow: 'GET, PUT, HEAD, OPTIONS' } })
  })

  it('comes ahead of endpoints, which can not take its path with another method either', async () => {
    const server = await serve({
      plugins: [plugin((host) => host.route(route('/_test', () => ({ status: 200, body: 'p' }))))],
    })
    const fetch = (): Response => new Response('endpoint')
    server.server.endpoint({ path: '/_test', methods: { GET: {}, POST: {} }, fetch })
    server.server.endpoint({ path: '/_other', methods: { GET: {} }, fetch })
    expect((await server.get('/_test')).body).toBe('p')
    expect((await server.post('/_test', '')).status).toBe(405)
    expect((await server.get('/_other')).body).toBe('endpoint')
  })

  it('turns a StateError into its status and text, and hides other faults', async () => {
    const server = await serve({
      plugins: [
        plugin((host) => {
          host.route(route('/_a', () => Promise.reject(new StateError('clock_drift', 'too far'))))
          host.route(
            route('/_b', () => {
              throw new Error('secret detail')
            }),
          )
          host.route(
            route('/_c', (_request, response) => {
              response.write('half')
              throw new Error('cut')
            }),
          )
        }),
      ],
    })
    expect(await server.get('/_a')).toMatchObject({ status: 409, body: 'too far' })
    expect(await server.get('/_b')).toMatchObject({
      status: 500,
      body: 'ooo: internal server error',
    })
    await expect(server.get('/_c')).rejects.toThrow()
    expect((await server.get('/-/healthz')).status).toBe(200)
  })

  it.each(['/test', '/a/_b', '/_', '/-/', '/_a/', '_a'])('can not be %s', async (prefix) => {
    const bad = plugin((host) => host.route(route(prefix, () => undefined)))
    await expect(serve({ plugins: [bad] })).rejects.toThrow(/plugin path/)
  })

  it.each(['token', 'node', 'peer', 'listed'] as const)(
    'for `%s` has to say how it asks for the credential',
    async (who) => {
      const bad = plugin((host) => host.route({ ...route('/_a', () => undefined), who }))
      await expect(serve({ plugins: [bad] })).rejects.toThrow(
        `is for "${who}" and has no authorize`,
      )
    },
  )

  it('can be registered once', async () => {
    const one = plugin((host) => host.route(route('/_a', () => undefined)))
    await expect(serve({ plugins: [one, one] })).rejects.toThrow(/"\/_a" is taken for GET/)
    const probe = plugin((host) => host.route(route('/-/healthz', () => undefined)))
    await expect(serve({ plugins: [probe] })).rejects.toThrow(/"\/-\/healthz" is taken for GET/)
    await expect(serve({ plugins: [echo(), echo()] })).rejects.toThrow(/is taken for WebSockets/)
  })
})

describe('a plugin socket', () => {
  interface Dialled {
    readonly socket: MessageSocket
    readonly events: string[]
  }

  function dial(
    url: string,
    headers: Record<string, string> = {},
    maxMessageBytes?: number,
  ): Dialled {
    const events: string[] = []
    const transport = createWsTransport(maxMessageBytes === undefined ? {} : { maxMessageBytes })
    const socket = transport.dial({ url, headers }, () => events.push('open'), {
      message: (text) => events.push(text),
      close: ({ code, reason }) => events.push(`closed ${code} ${reason}`),
    })
    afterTest(() => socket.terminate())
    return { socket, events }
  }

  const good = { authorization: 'Bearer good' }

  it('exchanges messages in both directions', async () => {
    const events: string[] = []
    const server = await serve({ plugins: [echo(events)] })
    const { socket, events: seen } = dial(`ws://127.0.0.1:${server.port}/_test/echo?x=1`, good)
    await waitFor(() => seen.includes('open'))
    socket.send('é 1')
    socket.send('2')
    await waitFor(() => seen.length === 3)
    expect(seen).toEqual(['open', 'echo é 1', 'echo 2'])
    expect(socket.bufferedBytes).toBe(0)
    socket.close(4001, `${'r'.repeat(122)}é`)
    await waitFor(() => seen.length === 4 && events.length === 1)
    expect(events).toEqual([`4001 ${'r'.repeat(122)}`])
    socket.send('late')
    socket.close(1000, '')
    socket.terminate()
  })

  it('is refused with the status of what authorize throws', async () => {
    const server = await serve({ plugins: [echo()] })
    expect(await exchange(server.port, handshake('/_test/echo'))).toMatchObject({
      status: 401,
      body: 'cluster token required',
    })
    const { events } = dial(`ws://127.0.0.1:${server.port}/_test/echo`)
    await waitFor(() => events.length > 0)
    expect(events).toEqual(['closed 1006 Unexpected server response: 401'])
  })

  it('is only on its exact path', async () => {
    const server = await serve({ plugins: [echo()] })
    expect((await exchange(server.port, handshake('/_test/echo/more'))).status).toBe(400)
  })

  it('closes on a message beyond its limit, in either direction', async () => {
    const events: string[] = []
    const server = await serve({ plugins: [echo(events)] })
    const url = `ws://127.0.0.1:${server.port}/_test/echo`
    const large = dial(url, good)
    await waitFor(() => large.events.includes('open'))
    large.socket.send('x'.repeat(1001))
    await waitFor(() => large.events.some((event) => event.startsWith('closed 1009')))
    const narrow = dial(url, good, 100)
    await waitFor(() => narrow.events.includes('open'))
    narrow.socket.send('x'.repeat(200))
    await waitFor(() => narrow.events.some((event) => event.startsWith('closed 10')))
    await waitFor(() => server.server.socketCount === 0 && events.length === 2)
    expect(events[1]).toContain('1009')
  })

  it('is told 1001 when the server closes', async () => {
    const server = await serve({ plugins: [echo()] })
    const { events } = dial(`ws://127.0.0.1:${server.port}/_test/echo`, good)
    await waitFor(() => events.includes('open'))
    await server.server.close()
    await waitFor(() => events.some((event) => event.startsWith('closed 1001')))
  })

  it('drops the connection when the plugin throws', async () => {
    const server = await serve({
      plugins: [
        plugin((host) =>
          host.route({
            ...{ path: '/_bad', methods: [], who: 'client', description: 'bad' },
            socket: {
              maxMessageBytes: 10,
              connected: () => {
                throw new Error('no')
              },
            },
          }),
        ),
      ],
    })
    const { events } = dial(`ws://127.0.0.1:${server.port}/_bad`)
    await waitFor(() => events.some((event) => event.startsWith('closed')))
    await waitFor(() => server.server.socketCount === 0)
  })
})

describe('the transport', () => {
  it.each(['ws://127.0.0.1:1/', 'not a url', 'ws://host.invalid/', 'ws://127.0.0.1:1/#fragment'])(
    'reports that %s can not be dialled, after dial has returned',
    async (url) => {
      const events: string[] = []
      const socket = createWsTransport().dial({ url }, () => events.push('open'), {
        message: () => undefined,
        close: ({ code }) => events.push(`closed ${code}`),
      })
      expect(events).toEqual([])
      socket.send('ignored')
      await waitFor(() => events.length > 0)
      expect(events).toEqual(['closed 1006'])
    },
  )

  it('gives up a handshake that is never answered', async () => {
    const { createServer: createTcp } = await import('node:net')
    const silent = createTcp(() => undefined)
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    afterTest(() => silent.close())
    const address = silent.address() as { port: number }
    const events: string[] = []
    createWsTransport({ handshakeTimeoutMs: 50 }).dial(
      { url: `ws://127.0.0.1:${address.port}/` },
      () => events.push('open'),
      { message: () => undefined, close: ({ reason }) => events.push(reason) },
    )
    await waitFor(() => events.length > 0)
    expect(events).toEqual(['Opening handshake has timed out'])
  })

  it('can be told to give up while it dials', async () => {
    const server = await serve()
    const events: string[] = []
    const socket = createWsTransport().dial(
      { url: `ws://127.0.0.1:${server.port}/a` },
      () => events.push('open'),
      { message: () => undefined, close: ({ code }) => events.push(`closed ${code}`) },
    )
    socket.terminate()
    await waitFor(() => events.length > 0)
    expect(events).toEqual(['closed 1006'])
  })
})

describe('plugins that say who leads a key', () => {
  it('are asked in order, and the first that names a leader decides', async () => {
    const server = await serve({
      plugins: [
        plugin((host) => host.addLeaderOf((key) => (key === 'a' ? 'first' : undefined))),
        plugin((host) => host.addLeaderOf((key) => (key === 'c' ? undefined : 'second'))),
      ],
    })
    const { store } = server.server
    for (const key of ['a', 'b', 'c']) await store.set(key, '1')
    const pendingKeys = async (leader: string): Promise<string[]> =>
      (await store.pending(leader, 10, new Set())).map(({ record }) => record.key)
    expect(await pendingKeys('first')).toEqual(['a'])
    expect(await pendingKeys('second')).toEqual(['b'])
  })
})
