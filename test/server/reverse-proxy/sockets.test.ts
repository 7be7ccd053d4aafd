import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { describe, expect, it } from 'vitest'
import { EMPTY_META } from '../../../src/core/data/entry.ts'
import type { TimeSource } from '../../../src/core/ports/time.ts'
import type { ProxyRoute } from '../../../src/server/reverse-proxy/proxy.ts'
import type { ServerOptions } from '../../../src/server/server.ts'
import { canonicalText } from '../../quick/core/exact-apply.ts'
import { FakeTime } from '../../support/fake-time.ts'
import { SeededRandom } from '../../support/seeded-random.ts'
import { waitFor } from '../../support/wait.ts'
import {
  afterTest,
  exchange,
  handshake,
  type SocketClient,
  serve,
  type TestServer,
} from '../serve.ts'
import {
  addressOf,
  deadAddress,
  envelope,
  relayTo,
  type SocketTarget,
  socketTarget,
} from './fixtures.ts'

/** A server whose `/p/*` goes to `/*` at the address. */
async function proxyTo(
  address: string,
  route: Partial<ProxyRoute> = {},
  options: Partial<ServerOptions> = {},
): Promise<TestServer> {
  const server = await serve(options)
  server.server.proxy.route({
    localPath: 'p/*',
    resolve: (path) => ({ address, path: path.slice(2) }),
    ...route,
  })
  return server
}

/** Waits until a client holds the very state that the target answers over HTTP. */
async function converged(client: SocketClient, target: TestServer, path: string): Promise<void> {
  const wanted = canonicalText((await target.get(path)).body)
  await waitFor(() => client.state === wanted, { what: `the state of ${path}` })
}

