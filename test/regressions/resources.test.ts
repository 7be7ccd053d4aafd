/** Reads, slow clients and hostile connections cost the server nothing that stays. */
import { once } from 'node:events'
import * as net from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { afterTest, handshake, SocketClient, serve, type TestServer } from '../server/serve.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { waitFor } from '../support/wait.ts'

const READS = 20_000
const PARALLEL = 50

describe('plain reads', () => {
  it('leave nothing behind, however many keys are asked for', async () => {
    const server = await serve()
    const read = await reader(server)
    await read(2000, 'warm')
    const before = usedHeap()
    await read(READS, 'random')
    expect(server.server.hub.metrics()).toMatchObject({ pools: 0, subscribers: 0 })
    // A pool per key would be several hundred bytes each: some 10 MB.
    await waitFor(() => usedHeap() - before < 4 * 1024 * 1024, { what: 'the heap to be small' })
  }, 60_000)
})

describe('the clock', () => {
  it('does not wait for a client that reads nothing', async () => {
    const server = await serve({ tickMs: 5 })
    for (let i = 0; i < 10; i++) {
      const slow = new SocketClient(`ws://127.0.0.1:${server.port}/`)
      await slow.opened
      slow.socket.pause()
    }
    const quick = new SocketClient(`ws://127.0.0.1:${server.port}/`)
    await quick.text(50)
    expect(quick.closed).toBeUndefined()
  })
})

describe('a hostile connection', () => {
  it('of random bytes ends alone', async () => {
    const server = await serve()
    const watcher = await server.subscribe('/a')
    const random = new SeededRandom(1)
    const bytes = (length: number): Buffer =>
      Buffer.from(Array.from({ length }, () => random.below(256)))
    for (let i = 0; i < 40; i++) {
      const socket = await raw(server)
      const closed = once(socket, 'close')
      // Half of them speak HTTP up to the upgrade, and frames of nonsense after it.
      if (i % 2 === 0) {
        socket.write(handshake('/a'))
        await once(socket, 'data')
      }
      socket.write(bytes(1 + random.below(2000)))
      socket.end()
      await closed
    }
    await stillServes(server, watcher)
  })

  it('with an oversized frame is closed, before the frame has come', async () => {
    const server = await serve()
    const watcher = await server.subscribe('/a')
    const socket = await raw(server)
    const closed = once(socket, 'close')
    socket.write(handshake('/a'))
    await once(socket, 'data')
    // A binary frame that announces 2^40 bytes.
    socket.write(Buffer.from([0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4]))
    await closed
    await stillServes(server, watcher)
  })

  it('that is left half-open is dropped', async () => {
    const server = await serve({ pingIntervalMs: 20, pongTimeoutMs: 200 })
    const watcher = await server.subscribe('/a')
    const sockets = await Promise.all(Array.from({ length: 20 }, () => raw(server)))
    for (const socket of sockets) socket.write(handshake('/a'))
    await waitFor(() => server.server.socketCount === 21, { what: 'all sockets to be open' })
    for (const socket of sockets) socket.pause()
    await waitFor(() => server.server.socketCount === 1, { what: 'the silent ones to be dropped' })
    await stillServes(server, watcher)
  })

  it('is no trouble a thousand times over', async () => {
    const server = await serve()
    const watcher = await server.subscribe('/a')
    for (let i = 0; i < 1000; i += PARALLEL) {
      const sockets = await Promise.all(Array.from({ length: PARALLEL }, () => raw(server)))
      for (const [j, socket] of sockets.entries()) {
        if (j % 3 === 0) socket.write(handshake('/b'))
        if (j % 3 === 1) socket.write('GET /b HT')
        socket.destroy()
      }
    }
    await waitFor(() => server.server.socketCount === 1, { what: 'the sockets to be forgotten' })
    expect(server.server.hub.metrics()).toMatchObject({ subscribers: 1 })
    await stillServes(server, watcher)
  })
})

/** Reads that many keys and lists that no one has written, on one connection and with little garbage. */
async function reader(server: TestServer): Promise<(count: number, name: string) => Promise<void>> {
  const socket = await raw(server)
  let answers = 0
  let tail = ''
  socket.on('data', (chunk: Buffer) => {
    const text = tail + chunk.toString('latin1')
    answers += text.split('HTTP/1.1 ').length - 1
    // A status line may be cut between two chunks.
    tail = text.slice(1 - 'HTTP/1.1 '.length)
  })
  return async (count, name) => {
    for (let i = 0; i < count; i += PARALLEL) {
      const wanted = answers + PARALLEL
      for (let j = 0; j < PARALLEL; j++) {
        const path = `/${name}/${i + j}${j % 2 === 0 ? '' : '/*'}`
        socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`)
      }
      await waitFor(() => answers >= wanted, { what: `answer ${wanted}`, intervalMs: 1 })
    }
  }
}

async function raw(server: TestServer): Promise<net.Socket> {
  const socket = net.connect(server.port, '127.0.0.1')
  afterTest(() => socket.destroy())
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  // What nobody reads would keep the end of the connection from being seen.
  socket.resume()
  return socket
}

async function stillServes(server: TestServer, watcher: SocketClient): Promise<void> {
  const seen = watcher.texts.length
  expect((await server.post('/a', `${seen}`)).status).toBe(200)
  await watcher.frame(seen)
  expect(watcher.closed).toBeUndefined()
}

function usedHeap(): number {
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  collectGarbage()
  return process.memoryUsage().heapUsed
}
