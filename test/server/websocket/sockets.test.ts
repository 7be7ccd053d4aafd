import { once } from 'node:events'
import * as net from 'node:net'
import { describe, expect, it } from 'vitest'
import { request } from '../../support/http.ts'
import { SeededRandom } from '../../support/seeded-random.ts'
import { waitFor } from '../../support/wait.ts'
import { afterTest, handshake, SocketClient, serve, type TestServer } from '../serve.ts'

/** A bare connection whose handshake on `path` is answered with 101; its bytes can be sent as they are. */
async function rawSocket(node: TestServer, path: string): Promise<RawSocket> {
  const raw = new RawSocket(net.connect(node.port, '127.0.0.1'))
  raw.socket.write(handshake(path))
  await waitFor(() => raw.bytes().includes('\r\n\r\n'))
  expect(raw.bytes().toString('latin1')).toMatch(/^HTTP\/1\.1 101 /)
  return raw
}

class RawSocket {
  readonly socket: net.Socket
  readonly #chunks: Buffer[] = []
  closed = false

  constructor(socket: net.Socket) {
    this.socket = socket
    afterTest(() => socket.destroy())
    socket.on('data', (chunk) => this.#chunks.push(chunk))
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.closed = true
    })
  }

  bytes(): Buffer {
    return Buffer.concat(this.#chunks)
  }

  /** The code of the last close frame that came. */
  closeCode(): number | undefined {
    const bytes = this.bytes()
    const at = bytes.lastIndexOf(0x88)
    return at === -1 || at + 4 > bytes.length ? undefined : bytes.readUInt16BE(at + 2)
  }
}

/** A client frame, masked with zeros. */
function frame(firstByte: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([Buffer.from([firstByte, 0x80 | payload.length, 0, 0, 0, 0]), payload])
}

