import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import * as https from 'node:https'
import { text } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { createClient, type SubscriptionStatus } from '../../../src/client/index.ts'
import { StateError } from '../../../src/core/errors.ts'
import type { LogFields, Logger } from '../../../src/core/ports/logger.ts'
import type { ServerPlugin } from '../../../src/server/contract/plugin.ts'
import { CertificateFolder, NO_OPENSSL } from '../../support/certificates.ts'
import { FakeTime } from '../../support/fake-time.ts'
import { waitFor } from '../../support/wait.ts'
import { afterTest, SocketClient } from '../serve.ts'
import { ask, Caller, DEADLINE_MS, get, hold, serveCalmly, until, upgrade } from './fixtures.ts'

const PEER_PATH = '/_test/stream'

/** Takes sockets of other nodes, which say who they are by a header. */
function peers(): ServerPlugin {
  return {
    name: 'test',
    setup: (host) => {
      host.route({
        ...{ path: PEER_PATH, methods: [], who: 'peer', description: 'test' },
        authorize: ({ headers }) => {
          if (headers['x-member'] === undefined) throw new StateError('unauthorized', 'no member')
        },
        socket: {
          maxMessageBytes: 1000,
          connected: (socket) => ({
            message: (text) => socket.send(`heard ${text}`),
            close: () => undefined,
          }),
        },
      })
    },
  }
}

function expectHint(headers: Readonly<Record<string, string>>, leastMs: number): void {
  const ms = Number(headers['ooo-retry-after-ms'])
  expect(ms).toBeGreaterThanOrEqual(leastMs)
  expect(ms).toBeLessThanOrEqual(60_000)
  expect(headers['retry-after']).toBe(String(Math.max(1, Math.ceil(ms / 1000))))
}

describe('a node with no room for connections', () => {
  it('answers 503 with the time to come back, to requests and handshakes', async () => {
    const node = await serveCalmly({ maxConnections: 3 })
    await node.post('/a', '1')
    await until(node, ({ plain }) => plain === 0)
    await hold(node, 3)
    const refused = await ask(node, get('/a'))
    expect(refused.status).toBe(503)
    expect(refused.body).toMatch(/^ooo: 3 connections are open, the limit is 3; retry in \d+ ms\n$/)
    expect(refused.headers.connection).toBe('close')
    expectHint(refused.headers, 1000)
    const handshake = await upgrade(node, '/a')
    expect(handshake.status).toBe(503)
    expect(handshake.body).toBe(
      `ooo: 3 connections are open, the limit is 3; retry in ${handshake.headers['ooo-retry-after-ms']} ms\n`,
    )
    expectHint(handshake.headers, 1000)
    expect(node.server.admissionMetrics.refused).toMatchObject({ connections: 2, rate: 0 })
  })

  it('serves those that are connected, and others as soon as there is room', async () => {
    const node = await serveCalmly({ maxConnections: 2 })
    const subscriber = await node.subscribe('/a')
    const [kept] = await hold(node, 1)
    expect((await ask(node, get('/a'))).status).toBe(503)
    expect((await kept?.ask(get('/a')))?.status).toBe(404)
    await node.server.set('a', 1)
    await subscriber.frame(1)
    kept?.socket.destroy()
    await until(node, ({ plain }) => plain === 0)
    expect((await ask(node, get('/a'))).status).toBe(200)
  })

  it('answers for its health, for its metrics and to tools, once per connection', async () => {
    const node = await serveCalmly({ maxConnections: 1 })
    await hold(node, 1)
    for (const path of ['/-/healthz', '/-/readyz', '/-/metrics', '/?api=info', '/']) {
      const answer = await ask(node, get(path))
      expect([path, answer.status]).toEqual([path, 200])
      expect(answer.headers.connection).toBe('close')
    }
    expect((await ask(node, get('/-/readyz'))).body).toContain(
      'new clients are refused: 1 connections are open, the limit is 1',
    )
    const batch = 'POST /-/batch HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n[]'
    expect((await ask(node, batch)).status).toBe(503)
    expect((await ask(node, get('/-/writes/x'))).status).toBe(503)
  })

  it('closes without an answer what its reserve has no room for', async () => {
    const node = await serveCalmly({ maxConnections: 1, reservedConnections: 2 })
    await hold(node, 1)
    const surplus = [new Caller(node.port), new Caller(node.port)]
    await until(node, (metrics) => metrics.surplus === 2)
    expect(await new Caller(node.port).closed()).toBe('')
    expect(node.server.admissionMetrics).toMatchObject({ plain: 1, surplus: 2, dropped: 1 })
    expect((await surplus[0]?.ask(get('/a')))?.status).toBe(503)
    await until(node, (metrics) => metrics.surplus === 1)
    expect((await ask(node, get('/-/healthz'))).status).toBe(200)
  })

  it('closes a surplus connection that asks for nothing', async () => {
    const time = new FakeTime()
    const node = await serveCalmly({ maxConnections: 1, time })
    const [kept] = await hold(node, 1)
    const silent = new Caller(node.port)
    await until(node, ({ surplus }) => surplus === 1)
    time.advance(2999)
    expect(silent.isClosed).toBe(false)
    time.advance(1)
    expect(await silent.closed()).toBe('')
    expect(kept?.isClosed).toBe(false)
    await until(node, ({ surplus, dropped }) => surplus === 0 && dropped === 1)
  })

  it.skipIf(NO_OPENSSL !== undefined)('says so over TLS as well', async () => {
    const certificates = new CertificateFolder()
    afterTest(() => certificates.remove())
    const node = await serveCalmly({ maxConnections: 2, tls: certificates.issue('node') })
    const ca = readFileSync(certificates.caFile)
    const subscriber = new SocketClient(`${node.url.replace('https', 'wss')}/a`, [], { ca })
    await subscriber.frame(0)
    await hold(node, 1)
    const visit = async (path: string): Promise<readonly [number | undefined, string]> => {
      const asking = https.get(`${node.url}${path}`, { ca, agent: false })
      const [answer] = (await once(asking, 'response')) as [IncomingMessage]
      return [answer.statusCode, await text(answer)]
    }
    const [status, body] = await visit('/a')
    expect(status).toBe(503)
    expect(body).toContain('2 connections are open')
    expect((await visit('/-/healthz'))[0]).toBe(200)
    expect(node.server.admissionMetrics).toMatchObject({ plain: 1, subscribers: 1 })
  })
})

