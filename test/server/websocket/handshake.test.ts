import { describe, expect, it } from 'vitest'
import { StateError } from '../../../src/core/errors.ts'
import { waitFor } from '../../support/wait.ts'
import { exchange, handshake, SocketClient, serve } from '../serve.ts'

describe('a handshake', () => {
  it('of another version is told which one is spoken', async () => {
    const node = await serve()
    const answer = await exchange(node.port, handshake('/a', { 'Sec-WebSocket-Version': '8' }))
    expect(answer.status).toBe(400)
    expect(answer.head).toMatch(/^Sec-Websocket-Version: 13$/m)
  })

  it('passes middleware in order, which sees plugins, the clock, keys and what is not found', async () => {
    const node = await serve()
    const seen: string[] = []
    node.server.use((_request, _response, next) => {
      seen.push('first')
      return next()
    })
    node.server.use((request, response, next) => {
      seen.push(`${request.url} ${response === undefined ? 'socket' : 'request'}`)
      return next()
    })
    await node.subscribe('/a')
    await node.subscribe('/', { expectFrame: false })
    expect((await exchange(node.port, handshake('/a:b'))).status).toBe(404)
    expect((await exchange(node.port, handshake('/x/'))).status).toBe(400)
    await node.get('/a')
    const expected = ['/a socket', '/ socket', '/a:b socket', '/x/ socket', '/a request']
    expect(seen).toEqual(expected.flatMap((line) => ['first', line]))
  })

  it('goes on with what middleware put on the request: hooks can ask who it is', async () => {
    const node = await serve()
    const users = new WeakMap<object, string>()
    node.server.use((request, _response, next) => {
      const token = request.headers['sec-websocket-protocol']?.split(/, */)[1]
      if (token === undefined) throw new StateError('unauthorized', 'no token')
      users.set(request, token)
      return next()
    })
    const joined: string[] = []
    node.server.hooks.on('subscribe', (key, request) => {
      const user = users.get(request) ?? ''
      if (!key.startsWith(user)) throw new Error('not yours')
      joined.push(`${user} ${key}`)
    })
    const client = new SocketClient(`ws://127.0.0.1:${node.port}/ann/1`, ['bearer', 'ann'])
    await client.frame(0)
    expect(client.socket.protocol).toBe('bearer')
    const asking = { 'Sec-WebSocket-Protocol': 'bearer, bob' }
    const refused = await exchange(node.port, handshake('/ann/1', asking))
    expect(refused).toMatchObject({ status: 400, body: '' })
    const unknown = await exchange(node.port, handshake('/ann/1'))
    expect(unknown).toMatchObject({ status: 401, body: 'no token' })
    expect(joined).toEqual(['ann ann/1'])
  })

  it('is refused without a body when a read filter refuses the first read', async () => {
    const node = await serve()
    node.server.filters.readObject('secret', () => {
      throw new Error('not for you')
    })
    const answer = await exchange(node.port, handshake('/secret'))
    expect(answer).toMatchObject({ status: 400, body: '' })
    expect((await node.get('/secret')).body).toBe('not for you')
  })

  it('that a middleware never decides ends at the deadline', async () => {
    const node = await serve({ deadlineMs: 50 })
    node.server.use(() => new Promise<void>(() => undefined))
    expect((await exchange(node.port, handshake('/a'))).status).toBe(503)
    await waitFor(() => node.server.socketMetrics.pending === 0)
  })
})