describe('what a client may not send', () => {
  it.each([
    ['an unmasked frame', Buffer.from([0x82, 0x01, 0x00]), 1002],
    ['a reserved bit', frame(0xc2), 1002],
    ['an unknown opcode', frame(0x83), 1002],
    ['a continuation of nothing', frame(0x80), 1002],
    ['a fragmented ping', frame(0x09), 1002],
    ['a close frame with half a code', frame(0x88, Buffer.from([3])), 1002],
    ['text that is not UTF-8', frame(0x81, Buffer.from([0xff])), 1007],
    [
      'a message of 16 EiB',
      Buffer.from([0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
      1009,
    ],
  ])('%s ends its own connection with the code for it', async (_name, bytes, code) => {
    const node = await serve()
    const other = await node.subscribe('/a')
    const raw = await rawSocket(node, '/a')
    raw.socket.write(bytes)
    await waitFor(() => raw.closed)
    expect(raw.closeCode()).toBe(code)
    await node.post('/a', '1')
    await other.frame(1)
    expect(node.server.socketCount).toBe(1)
  })

  it('random bytes, however they come, end only their own connection', async () => {
    const node = await serve()
    const other = await node.subscribe('/a')
    const random = new SeededRandom(20_260_101)
    for (let i = 0; i < 100; i++) {
      const raw = await rawSocket(node, i % 2 === 0 ? '/a' : '/')
      const length = 1 + random.below(200)
      raw.socket.write(Buffer.from(Array.from({ length }, () => random.below(256))))
      raw.socket.end()
    }
    await waitFor(() => node.server.socketCount === 1)
    await node.post('/a', '1')
    await other.frame(1)
  })
})

describe('a connection that is dead', () => {
  it('is found although its network never says so', async () => {
    const node = await serve({ pingIntervalMs: 50, pongTimeoutMs: 200 })
    const raw = await rawSocket(node, '/a')
    raw.socket.pause()
    await waitFor(() => node.server.socketCount === 0)
    expect(node.server.socketMetrics.droppedSilent).toBe(1)
    expect(node.server.hub.metrics().pools).toBe(0)
  })

  it('is dropped when it talks but takes nothing of what waits for it', async () => {
    const node = await serve({ wsWriteTimeoutMs: 300, maxBufferedBytes: 1024 * 1024 * 1024 })
    const other = await node.subscribe('/a')
    const raw = await rawSocket(node, '/a')
    raw.socket.pause()
    const talking = setInterval(() => raw.socket.write(frame(0x8a)), 50)
    afterTest(() => clearInterval(talking))
    const big = JSON.stringify('x'.repeat(1024 * 1024))
    // More than the buffers of both kernels take.
    for (let i = 0; i < 12; i++) await node.post('/a', i % 2 === 0 ? big : '1')
    await waitFor(() => node.server.socketCount === 1)
    expect(node.server.socketMetrics).toMatchObject({
      open: 1,
      droppedStalled: 1,
      droppedSilent: 0,
    })
    expect(other.closed).toBeUndefined()
  })
})

describe('a connection on a slow line', () => {
  it('gets a frame that takes far longer than the write timeout', async () => {
    const maxValueBytes = 64 * 1024 * 1024
    const node = await serve({
      wsWriteTimeoutMs: 800,
      slowConsumerTimeoutMs: 60_000,
      maxValueBytes,
    })
    const json = JSON.stringify('x'.repeat(48 * 1024 * 1024))
    await node.server.store.set('a', json)
    const socket = net.connect(node.port, '127.0.0.1')
    let [taken, allowed] = [0, 0]
    socket.on('data', (chunk) => {
      taken += chunk.length
      if (taken > allowed) socket.pause()
    })
    const start = performance.now()
    socket.write(handshake('/a'))
    const reading = setInterval(() => {
      allowed += 1024 * 1024
      socket.resume()
    }, 50)
    afterTest(() => {
      clearInterval(reading)
      socket.destroy()
    })
    await waitFor(() => taken > json.length || socket.closed, {
      deadlineMs: 60_000,
    })
    expect(node.server.socketMetrics).toMatchObject({ open: 1, droppedStalled: 0 })
    expect(performance.now() - start).toBeGreaterThan(1600)
  })
})

describe('many connections', () => {
  it('that come and go at once leave nothing behind', { timeout: 600_000 }, async () => {
    const node = await serve()
    await node.post('/a', '1')
    const visit = async (i: number): Promise<void> => {
      const path = ['/a', '/b/*', '/'][i % 3] ?? '/'
      const socket = net.connect(node.port, '127.0.0.1')
      socket.on('error', () => undefined)
      await once(socket, 'connect')
      socket.write(i % 5 === 0 ? handshake(path).slice(0, 60) : handshake(path))
      if (i % 2 === 0)
        await once(socket, 'data', { signal: AbortSignal.timeout(50) }).catch(() => 0)
      socket.destroy()
    }
    const wave = async (count: number): Promise<number> => {
      for (let i = 0; i < count; i += 50) {
        await Promise.all(Array.from({ length: 50 }, (_, j) => visit(i + j)))
      }
      await waitFor(() => {
        const { open, pending } = node.server.socketMetrics
        return open + pending + node.server.hub.metrics().pools === 0
      })
      globalThis.gc?.()
      return process.memoryUsage().rss
    }
    const before = await wave(500)
    const after = await wave(2000)
    expect(after - before).toBeLessThan(100 * 1024 * 1024)
    expect(node.server.hub.metrics().subscribers).toBe(0)
    expect((await node.get('/a')).status).toBe(200)
  })
})

describe('addresses', () => {
  it('of both families reach a server on ::', async () => {
    const node = await serve({ host: '::', open: true })
    for (const host of ['127.0.0.1', '[::1]']) {
      const answer = await request('GET', `http://${host}:${node.port}/-/healthz`)
      expect(answer.body).toBe('ok')
      const client = new SocketClient(`ws://${host}:${node.port}/a`)
      await client.frame(0)
    }
    expect(node.url).toBe(`http://[::]:${node.port}`)
  })
})

it('asset names of the older web UI are the clock, as `/` is', async () => {
  const node = await serve()
  const client = new SocketClient(`ws://127.0.0.1:${node.port}/favicon.ico`)
  expect(await client.text(0)).toMatch(/^\d{19}$/)
})

describe('middleware', () => {
  it('refuses a handshake by what it throws, or by not passing it on', async () => {
    const node = await serve()
    const { StateError } = await import('../../../src/core/errors.ts')
    const refusals: (() => void | Promise<void>)[] = [
      () => {
        throw new StateError('unauthorized', 'who are you')
      },
      () => Promise.resolve(),
    ]
    const seen: (string | undefined)[] = []
    node.server.use((incoming, response, next) => {
      seen.push(incoming.url)
      expect(response).toBeUndefined()
      return refusals.shift()?.() ?? next()
    })
    const outcome = async (): Promise<string> => {
      const raw = new RawSocket(net.connect(node.port, '127.0.0.1'))
      raw.socket.write(handshake('/a'))
      await waitFor(() => raw.bytes().includes('\r\n\r\n'))
      return raw.bytes().toString('latin1').split('\r\n')[0] ?? ''
    }
    expect(await outcome()).toBe('HTTP/1.1 401 Unauthorized')
    expect(await outcome()).toBe('HTTP/1.1 403 Forbidden')
    expect(await outcome()).toBe('HTTP/1.1 101 Switching Protocols')
    expect(seen).toEqual(['/a', '/a', '/a'])
  })
})