describe('other nodes', () => {
  it('come in whatever the clients do, and take no room from them', async () => {
    const node = await serveCalmly({
      maxConnections: 2,
      maxSubscribers: 1,
      upgradesPerSecond: 1,
      upgradeBurst: 1,
      plugins: [peers()],
    })
    const [idle] = await hold(node, 1)
    await node.subscribe('/a')
    const member = { headers: { 'X-Member': 'yes' } }
    for (let i = 0; i < 3; i++) expect((await upgrade(node, PEER_PATH, member)).status).toBe(101)
    expect(node.server.admissionMetrics).toMatchObject({ plain: 1, subscribers: 1, peers: 3 })
    expect((await ask(node, get('/a'))).status).toBe(503)
    idle?.socket.destroy()
    await until(node, ({ plain }) => plain === 0)
    expect((await upgrade(node, PEER_PATH, member)).status).toBe(101)
    expect((await ask(node, get('/a'))).status).toBe(404)
  })

  it('do not count for the address that they share with clients', async () => {
    const node = await serveCalmly({ maxConnectionsPerAddress: 1, plugins: [peers()] })
    const member = { headers: { 'X-Member': 'yes' } }
    for (let i = 0; i < 3; i++) expect((await upgrade(node, PEER_PATH, member)).status).toBe(101)
    await hold(node, 1)
    expect((await ask(node, get('/a'))).status).toBe(429)
    expect((await upgrade(node, PEER_PATH, member)).status).toBe(101)
  })

  it('must be nodes: who is not keeps no place among them', async () => {
    const node = await serveCalmly({ maxConnections: 1, plugins: [peers()] })
    await hold(node, 1)
    expect((await upgrade(node, PEER_PATH)).status).toBe(401)
    await until(node, (metrics) => metrics.peers === 0 && metrics.surplus === 0)
  })
})

describe('subscribers', () => {
  it('beyond the limit are refused with 503, while those there are served and requests too', async () => {
    const node = await serveCalmly({ maxSubscribers: 2 })
    const [first, second] = [
      await node.subscribe('/a'),
      await node.subscribe('/', { expectFrame: false }),
    ]
    for (const path of ['/a', '/', '/items/*']) {
      const refused = await upgrade(node, path)
      expect(refused.status).toBe(503)
      expect(refused.body).toMatch(
        /^ooo: 2 subscribers are connected, the limit is 2; retry in \d+ ms\n$/,
      )
      expectHint(refused.headers, 1000)
    }
    expect((await node.post('/a', '{"n":1}')).status).toBe(200)
    await first.frame(1)
    expect((await node.get('/-/readyz')).body).toContain('2 subscribers are connected')
    second.socket.close()
    await until(node, ({ subscribers }) => subscribers === 1)
    await node.subscribe('/a')
    expect(node.server.admissionMetrics).toMatchObject({
      subscribers: 2,
      admitted: 3,
      refused: { subscribers: 3 },
    })
  })

  it('take no place that they do not get: a refused handshake gives it back', async () => {
    const node = await serveCalmly({ maxSubscribers: 1 })
    for (let i = 0; i < 3; i++) {
      expect((await upgrade(node, '/a:b')).status).toBe(404)
      await until(node, ({ subscribers }) => subscribers === 0)
    }
    await node.subscribe('/a')
  })

  it('that come too fast are refused with 503, and let in at the rate', async () => {
    const time = new FakeTime()
    const node = await serveCalmly({ upgradesPerSecond: 10, upgradeBurst: 2, time })
    expect((await upgrade(node, '/a')).status).toBe(101)
    expect((await upgrade(node, '/a')).status).toBe(101)
    const refused = await upgrade(node, '/a')
    expect(refused.status).toBe(503)
    expect(refused.body).toMatch(
      /^ooo: more than 10 new subscribers a second, which is the limit; retry in \d+ ms\n$/,
    )
    expectHint(refused.headers, 100)
    expect((await node.get('/a')).status).toBe(404)
    time.advance(100)
    expect((await upgrade(node, '/a')).status).toBe(101)
    expect((await upgrade(node, '/a')).status).toBe(503)
    expect(node.server.admissionMetrics).toMatchObject({ admitted: 3, refused: { rate: 2 } })
  })

  it('are told ever longer times, the more of them are refused', async () => {
    const time = new FakeTime()
    const random = (): number => 0
    const node = await serveCalmly({ upgradesPerSecond: 10, upgradeBurst: 1, time, random })
    await upgrade(node, '/a')
    const delays: number[] = []
    for (let i = 0; i < 5; i++) {
      const { headers } = await upgrade(node, '/a')
      delays.push(Number(headers['ooo-retry-after-ms']))
    }
    expect(delays).toEqual([166, 233, 300, 366, 433])
    time.advance(10_000)
    await upgrade(node, '/a')
    expect((await upgrade(node, '/a')).headers['ooo-retry-after-ms']).toBe('166')
  })
})

