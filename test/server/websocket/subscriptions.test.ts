/** WebSocket subscriptions over real sockets: wire format section 4. */
import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { EMPTY_META } from '../../../src/core/data/entry.ts'
import { canonicalText } from '../../quick/core/exact-apply.ts'
import { waitFor } from '../../support/wait.ts'
import { exchange, handshake, SocketClient, serve, type TestServer } from '../serve.ts'

describe('the handshake', () => {
  it('is refused with the error text for an invalid key', async () => {
    const server = await serve()
    expect(await exchange(server.port, handshake('/a//b'))).toMatchObject({
      status: 400,
      body: 'ooo: key is not valid',
    })
    expect((await exchange(server.port, handshake('/a:b'))).status).toBe(404)
    expect((await exchange(server.port, handshake('/%ff'))).status).toBe(404)
  })

  it.each([
    ['another version', { 'Sec-WebSocket-Version': '8' }],
    ['no version', { 'Sec-WebSocket-Version': undefined }],
    ['no key', { 'Sec-WebSocket-Key': undefined }],
    ['a key of another length', { 'Sec-WebSocket-Key': 'AAAA' }],
  ])('is refused as malformed with %s', async (_what, headers) => {
    const server = await serve()
    for (const path of ['/a', '/']) {
      expect(await exchange(server.port, handshake(path, headers))).toMatchObject({
        status: 400,
        body: 'Bad Request\n',
      })
    }
  })

  it.each([
    [['http://page.example'], 'http://other.example', 403],
    [['http://page.example'], 'HTTP://PAGE.example', 101],
    [['http://*.example'], 'http://a.example', 403],
    [['http://page.example'], 'http://127.0.0.1', 101],
    [['http://page.example'], undefined, 101],
    [['http://page.example', '*'], 'http://other.example', 101],
    [[], 'http://other.example', 403],
  ])('with allowed origins %j from %s answers %i', async (allowedOrigins, origin, status) => {
    const server = await serve({ allowedOrigins })
    const text = handshake('/a', { Origin: origin })
    if (status === 101) {
      const client = new SocketClient(`ws://127.0.0.1:${server.port}/a`, [], {
        headers: { Host: '127.0.0.1', ...(origin === undefined ? {} : { Origin: origin }) },
      })
      await client.opened
      return
    }
    const answer = await exchange(server.port, text)
    expect(answer.status).toBe(status)
    expect(answer.body).toMatch(/^Forbidden: .*--allow-origin http:/)
    expect(answer.head).toContain('Sec-Websocket-Version: 13')
  })

  it('is refused without a body when static mode has not opened the key', async () => {
    const server = await serve({ static: true, open: ['logs/*', 'one', 'a*'] })
    for (const path of ['/other', '/other/*', '/*', '/a*']) {
      expect(await exchange(server.port, handshake(path))).toMatchObject({ status: 400, body: '' })
    }
    for (const path of ['/logs/*', '/logs/1', '/one']) await server.subscribe(path)
  })

  it('takes up the bearer subprotocol and no other, and no extension', async () => {
    const server = await serve()
    const bearer = await server.subscribe('/a', {
      protocols: ['bearer', 'some-token'],
      perMessageDeflate: true,
    })
    expect(bearer.socket.protocol).toBe('bearer')
    expect(bearer.socket.extensions).toBe('')
    const [response] = await once(
      new SocketClient(`ws://127.0.0.1:${server.port}/a`, ['other']).socket,
      'upgrade',
    )
    expect(response.headers['sec-websocket-protocol']).toBeUndefined()
  })

  it('leaves nothing behind when it is refused or broken off', async () => {
    const server = await serve()
    await exchange(server.port, handshake('/a', { 'Sec-WebSocket-Protocol': ',,' }))
    expect(server.server.socketCount).toBe(0)
    expect(server.server.hub.metrics()).toMatchObject({ pools: 0, subscribers: 0 })
  })
})

