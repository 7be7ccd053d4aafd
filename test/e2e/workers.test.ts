/** A node whose subscribers are served by worker processes: to clients it is as any other. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import * as net from 'node:net'
import { beforeAll, describe, expect, it } from 'vitest'
import type * as Api from '../../src/index.ts'
import { createSystemTime } from '../../src/server/process/system-time.ts'
import type * as Memory from '../../storage-adapters/memory/memory.ts'
import { canonicalText } from '../quick/core/exact-apply.ts'
import { afterTest, handshake, SocketClient, TestServer } from '../server/serve.ts'
import { PROJECT_ROOT, prepareBuild } from '../support/built.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { waitFor } from '../support/wait.ts'

const built = async <T>(path: string): Promise<T> => import(`${PROJECT_ROOT}/dist/${path}.js`)

beforeAll(prepareBuild)

/** Workers are programs of the built package, so that is what runs here. */
async function serve(options: Partial<Api.ServerOptions> = {}): Promise<TestServer> {
  const { createServer } = await built<typeof Api>('src/index')
  const { MemoryStorage } = await built<typeof Memory>('storage-adapters/memory/memory')
  const server = createServer({ storage: new MemoryStorage(), port: 0, workers: 2, ...options })
  afterTest(() => server.close())
  await server.open()
  return new TestServer(server)
}

async function expectStates(node: TestServer, clients: Map<SocketClient, string>): Promise<void> {
  for (const [client, path] of clients) {
    const { body } = await node.get(path)
    await waitFor(() => client.state === canonicalText(body), { what: `${path} to be as read` })
  }
}

/** The processes that this one has started and that still run. */
function children(): number[] {
  const lines = execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(process.pid)], {
    encoding: 'utf8',
  })
  return lines
    .split('\n')
    .filter((line) => line.includes('workers/process.js'))
    .map((line) => Number.parseInt(line, 10))
}

/** A client that holds what another does, and says so. */
function resume(node: TestServer, { state, version }: SocketClient): SocketClient {
  const client = new SocketClient(`${node.url.replace('http', 'ws')}/a?v=${version}`)
  client.state = state
  client.version = version
  return client
}

describe('subscribers in worker processes', () => {
  it('hold what the node answers, whenever they came', async () => {
    const node = await serve()
    const random = new SeededRandom(20_261_101)
    const paths = ['/a/*', '/a/1', '/b']
    const clients = new Map<SocketClient, string>()
    for (let i = 0; i < 300; i++) {
      if (i % 6 === 0) {
        const path = random.pick(paths)
        clients.set(await node.subscribe(path), path)
      }
      const key = random.pick(['/a/1', '/a/2', `/a/n${i}`, '/b'])
      if (random.chance(0.1)) await node.request('DELETE', key)
      else await node.post(key, JSON.stringify({ i, text: 'x'.repeat(random.below(400)) }))
    }
    await expectStates(node, clients)
    expect(node.server.socketCount).toBe(clients.size)
    expect(node.server.socketMetrics.workers).toBe(2)
    await waitFor(() => node.server.hub.metrics().framesSent > 300)
  })

  it('resume with ?v= without a frame when nothing changed, with what they missed when it did', async () => {
    const node = await serve()
    await node.post('/a', '{"n":1}')
    const first = await node.subscribe('/a')
    const again = resume(node, first)
    await again.opened
    await node.post('/a', '{"n":2}')
    expect((await again.frame(0)).snapshot).toBe(false)
    await first.frame(1)
    expect(again.state).toBe(first.state)
    const late = resume(node, again)
    await node.post('/a', '{"n":3}')
    expect((await late.frame(0)).snapshot).toBe(false)
    expect(late.state).toContain('"n":3')
  })

  it('do not wait for one that reads nothing, which is closed with the code for it', async () => {
    const node = await serve({ maxBufferedBytes: 1000, slowConsumerTimeoutMs: 300 })
    const quick = await node.subscribe('/a')
    const slow = await node.subscribe('/a')
    slow.socket.pause()
    // More than the buffers of both kernels take.
    const big = JSON.stringify('x'.repeat(1024 * 1024))
    for (let i = 0; i < 14; i++) await node.post('/a', i % 2 === 0 ? big : `${i}`)
    await waitFor(() => quick.state?.includes('"data":13'))
    await waitFor(() => node.server.socketCount === 1, { deadlineMs: 30_000 })
    await waitFor(() => node.server.hub.metrics().slowConsumersClosed === 1)
    slow.socket.resume()
    await slow.waitClosed()
  })

  it('are pinged, and dropped when they are silent', async () => {
    const node = await serve({ pingIntervalMs: 50, pongTimeoutMs: 300 })
    const client = await node.subscribe('/a')
    await waitFor(() => client.pings > 1)
    const silent = net.connect(node.port, '127.0.0.1')
    afterTest(() => silent.destroy())
    silent.write(handshake('/a'))
    await once(silent, 'data')
    await waitFor(() => node.server.socketCount === 2)
    silent.pause()
    await waitFor(() => node.server.socketCount === 1, { deadlineMs: 30_000 })
    await waitFor(() => node.server.socketMetrics.droppedSilent === 1)
    expect(client.closed).toBeUndefined()
  })

  it('leave nothing behind when they go, and the hooks hear of it', async () => {
    const node = await serve()
    const left: string[] = []
    node.server.hooks.on('unsubscribe', (key) => {
      left.push(key)
    })
    const clients = await Promise.all(
      Array.from({ length: 20 }, (_, i) => node.subscribe(`/k${i % 4}`)),
    )
    expect(node.server.hub.describe().map(({ connections }) => connections)).toEqual([5, 5, 5, 5])
    for (const client of clients) client.socket.close()
    await waitFor(() => node.server.socketCount === 0)
    await waitFor(() => left.length === 20)
    expect(node.server.hub.metrics()).toMatchObject({ pools: 0, subscribers: 0 })
  })

  it('stay in the serving process when their state is larger than a worker may be sent', async () => {
    const node = await serve({ workers: 1 })
    const large = JSON.stringify('x'.repeat(9 * 1024 * 1024))
    for (let i = 0; i < 4; i++) await node.post(`/large/${i}`, large)
    const ofLarge = await node.subscribe('/large/*')
    const ofSmall = await node.subscribe('/a')
    const [worker] = children()
    if (worker === undefined) throw new Error('no worker runs')
    process.kill(worker, 'SIGKILL')
    await ofSmall.waitClosed()
    await node.post('/large/4', '1')
    expect((await ofLarge.frame(1)).snapshot).toBe(false)
    expect(ofLarge.closed).toBeUndefined()
  })

  it('are told 1001 when the server closes, and the workers end', async () => {
    const node = await serve()
    const clients = await Promise.all(Array.from({ length: 6 }, () => node.subscribe('/a')))
    await node.server.close()
    for (const client of clients) expect((await client.waitClosed()).code).toBe(1001)
    await waitFor(() => children().length === 0)
  })
})

