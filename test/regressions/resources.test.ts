/** Reads, slow clients and hostile connections cost the server nothing that stays. */
import { once } from 'node:events'
import { IncomingMessage } from 'node:http'
import * as net from 'node:net'
import { Duplex } from 'node:stream'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { type WebSocket, WebSocketServer } from 'ws'
import { ClockSocket } from '../../src/server/connections/clock-socket.ts'
import { afterTest, handshake, type SocketClient, serve, type TestServer } from '../server/serve.ts'
import { FakeTime } from '../support/fake-time.ts'
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
    expect(server.server.hub.metrics()).toMatchObject({ pools: 0, idlePools: 0, subscribers: 0 })
    // An object per key would be a hundred bytes each and more: some 2 MB. It comes to a tenth of one.
    await waitFor(() => usedHeap() - before < 1024 * 1024, { what: 'the heap to be small' })
  }, 300_000)
})

describe('the clock', () => {
  it('neither waits for a client that reads nothing nor keeps its ticks', () => {
    const time = new FakeTime()
    const clock = new ClockSocket(time, 1000, () => time.wallNs())
    const stuck = new Line(true)
    const quick = new Line(false)
    for (const line of [stuck, quick]) clock.add(accept(line))
    for (let i = 1; i <= 1000; i++) {
      time.advance(1000)
      expect(quick.taken).toContain(`${time.wallNs()}`)
    }
    expect(stuck.writableLength).toBeLessThan(2048)
    stuck.isStuck = false
    stuck.release()
    time.advance(1000)
    expect(stuck.taken).toContain(`${time.wallNs()}`)
    clock.stop()
    expect(time.pending).toBe(0)
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

  it('is no trouble ten thousand times over', { timeout: 600_000 }, async () => {
    const server = await serve()
    const watcher = await server.subscribe('/a')
    for (let i = 0; i < 10_000; i += PARALLEL) {
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

/** A connection whose other end takes what is written, or takes nothing. */
class Line extends Duplex {
  /** What the other end took last. */
  taken = ''
  isStuck: boolean
  release: () => void = () => undefined

  constructor(isStuck: boolean) {
    super()
    this.isStuck = isStuck
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.release = done
    this.taken = chunk.toString('latin1')
    if (!this.isStuck) done()
  }
}

/** The server's end of a WebSocket over that line. */
function accept(line: Line): WebSocket {
  const request = new IncomingMessage(new net.Socket())
  request.method = 'GET'
  request.headers = {
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  }
  const accepted: WebSocket[] = []
  const handshaker = new WebSocketServer({ noServer: true })
  handshaker.handleUpgrade(request, line, Buffer.alloc(0), (socket) => accepted.push(socket))
  const [webSocket] = accepted
  if (webSocket === undefined) throw new Error('the handshake was refused')
  return webSocket
}

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