describe('a subscription', () => {
  it('begins with a snapshot in a binary frame', async () => {
    const server = await serve()
    const client = await server.subscribe('/a')
    expect(await client.frame(0)).toMatchObject({ snapshot: true, data: EMPTY_META })
    expect(client.texts[0]).not.toContain('text frame')
  })

  it('follows a key through its life', async () => {
    const server = await serve()
    const client = await server.subscribe('/box/a')
    await server.post('/box/a', '{"n":9007199254740993}')
    expect((await client.frame(1)).snapshot).toBe(true)
    await server.request('PATCH', '/box/a', '{"n":9007199254740995}')
    expect((await client.frame(2)).snapshot).toBe(false)
    expect(client.state).toBe(canonicalText((await server.get('/box/a')).body))
    expect(client.state).toContain('9007199254740995')
    await server.request('DELETE', '/box/a')
    expect((await client.frame(3)).snapshot).toBe(false)
    expect(client.state).toBe(canonicalText(EMPTY_META))
  })

  it('follows a list, and a glob delete is one frame', async () => {
    const server = await serve()
    const client = await server.subscribe('/a/*')
    for (let i = 0; i < 5; i++) await server.post('/a/*', `{"i":${i}}`)
    await client.frame(5)
    expect(client.state).toBe(canonicalText((await server.get('/a/*')).body))
    await server.request('DELETE', '/a/*')
    expect(await client.frame(6)).toMatchObject({ snapshot: true, data: '[]' })
    await server.post('/a/last', '1')
    expect((await client.frame(7)).snapshot).toBe(false)
    expect(client.texts).toHaveLength(8)
  })

  it('answers a write only after its frame was sent', async () => {
    const server = await serve()
    const client = await server.subscribe('/a/*')
    for (let i = 1; i <= 20; i++) {
      await server.post('/a/k', `${i}`)
      await client.frame(i)
    }
    expect(server.server.hub.metrics().framesSent).toBe(21)
  })

  it('resumes with ?v= without a frame when nothing changed, with what it missed when it did', async () => {
    const server = await serve()
    await server.post('/a/1', '1')
    const first = await server.subscribe('/a/*')
    first.socket.close()
    await waitFor(() => server.server.hub.metrics().subscribers === 0)
    await server.post('/other', '1')
    const same = await server.subscribe(`/a/*?v=${first.version}`, { expectFrame: false })
    await waitFor(() => server.server.hub.metrics().subscribers === 1)
    same.state = first.state
    await server.post('/a/2', '2')
    expect((await same.frame(0)).snapshot).toBe(false)
    expect(same.state).toBe(canonicalText((await server.get('/a/*')).body))
    const late = new SocketClient(`ws://127.0.0.1:${server.port}/a/*?v=${first.version}`)
    late.state = first.state
    expect((await late.frame(0)).snapshot).toBe(false)
    expect(late.state).toBe(same.state)
    const odd = await server.subscribe(`/a/*?v=${first.version?.toUpperCase()}z`)
    expect((await odd.frame(0)).snapshot).toBe(true)
  })

  it('does not hear of reads', async () => {
    const server = await serve()
    await server.post('/a', '1')
    const client = await server.subscribe('/a')
    await server.get('/a')
    await server.get('/*')
    await server.post('/a', '2')
    expect((await client.frame(1)).snapshot).toBe(false)
  })

  it('discards what a client says, and closes on a message beyond 64 KiB', async () => {
    const server = await serve()
    const client = await server.subscribe('/a')
    client.socket.send('text')
    client.socket.send(Buffer.from([255, 254]))
    await server.post('/a', '1')
    await client.frame(1)
    client.socket.send('x'.repeat(64 * 1024 + 1))
    expect((await client.waitClosed()).code).toBe(1009)
  })

  it('is pinged, kept while it answers and dropped when it is silent', async () => {
    const server = await serve({ pingIntervalMs: 20, pongTimeoutMs: 200 })
    const alive = await server.subscribe('/a')
    const silent = await server.subscribe('/a', { autoPong: false })
    await waitFor(() => silent.closed, { what: 'the silent client to be dropped' })
    expect(silent.closed?.code).toBe(1006)
    // Silence is counted in sweeps of the heartbeat, so both hold however slow this process is.
    expect(silent.pings).toBeGreaterThan(2)
    expect(alive.pings).toBeGreaterThan(2)
    expect(alive.closed).toBeUndefined()
    expect(server.server.socketMetrics).toMatchObject({ droppedSilent: 1, droppedStalled: 0 })
    expect(server.server.socketCount).toBe(1)
  })

  it('counts any inbound frame as a sign of life', async () => {
    const server = await serve({ pingIntervalMs: 20, pongTimeoutMs: 200 })
    const talker = await server.subscribe('/a', { autoPong: false })
    const silent = await server.subscribe('/a', { autoPong: false })
    const timer = setInterval(() => talker.socket.send('hello'), 10)
    await waitFor(() => silent.closed)
    clearInterval(timer)
    expect(talker.closed).toBeUndefined()
  })

  it('is told 1001 when the server closes', async () => {
    const server = await serve()
    const clients = [
      await server.subscribe('/a'),
      await clockOf(server),
      await server.subscribe('/a/*'),
    ]
    await server.server.close()
    for (const client of clients) expect((await client.waitClosed()).code).toBe(1001)
  })
})