describe('a proxied subscription', () => {
  it('passes on the frames of the target, byte for byte and binary', async () => {
    const target = await serve()
    const server = await proxyTo(addressOf(target))
    const direct = await target.subscribe('/a')
    const proxied = await server.subscribe('/p/a')
    expect(proxied.texts).toEqual(direct.texts)
    await target.post('/a', '{"n":12345678901234567890.10}')
    await server.post('/p/a', '{"n":2.00,"<":"é"}')
    await target.request('DELETE', '/a')
    for (const client of [direct, proxied]) {
      await client.frame(3)
      expect(client.state).toBe(canonicalText(EMPTY_META))
    }
    expect(proxied.texts).toEqual(direct.texts)
    expect(proxied.texts).toHaveLength(4)
  })

  it('of a list passes through several servers', async () => {
    const target = await serve()
    const middle = await proxyTo(addressOf(target))
    const server = await serve()
    server.server.proxy.routeList({
      localPath: 'p/*',
      resolve: (path) => ({ address: addressOf(middle), path: path === 'p' ? 'p/*' : path }),
    })
    const [direct, proxied] = [await target.subscribe('/*'), await server.subscribe('/p')]
    for (let i = 0; i < 20; i++) await target.post(`/k${i % 7}`, `{"i":${i}}`)
    await target.request('DELETE', '/k3')
    for (const client of [direct, proxied]) await converged(client, target, '/*')
    expect(proxied.texts).toEqual(direct.texts)
  })

  it('shares one socket to the target, which ends with the last subscriber', async () => {
    const target = await serve()
    const server = await proxyTo(addressOf(target))
    const clients = [await server.subscribe('/p/a'), await server.subscribe('/p/a')]
    const other = await server.subscribe('/p/b')
    expect(target.server.socketCount).toBe(2)
    expect(server.server.proxy.metrics()).toMatchObject({ upstreams: 2, subscribers: 3 })
    clients[0]?.socket.close()
    other.socket.close()
    await waitFor(() => target.server.socketCount === 1, { what: 'the end of the unused one' })
    await target.post('/a', '1')
    await clients[1]?.frame(1)
    clients[1]?.socket.terminate()
    await waitFor(() => target.server.socketCount === 0, { what: 'the end of the last one' })
    expect(server.server.proxy.metrics()).toMatchObject({ upstreams: 0, subscribers: 0 })
  })

  it('gives a late joiner the state between two frames, with its version, digit for digit', async () => {
    const target = await socketTarget()
    const server = await proxyTo(target.address)
    const first = await server.subscribe('/p/a', { expectFrame: false })
    const upstream = await target.socket(0)
    upstream.send(envelope(true, 'a1', '{"n":1.0,"big":12345678901234567890}'))
    upstream.send(envelope(false, 'a2', '[{"op":"replace","path":"/n","value":2.50}]'))
    await first.frame(1)
    const second = await server.subscribe('/p/a?v=a2')
    expect(second.texts).toEqual([
      String(envelope(true, 'a2', '{"n":2.50,"big":12345678901234567890}')),
    ])
    const patch = envelope(false, 'a3', '[{"op":"add","path":"/m","value":1E2}]')
    upstream.send(patch)
    for (const client of [first, second]) {
      await waitFor(() => client.version === 'a3', { what: 'the frame after' })
      expect(client.texts.at(-1)).toBe(String(patch))
    }
    expect(second.state).toBe(first.state)
    expect(target.sockets).toHaveLength(1)
  })

  it('shows everyone the same, whenever they join and leave while much is written', async () => {
    const random = new SeededRandom(20_260_711)
    const target = await serve()
    const server = await proxyTo(addressOf(target))
    const clients: SocketClient[] = [await server.subscribe('/p/*')]
    for (let i = 0; i < 150; i++) {
      const key = `/k${random.below(9)}`
      if (random.chance(0.2)) await target.request('DELETE', key)
      else await target.post(key, `{"i":${i}.0,"s":[${'1,'.repeat(random.below(4))}0]}`)
      if (random.chance(0.15)) clients.push(await server.subscribe('/p/*'))
      if (random.chance(0.1) && clients.length > 3) clients.splice(1, 1)[0]?.socket.close()
    }
    for (const client of clients) await converged(client, target, '/*')
    expect(server.server.proxy.metrics()).toMatchObject({ lost: 0, upstreams: 1 })
  })

  it('ends up with the state of the target, whatever connections are cut on the way', async () => {
    const random = new SeededRandom(20_260_712)
    const target = await serve()
    const far = await relayTo(addressOf(target))
    const middle = await proxyTo(far.address)
    const near = await relayTo(addressOf(middle))
    const server = await proxyTo(near.address, {
      resolve: (path) => ({ address: near.address, path }),
    })
    const first = await server.subscribe('/p/*')
    const clients = [first]
    for (let i = 0; i < 120; i++) {
      const key = `/k${random.below(6)}`
      if (random.chance(0.2)) await target.request('DELETE', key)
      else await target.post(key, `{"i":${i}.0}`)
      if (random.chance(0.1)) clients.push(await server.subscribe('/p/*', { expectFrame: false }))
      if (i % 30 === 20) {
        // Cut while connected, and written to while cut.
        await converged(first, target, '/*')
        random.pick([near, far]).cut()
      }
    }
    for (const client of clients) {
      await converged(client, target, '/*')
      expect(client.closed).toBeUndefined()
    }
    expect(middle.server.proxy.metrics().lost + server.server.proxy.metrics().lost).toBe(4)
  })

  it('of the clock shows late joiners the last time at once', async () => {
    const target = await serve({ tickMs: 60_000 })
    const server = await proxyTo('', { resolve: () => ({ address: addressOf(target), path: '' }) })
    const first = await server.subscribe('/p/clock', { expectFrame: false })
    expect(await first.text(0)).toMatch(/^\d{19}$/)
    const late = await server.subscribe('/p/clock', { expectFrame: false })
    expect(await late.text(0)).toBe(first.texts[0])
  })
})

