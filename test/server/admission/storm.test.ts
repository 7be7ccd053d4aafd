import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { cluster } from '../../../cluster/index.ts'
import { Connection, type ConnectionDown } from '../../../src/client/connection.ts'
import { createClient, createWebSocketTransport } from '../../../src/client/index.ts'
import type { Transport } from '../../../src/core/ports/transport.ts'
import { retryHintMs } from '../../../src/core/retry-hint.ts'
import { createWsTransport } from '../../../src/server/dial/ws-transport.ts'
import { createSystemTime } from '../../../src/server/process/system-time.ts'
import { createServer } from '../../../src/server/server.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { freePort } from '../../support/free-port.ts'
import { request } from '../../support/http.ts'
import { waitFor } from '../../support/wait.ts'
import { afterTest, serve } from '../serve.ts'
import { Caller, get, hold, serveCalmly, until } from './fixtures.ts'

const CLIENTS = 2000
const DEADLINE_MS = 90_000

interface Visitor {
  readonly connection: Connection
  readonly downs: ConnectionDown[]
}

function visitor(url: string, transport: Transport, random = Math.random): Visitor {
  const downs: ConnectionDown[] = []
  const connection = new Connection({
    transport,
    time: createSystemTime(),
    random,
    connectTimeoutMs: DEADLINE_MS,
    backoff: { initialMs: 100, maxMs: 1000 },
    request: () => ({ url }),
    onMessage: () => undefined,
    onDown: (down) => downs.push(down),
  })
  afterTest(() => connection.close())
  connection.open()
  return { connection, downs }
}

const isOpen = ({ connection }: Visitor): boolean => connection.state.kind === 'open'

describe('a storm of clients', () => {
  it(
    'ends with all of them connected, twice, and disturbs nobody who is there',
    async () => {
      const options = {
        storage: new MemoryStorage(),
        port: await freePort(),
        upgradesPerSecond: 500,
        upgradeBurst: 100,
        deadlineMs: DEADLINE_MS,
      }
      const server = createServer(options)
      afterTest(() => server.close())
      await server.open()
      await server.set('a', 1)
      const url = `ws://127.0.0.1:${options.port}/a`
      const transport = createWsTransport({ handshakeTimeoutMs: DEADLINE_MS })
      const early = visitor(url, transport)
      await waitFor(() => isOpen(early), { deadlineMs: DEADLINE_MS })

      const crowd = Array.from({ length: CLIENTS }, () => visitor(url, transport))
      // While they come, requests are answered.
      await waitFor(() => server.admissionMetrics.refused.rate > 0, { deadlineMs: DEADLINE_MS })
      const asked = await request('GET', `http://127.0.0.1:${options.port}/a`)
      expect(asked.status).toBe(200)
      const allOpen = (): boolean => crowd.every(isOpen)
      await waitFor(allOpen, { deadlineMs: DEADLINE_MS, what: 'all clients' })
      expect(early.downs).toEqual([])
      const { subscribers, refused, dropped } = server.admissionMetrics
      expect(subscribers).toBe(CLIENTS + 1)
      expect(refused).toMatchObject({ connections: 0, subscribers: 0, address: 0 })
      expect(dropped).toBe(0)
      // Those that were refused knew when to come back.
      const refusals = crowd.flatMap(({ downs }) => downs)
      expect(refusals).toHaveLength(refused.rate)
      for (const { reason, retryInMs } of refusals) {
        expect(reason).toMatch(/^Unexpected server response: 503; retry in \d+ ms$/)
        expect(retryInMs).toBeGreaterThanOrEqual(retryHintMs(reason) ?? Number.POSITIVE_INFINITY)
      }

      for (const { downs } of crowd) downs.length = 0
      await server.close()
      await waitFor(() => crowd.every(({ downs }) => downs.length > 0), { deadlineMs: DEADLINE_MS })
      // Two thousand at five hundred a second: within four seconds.
      for (const { downs } of crowd) {
        expect(retryHintMs(downs[0]?.reason ?? '') ?? 0).toBeLessThanOrEqual(4010)
      }
      await server.open()
      await waitFor(allOpen, { deadlineMs: DEADLINE_MS, what: 'all clients again' })
      expect(server.admissionMetrics.dropped).toBe(0)
    },
    4 * DEADLINE_MS,
  )

  it('at a node that is full is answered in full when there is a place for all in its reserve', async () => {
    const node = await serveCalmly({ maxConnections: 10 })
    await hold(node, 10)
    const crowd = Array.from({ length: 500 }, () => new Caller(node.port))
    const answers = await Promise.all(crowd.map((caller) => caller.ask(get('/a'))))
    const delays = answers.map(({ headers }) => Number(headers['ooo-retry-after-ms']))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([503]))
    // A hundred a second: five hundred are spread over more than three seconds.
    expect(Math.max(...delays) - Math.min(...delays)).toBeGreaterThan(3000)
    await until(node, ({ surplus }) => surplus === 0)
  })
})

describe('a client that was refused', () => {
  it.each([
    ['the transport of nodes', createWsTransport()],
    ['the class of ws', createWebSocketTransport(WebSocket)],
  ])('waits as long as it was asked to, over %s', async (_name, transport) => {
    const node = await serveCalmly({ maxSubscribers: 1, random: () => 0.5 })
    await node.subscribe('/a')
    const { connection, downs } = visitor(`ws://127.0.0.1:${node.port}/a`, transport, () => 0)
    await waitFor(() => downs.length > 0, { deadlineMs: DEADLINE_MS })
    expect(downs).toEqual([
      {
        code: 1006,
        reason: 'Unexpected server response: 503; retry in 1010 ms',
        retryInMs: 1010,
      },
    ])
    connection.close()
  })

  it('tries a request again when it was asked to', async () => {
    const node = await serveCalmly({ maxConnections: 1, random: () => 0 })
    await node.server.set('a', { n: 1 })
    const [idle] = await hold(node, 1)
    const waits: number[] = []
    const time = createSystemTime()
    const client = createClient({
      url: node.url,
      WebSocket,
      retries: 5,
      retryBackoff: { initialMs: 1, maxMs: 1 },
      requestTimeoutMs: 0,
      time: {
        wallNs: time.wallNs,
        monotonicNs: time.monotonicNs,
        after: (delayMs, callback) => {
          waits.push(delayMs)
          idle?.socket.destroy()
          void until(node, ({ plain }) => plain === 0).then(callback)
          return () => undefined
        },
      },
    })
    expect(await client.get('a')).toMatchObject({ data: { n: 1 } })
    expect(waits).toEqual([1006])
  })
})

describe('a follower', () => {
  it('joins a leader that has no room for clients, and stays in step', async () => {
    const keys = [{ path: 'settings' }]
    const leader = await serve({
      headersTimeoutMs: 0,
      readTimeoutMs: 0,
      maxConnections: 2,
      upgradesPerSecond: 1,
      upgradeBurst: 1,
      plugins: [cluster({ keys })],
    })
    const crowd = await hold(leader, 2)
    const follower = await serve({ plugins: [cluster({ keys, clusterUrl: leader.url })] })
    await follower.server.set('settings', { from: 'follower' })
    await waitFor(async () => (await leader.server.get('settings')) !== undefined, {
      deadlineMs: DEADLINE_MS,
    })
    expect(leader.server.admissionMetrics.peers).toBe(1)
    expect(crowd.map(({ isClosed }) => isClosed)).toEqual([false, false])
  })
})