describe('a storm of refusals', () => {
  it('is one line in the log for each reason and minute', async () => {
    const lines: LogFields[] = []
    const logger: Logger = {
      debug: () => undefined,
      info: () => undefined,
      error: () => undefined,
      warn: (message, fields = {}) => {
        if (message === 'clients are refused') lines.push(fields)
      },
    }
    const time = new FakeTime()
    const node = await serveCalmly({ maxSubscribers: 1, time, logger })
    await node.subscribe('/a')
    for (let i = 0; i < 5; i++) await upgrade(node, '/a')
    const because = '1 subscribers are connected, the limit is 1'
    expect(lines).toEqual([{ code: 'subscribers', because, refused: 1 }])
    time.advance(59_000)
    await upgrade(node, '/a')
    time.advance(1000)
    await upgrade(node, '/a')
    expect(lines).toEqual([
      { code: 'subscribers', because, refused: 1 },
      { code: 'subscribers', because, refused: 7, leftOut: 5 },
    ])
  })

  it('is counted in the metrics', async () => {
    const node = await serveCalmly({ maxSubscribers: 1 })
    await node.subscribe('/a')
    await upgrade(node, '/a')
    const { status, body, headers } = await node.get('/-/metrics')
    expect(status).toBe(200)
    expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(body).toContain('# TYPE ooo_refused_total counter\n')
    for (const line of [
      'ooo_connections{kind="subscriber"} 1',
      'ooo_subscribers_admitted_total 1',
      'ooo_refused_total{reason="connections"} 0',
      'ooo_refused_total{reason="subscribers"} 1',
      'ooo_refused_total{reason="address"} 0',
      'ooo_refused_total{reason="rate"} 0',
      'ooo_connections_dropped_total 0',
      'ooo_sockets_open 1',
    ]) {
      expect(body.split('\n')).toContain(line)
    }
    expect((await node.post('/-/metrics', '1')).status).toBe(405)
  })
})

describe('the close of a server', () => {
  it('tells each subscriber when to come back', async () => {
    const draws = [0, 0.5, 0.999]
    const random = (): number => draws.shift() ?? 0
    const node = await serveCalmly({ upgradesPerSecond: 1, random })
    const clients = []
    for (let i = 0; i < 3; i++) clients.push(await node.subscribe('/a'))
    await node.server.close()
    const closes = await Promise.all(clients.map((client) => client.waitClosed()))
    expect(closes.map(({ code }) => code)).toEqual([1001, 1001, 1001])
    const reasons = closes.map(({ reason }) => reason).sort()
    expect(reasons).toEqual(
      [0, 1500, 2997].map((ms) => `server is closing; retry in ${ms} ms`).sort(),
    )
  })

  it('is heeded by clients', async () => {
    const node = await serveCalmly({ upgradesPerSecond: 1, random: () => 0.9999 })
    const seen: SubscriptionStatus[] = []
    const client = createClient({
      url: node.url,
      WebSocket,
      reconnectBackoff: { initialMs: 1, maxMs: 1 },
    })
    const subscription = client.subscribe('a', {
      onState: () => undefined,
      onStatus: (status) => seen.push(status),
    })
    afterTest(() => subscription.close())
    await waitFor(() => subscription.status.kind === 'live', { deadlineMs: DEADLINE_MS })
    await node.server.close()
    const lost = await waitFor(() => seen.find(({ kind }) => kind === 'offline'), {
      deadlineMs: DEADLINE_MS,
    })
    const reason = 'server is closing; retry in 999 ms'
    expect(lost).toEqual({ kind: 'offline', retryInMs: 999, reason })
  })
})