describe('credentials of a proxied subscription', () => {
  it('go to the target, and whoever brings others gets a socket of their own', async () => {
    const target = await socketTarget({
      onSocket: (socket) => socket.send(envelope(true, '1', '{}')),
    })
    const server = await proxyTo(target.address, { headers: { 'X-Own': '1' } })
    const ann = await server.subscribe('/p/a', { protocols: ['bearer', 'ann.token'] })
    await server.subscribe('/p/a', { protocols: ['bearer', 'ann.token'] })
    const bob = await server.subscribe('/p/a', { protocols: ['bearer', 'bob.token'] })
    await server.subscribe('/p/a')
    await server.subscribe('/p/a', { headers: { Authorization: 'Bearer x', Cookie: 'c=1' } })
    expect(ann.socket.protocol).toBe('bearer')
    expect(bob.socket.protocol).toBe('bearer')
    const seen = target.requests.map(({ headers }) => headers['sec-websocket-protocol'])
    expect(seen).toEqual(['bearer,ann.token', 'bearer,bob.token', undefined, undefined])
    for (const { headers } of target.requests) {
      expect(headers['x-own']).toBe('1')
      expect(headers.authorization ?? headers.cookie).toBeUndefined()
    }
  })

  it('may be offered in vain', async () => {
    const target = await serve()
    const server = await proxyTo(addressOf(target))
    // ws itself insists on an answer to its offer, so the handshake is written by hand.
    const raw = exchange(server.port, handshake('/p/a', { 'Sec-WebSocket-Protocol': 'chat' }))
    await waitFor(() => target.server.socketCount === 1, { what: 'the socket at the target' })
    await waitFor(() => server.server.proxy.metrics().snapshotsSent === 1, { what: 'a snapshot' })
    await server.server.close()
    const { status, head } = await raw
    expect(status).toBe(101)
    expect(head.toLowerCase()).not.toContain('sec-websocket-protocol')
  })
})

describe('the handshake of a proxied subscription', () => {
  async function answerTo(
    route: Partial<ProxyRoute>,
    headers: Record<string, string | undefined> = {},
    options: Partial<ServerOptions> = {},
  ): Promise<{ status: number; body: string }> {
    const server = await proxyTo(await deadAddress(), route, options)
    const { status, body } = await exchange(server.port, handshake('/p/a', headers))
    return { status, body }
  }

  it('is refused without the capability to read, before the target is looked for', async () => {
    let asked = 0
    const refusal = await answerTo({
      capabilities: { write: true, delete: true },
      resolve: () => ({ address: 'x', path: `${asked++}` }),
    })
    expect({ ...refusal, asked }).toEqual({ status: 403, body: 'Forbidden\n', asked: 0 })
  })

  it('is refused with the text of the resolver', async () => {
    const resolve = (): Promise<never> => Promise.reject(new Error('no such room'))
    expect(await answerTo({ resolve })).toEqual({ status: 400, body: 'no such room\n' })
    const dots = { resolve: () => ({ address: 'a:1', path: 'a/../b' }) }
    expect((await answerTo(dots)).status).toBe(400)
  })

  it('is refused when it is malformed, or of another version', async () => {
    for (const headers of [{ 'Sec-WebSocket-Key': 'x' }, { 'Sec-WebSocket-Version': '12' }]) {
      expect((await answerTo({}, headers)).status).toBe(400)
    }
  })

  it('is refused to pages of other origins', async () => {
    const options = { allowedOrigins: ['http://good'] }
    expect(await answerTo({}, { Origin: 'http://bad' }, options)).toEqual({
      status: 403,
      body: expect.stringMatching(/^Forbidden: .*--allow-origin http:\/\/bad/),
    })
    const target = await serve()
    const server = await proxyTo(addressOf(target), {}, options)
    await server.subscribe('/p/a', { origin: 'http://good' })
  })

  it('is refused while the server closes', async () => {
    const questions: (() => void)[] = []
    const server = await proxyTo('', {
      resolve: () =>
        new Promise((resolve) => {
          questions.push(() => resolve({ address: '127.0.0.1:1', path: 'a' }))
        }),
    })
    const asking = exchange(server.port, handshake('/p/a'))
    const proceed = await waitFor(() => questions[0], { what: 'the question' })
    server.server.proxy.close()
    proceed()
    expect(await asking).toMatchObject({ status: 503, body: 'ooo: server is closing\n' })
  })
})