describe('a worker that is killed', () => {
  it('takes only its own connections with it, and is replaced', async () => {
    const node = await serve()
    const clients = await Promise.all(Array.from({ length: 10 }, () => node.subscribe('/a')))
    const [victim] = children()
    if (victim === undefined) throw new Error('no worker runs')
    process.kill(victim, 'SIGKILL')
    await waitFor(() => clients.filter(({ closed }) => closed !== undefined).length === 5)
    await waitFor(() => node.server.socketCount === 5)
    await node.post('/a', '1')
    for (const client of clients.filter(({ closed }) => closed === undefined)) {
      await waitFor(() => client.state?.includes('"data":1') === true)
    }
    const back = await node.subscribe('/a')
    expect(back.state).toContain('"data":1')
    await waitFor(() => node.server.socketMetrics.workers === 2, { deadlineMs: 30_000 })
    expect(node.server.socketMetrics.workersLost).toBe(1)
  })

  it('does not keep the server from closing', async () => {
    const node = await serve({ workers: 1 })
    const client = await node.subscribe('/a')
    const [victim] = children()
    if (victim === undefined) throw new Error('no worker runs')
    process.kill(victim, 'SIGKILL')
    await client.waitClosed()
    await waitFor(() => node.server.socketMetrics.workersLost === 1)
    await waitFor(() => node.server.socketMetrics.workers === 1, { deadlineMs: 30_000 })
    await node.server.close()
    expect(children()).toEqual([])
  })

  it('is started again ever later when it ends as soon as it takes connections', async () => {
    const delays: number[] = []
    const quiet = (): void => undefined
    const error = (_message: string, { delayMs }: Record<string, unknown> = {}): void => {
      delays.push(Number(delayMs))
    }
    const logger = { debug: quiet, info: quiet, warn: quiet, error }
    const node = await serve({ workers: 1, logger })
    for (let ends = 1; ends <= 3; ends++) {
      await waitFor(() => node.server.socketMetrics.workers === 1, { deadlineMs: 30_000 })
      for (const pid of children()) process.kill(pid, 'SIGKILL')
      await waitFor(() => delays.length === ends, { deadlineMs: 30_000 })
    }
    expect(delays).toEqual(delays.toSorted((a, b) => a - b))
    expect(delays[2]).toBeGreaterThanOrEqual(600)
  })

  it('is not missed: without any, the serving process takes the connections', async () => {
    const node = await serve({ workers: 1 })
    const [victim] = children()
    if (victim === undefined) throw new Error('no worker runs')
    process.kill(victim, 'SIGKILL')
    await waitFor(() => node.server.socketMetrics.workersLost === 1)
    const client = await node.subscribe('/a')
    await node.post('/a', '1')
    await waitFor(() => client.state?.includes('"data":1') === true)
  })
})

describe('a worker that hangs', () => {
  it('does not hold up the end of the server, and ends with it', async () => {
    const node = await serve({ workers: 1 })
    await node.subscribe('/a')
    const [victim] = children()
    if (victim === undefined) throw new Error('no worker runs')
    process.kill(victim, 'SIGSTOP')
    afterTest(() => resumeProcess(victim))
    await node.server.close()
    await waitFor(() => children().length === 0)
  })

  it('is ended and replaced; its clients are told, and come back', {
    timeout: 120_000,
  }, async () => {
    const system = createSystemTime()
    // The fleet looks at its workers every five seconds: here every second.
    const time = {
      wallNs: () => system.wallNs(),
      monotonicNs: () => system.monotonicNs(),
      after: (ms: number, run: () => void) => system.after(ms === 5000 ? 1000 : ms, run),
    }
    const node = await serve({ workers: 1, time })
    const client = await node.subscribe('/a')
    const [victim] = children()
    if (victim === undefined) throw new Error('no worker runs')
    process.kill(victim, 'SIGSTOP')
    afterTest(() => resumeProcess(victim))
    await waitFor(() => client.closed, { deadlineMs: 60_000, what: 'the end of the connection' })
    await waitFor(() => node.server.socketMetrics.workers === 1, { deadlineMs: 60_000 })
    expect(children()).not.toContain(victim)
    const back = await node.subscribe('/a')
    await node.post('/a', '1')
    await waitFor(() => back.state?.includes('"data":1') === true)
  })
})

/** So that a worker which a failed test has left does not stay for ever. */
function resumeProcess(pid: number): void {
  if (children().includes(pid)) process.kill(pid, 'SIGCONT')
}