describe('a subscriber that does not read', () => {
  it('does not hold up others, and is brought up to date by one snapshot', async () => {
    const server = await serve({ maxBufferedBytes: 64 * 1024 })
    const slow = await server.subscribe('/a/*')
    const quick = await server.subscribe('/a/*')
    slow.socket.pause()
    const big = JSON.stringify('x'.repeat(256 * 1024))
    let writes = 0
    const { hub } = server.server
    while (hub.metrics().framesDropped < 3) {
      await server.post('/a/k', `[${writes},${big}]`)
      await quick.frame(++writes)
    }
    await server.post('/a/k', '"small again"')
    slow.socket.resume()
    const expected = canonicalText((await server.get('/a/*')).body)
    await waitFor(() => slow.state === expected, { what: 'the slow one to catch up' })
    expect(slow.texts.length).toBeLessThan(quick.texts.length)
    await server.post('/a/k2', '1')
    await waitFor(() => slow.state === quick.state && slow.state !== expected)
  })

  it('is closed when it takes nothing for too long', async () => {
    const server = await serve({ maxBufferedBytes: 1024, slowConsumerTimeoutMs: 100 })
    const slow = await server.subscribe('/a/*')
    slow.socket.pause()
    const big = JSON.stringify('x'.repeat(1024 * 1024))
    const { hub } = server.server
    for (let i = 0; hub.metrics().framesDropped === 0; i++)
      await server.post('/a/k', `[${i},${big}]`)
    await waitFor(() => hub.metrics().slowConsumersClosed === 1 && server.server.socketCount === 0)
    expect(hub.metrics()).toMatchObject({ subscribers: 0 })
  })
})

describe('the clock', () => {
  it('gives decimal nanoseconds at once and at every tick, never going back', async () => {
    const server = await serve({ tickMs: 10 })
    const before = BigInt(Date.now() - 5) * 1_000_000n
    const client = new SocketClient(`ws://127.0.0.1:${server.port}/`)
    await client.text(4)
    const stamps = client.texts.map((text) => {
      expect(text).toMatch(/^\d{19}$/)
      return BigInt(text)
    })
    expect(stamps[0]).toBeGreaterThan(before)
    for (let i = 1; i < stamps.length; i++) {
      expect(stamps[i]).toBeGreaterThan(stamps[i - 1] ?? 0n)
    }
  })

  it('is not held up by a client that does not read', async () => {
    const server = await serve({ tickMs: 5 })
    const slow = new SocketClient(`ws://127.0.0.1:${server.port}/`)
    await slow.opened
    slow.socket.pause()
    const quick = new SocketClient(`ws://127.0.0.1:${server.port}/`)
    await quick.text(20)
    quick.socket.close()
    slow.socket.terminate()
    await waitFor(() => server.server.socketCount === 0)
  })
})

async function clockOf(server: TestServer): Promise<SocketClient> {
  const client = new SocketClient(`ws://127.0.0.1:${server.port}/`)
  await client.opened
  return client
}