describe('when the target of a proxied subscription', () => {
  async function live(
    route: Partial<ProxyRoute> = {},
    target?: SocketTarget,
  ): Promise<{ target: SocketTarget; server: TestServer; client: SocketClient }> {
    const used = target ?? (await socketTarget())
    const server = await proxyTo(used.address, route)
    const client = await server.subscribe('/p/a', { expectFrame: false })
    ;(await used.socket(0)).send(envelope(true, 'a1', '{"n":1}'))
    await client.frame(0)
    return { target: used, server, client }
  }

  it('is lost, local sockets stay and get the new state once it is back', async () => {
    const { target, server, client } = await live()
    target.sockets[0]?.terminate()
    await waitFor(() => server.server.proxy.metrics().lost === 1, { what: 'the loss' })
    const late = await server.subscribe('/p/a', { expectFrame: false })
    ;(await target.socket(1)).send(envelope(true, 'b1', '{"n":2}'))
    for (const each of [client, late]) {
      await waitFor(() => each.version === 'b1', { what: 'the new state' })
      expect(each.closed).toBeUndefined()
    }
    expect(late.texts).toHaveLength(1)
    expect(target.sockets).toHaveLength(2)
  })

  it('restarts, subscribers end up with its state', async () => {
    const target = await serve()
    const server = await proxyTo(addressOf(target))
    await target.post('/a', '1')
    const client = await server.subscribe('/p/*')
    const { port } = target
    await target.server.close()
    const again = await serve({ port })
    await again.post('/b', '2')
    await converged(client, again, '/*')
    expect(client.closed).toBeUndefined()
  })

  it.each([
    ['a patch that does not fit', envelope(false, 'a2', '[{"op":"remove","path":"/none"}]')],
    ['half a message', envelope(false, 'a2', '[{"op":"add"').subarray(0, 40)],
    ['something else', Buffer.from('hello')],
    ['no envelope', Buffer.from('{"version":"1","data":1}')],
    ['bytes that are not text', Buffer.from([0xff, 0xfe])],
  ])('sends %s, it is asked anew and nobody sees it', async (_what, frame) => {
    const { target, server, client } = await live()
    target.sockets[0]?.send(frame)
    ;(await target.socket(1)).send(envelope(true, 'b1', '{"n":3}'))
    await waitFor(() => client.version === 'b1', { what: 'the new state' })
    expect(client.texts).toHaveLength(2)
    expect(server.server.proxy.metrics()).toMatchObject({ invalidFrames: 1, lost: 1 })
  })

  it('sends a patch first, it is asked anew', async () => {
    const target = await socketTarget()
    const server = await proxyTo(target.address)
    const client = await server.subscribe('/p/a', { expectFrame: false })
    ;(await target.socket(0)).send(envelope(false, '1', '[]'))
    ;(await target.socket(1)).send(envelope(true, '2', '[]'))
    await client.frame(0)
    expect(client.texts).toEqual([String(envelope(true, '2', '[]'))])
  })

  it('sends more than the limit, it is asked anew', async () => {
    const { target, client } = await live({ subscribe: { maxMessageBytes: 1000 } })
    target.sockets[0]?.send(envelope(true, 'a2', `"${'x'.repeat(2000)}"`))
    ;(await target.socket(1)).send(envelope(true, 'b1', '{}'))
    await waitFor(() => client.version === 'b1', { what: 'the new state' })
    expect(client.texts).toHaveLength(2)
  })

  it('is silent for long, even to pings, it is dialled anew', async () => {
    let dials = 0
    const target = await socketTarget({
      autoPong: false,
      // The second socket is silent from its state on as well, so that comes at once.
      onSocket: (socket) => dials++ > 0 && socket.send(envelope(true, 'b1', '{}')),
    })
    const { client } = await live({ subscribe: { pingIntervalMs: 30 } }, target)
    await waitFor(() => client.version === 'b1', { what: 'the new state' })
  })

  it('answers pings, it may be silent', async () => {
    const { target, server } = await live({ subscribe: { pingIntervalMs: 20 } })
    let pings = 0
    target.sockets[0]?.on('ping', () => pings++)
    await waitFor(() => pings > 8, { what: 'many pings' })
    expect(server.server.proxy.metrics().lost).toBe(0)
  })

  it('was not read for long, because this process stood still, it is not dialled anew', async () => {
    const fake = new FakeTime()
    let pausedNs = 0n
    const time: TimeSource = {
      wallNs: () => fake.wallNs() + pausedNs,
      monotonicNs: () => fake.monotonicNs() + pausedNs,
      after: (delayMs, callback) => fake.after(delayMs, callback),
    }
    const target = await socketTarget({
      onSocket: (socket) => socket.send(envelope(true, '1', '{}')),
    })
    const server = await proxyTo(target.address, { subscribe: { pingIntervalMs: 1000 } }, { time })
    await server.subscribe('/p/a')
    const pinged = once(await target.socket(0), 'ping')
    pausedNs = 600_000_000_000n
    fake.advance(1000)
    await pinged
    expect(server.server.proxy.metrics().lost).toBe(0)
  })

  it('never takes the handshake, it is dialled again after the handshake timeout', async () => {
    let dialled = 0
    const mute = createServer((socket) => {
      dialled++
      socket.on('error', () => undefined)
    })
    mute.listen(0, '127.0.0.1')
    await once(mute, 'listening')
    afterTest(() => mute.close())
    const { port } = mute.address() as AddressInfo
    const server = await proxyTo(`127.0.0.1:${port}`, { subscribe: { handshakeTimeoutMs: 50 } })
    const client = await server.subscribe('/p/a', { expectFrame: false })
    await waitFor(() => dialled >= 2, { what: 'a second dial' })
    expect(client.closed).toBeUndefined()
  })

  it('refuses, the client is told, and may come back later', async () => {
    const target = await socketTarget()
    target.status = 404
    const server = await proxyTo(target.address)
    const client = await server.subscribe('/p/a', { expectFrame: false })
    expect(await client.waitClosed()).toEqual({
      code: 4005,
      reason: 'proxy: target unreachable: answered 404',
    })
    target.status = 101
    const next = await server.subscribe('/p/a', { expectFrame: false })
    ;(await target.socket(0)).send(envelope(true, '1', '{}'))
    await next.frame(0)
    expect(server.server.proxy.metrics()).toMatchObject({ givenUp: 1, upstreams: 1 })
  })

  it('is busy for a moment, the client does not notice', async () => {
    const target = await socketTarget()
    target.status = 503
    const server = await proxyTo(target.address)
    const client = await server.subscribe('/p/a', { expectFrame: false })
    await waitFor(() => target.requests.length >= 1, { what: 'the first try' })
    target.status = 101
    ;(await target.socket(0)).send(envelope(true, '1', '{}'))
    await client.frame(0)
    expect(client.closed).toBeUndefined()
  })

  it('stays away longer than the limit, local sockets are closed to be resolved anew', async () => {
    const first = await socketTarget()
    const second = await socketTarget()
    let { address } = first
    const server = await proxyTo('', {
      resolve: () => ({ address, path: 'a' }),
      subscribe: { maxOutageMs: 2000 },
    })
    const client = await server.subscribe('/p/a', { expectFrame: false })
    ;(await first.socket(0)).send(envelope(true, '1', '{}'))
    await client.frame(0)
    first.status = 500
    first.sockets[0]?.terminate()
    expect(await client.waitClosed()).toEqual({
      code: 4005,
      reason: 'proxy: target unreachable: answered 500',
    })
    address = second.address
    const next = await server.subscribe('/p/a', { expectFrame: false })
    ;(await second.socket(0)).send(envelope(true, '2', '{}'))
    await next.frame(0)
  })

  it('is lost and no outage is allowed, local sockets are closed at once', async () => {
    const { target, client } = await live({ subscribe: { maxOutageMs: 0 } })
    target.sockets[0]?.terminate()
    expect((await client.waitClosed()).code).toBe(4005)
    expect(target.sockets).toHaveLength(1)
  })

  it('was lost and everyone leaves meanwhile, it is not dialled any more', async () => {
    const { target, server, client } = await live()
    target.status = 500
    target.sockets[0]?.terminate()
    await waitFor(() => server.server.proxy.metrics().lost >= 1, { what: 'the loss' })
    client.socket.terminate()
    await waitFor(() => server.server.proxy.metrics().upstreams === 0, { what: 'the end' })
    const { length } = target.requests
    const other = await server.subscribe('/p/b', { expectFrame: false })
    await waitFor(() => target.requests.length > length + 1, { what: 'dials for another' })
    expect(target.requests.slice(length).every(({ url }) => url === '/b')).toBe(true)
    other.socket.terminate()
  })
})

describe('a slow subscriber of a proxy', () => {
  it('does not hold up the others, and catches up with one snapshot', async () => {
    const target = await socketTarget()
    const server = await proxyTo(target.address, {}, { maxBufferedBytes: 10_000 })
    const [slow, quick] = [
      await server.subscribe('/p/a', { expectFrame: false }),
      await server.subscribe('/p/a', { expectFrame: false }),
    ]
    const upstream = await target.socket(0)
    upstream.send(envelope(true, '0', '{"s":""}'))
    await slow.frame(0)
    slow.socket.pause()
    const text = 'x'.repeat(200_000)
    const { proxy } = server.server
    let sent = 0
    while (proxy.metrics().framesDropped === 0) {
      sent++
      const value = `"${sent}${text}"`
      upstream.send(envelope(false, `${sent}`, `[{"op":"replace","path":"/s","value":${value}}]`))
      await waitFor(() => quick.version === `${sent}`, { what: `frame ${sent}` })
    }
    slow.socket.resume()
    await waitFor(() => slow.state === quick.state, { what: 'the same state' })
    expect(slow.texts.length).toBeLessThan(quick.texts.length + 1)
    expect(slow.closed).toBeUndefined()
  })

  it('that takes nothing is closed', async () => {
    const target = await socketTarget()
    const limits = { maxBufferedBytes: 1000, slowConsumerTimeoutMs: 100 }
    const server = await proxyTo(target.address, {}, limits)
    const slow = await server.subscribe('/p/a', { expectFrame: false })
    const upstream = await target.socket(0)
    upstream.send(envelope(true, '0', '{"s":""}'))
    await slow.frame(0)
    slow.socket.pause()
    const { proxy } = server.server
    for (let i = 0; proxy.metrics().framesDropped === 0; i++) {
      const patch = `[{"op":"replace","path":"/s","value":"${'y'.repeat(500_000)}"}]`
      upstream.send(envelope(false, `${i}`, patch))
      await waitFor(() => proxy.metrics().framesSent + proxy.metrics().framesDropped > i + 1)
    }
    await waitFor(() => proxy.metrics().slowConsumersClosed === 1, { what: 'the close' })
    slow.socket.terminate()
    await waitFor(() => proxy.metrics().upstreams === 0, { what: 'the end of the upstream' })
  })
})

describe('the end of proxied subscriptions', () => {
  /** Sockets, listeners and timers that keep the process alive. */
  const held = (): string[] =>
    process.getActiveResourcesInfo().filter((kind) => /^(?:TCP|Timeout)/.test(kind))

  it('comes with the close of the server, towards both sides, and they start anew after it', async () => {
    const target = await serve()
    const server = await proxyTo(addressOf(target))
    const client = await server.subscribe('/p/a')
    await server.server.close()
    expect(await client.waitClosed()).toEqual({ code: 1001, reason: 'server is closing' })
    await waitFor(() => target.server.socketCount === 0, { what: 'the end at the target' })
    await server.server.open()
    await server.subscribe('/p/a')
    expect(target.server.socketCount).toBe(1)
  })

  it('leaves no socket and no timer behind, wherever it comes', async () => {
    const before = held()
    const target = await serve()
    const mute = await socketTarget()
    const dead = await deadAddress()
    const server = await serve()
    for (const [name, address] of [
      ['live', addressOf(target)],
      ['dialling', mute.address],
      ['waiting', dead],
    ] as const) {
      server.server.proxy.route({ localPath: `${name}/*`, resolve: (path) => ({ address, path }) })
    }
    const clients = [await server.subscribe('/live/a')]
    for (const path of ['/dialling/a', '/waiting/a']) {
      clients.push(await server.subscribe(path, { expectFrame: false }))
    }
    await server.get('/live/a')
    await mute.socket(0)
    await waitFor(() => server.server.proxy.metrics().lost > 0, { what: 'the failed dial' })
    await server.server.close()
    for (const client of clients) await client.waitClosed()
    expect(server.server.proxy.metrics()).toMatchObject({ upstreams: 0, subscribers: 0 })
    await target.server.close()
    mute.stop()
    await waitFor(() => held().length <= before.length, { what: 'the end of every resource' })
  })

  it('comes when the route is taken out', async () => {
    const target = await serve()
    const server = await serve()
    const remove = server.server.proxy.route({
      localPath: 'p/*',
      resolve: () => ({ address: addressOf(target), path: 'a' }),
    })
    const client = await server.subscribe('/p/a')
    remove()
    expect((await client.waitClosed()).code).toBe(4005)
    await waitFor(() => target.server.socketCount === 0, { what: 'the end at the target' })
  })
})
