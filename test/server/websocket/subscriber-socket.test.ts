/** A subscriber's socket on a real connection whose peer does what it should not. */
import { once } from 'node:events'
import * as net from 'node:net'
import { describe, expect, it } from 'vitest'
import { FrameBatch } from '../../../src/fanout/frames/batch.ts'
import { createSystemTime } from '../../../src/server/process/system-time.ts'
import { SubscriberSocket } from '../../../src/server/websocket/subscriber-socket.ts'
import { waitFor } from '../../support/wait.ts'
import { afterTest } from '../serve.ts'

/** More than the buffers of both kernels take. */
const BIG = new FrameBatch([Buffer.alloc(32 * 1024 * 1024)], undefined)

interface Pair {
  readonly socket: SubscriberSocket
  /** Reads nothing until it is told to. */
  readonly peer: net.Socket
}

async function connect(): Promise<Pair> {
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true })
  afterTest(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as net.AddressInfo
  const peer = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  afterTest(() => peer.destroy())
  const [connection] = (await once(server, 'connection')) as [net.Socket]
  afterTest(() => connection.destroy())
  connection.on('error', () => connection.destroy())
  const context = {
    time: createSystemTime(),
    maxMessageBytes: 1024,
    closeGraceMs: 60_000,
    gone: () => undefined,
  }
  return { socket: new SubscriberSocket(connection, Buffer.alloc(0), context), peer }
}

/** Everything that comes from now on, as its length and its last bytes. */
function read(peer: net.Socket): { bytes: number; last: Buffer; hasEnded: boolean } {
  const read = { bytes: 0, last: Buffer.alloc(0), hasEnded: false }
  peer.on('data', (chunk) => {
    read.bytes += chunk.length
    read.last = Buffer.concat([read.last, chunk]).subarray(-10)
  })
  peer.on('end', () => {
    read.hasEnded = true
  })
  return read
}

/** A ping of a client, masked with zeros. */
function ping(payload: string): Buffer {
  const bytes = Buffer.from(payload)
  return Buffer.concat([Buffer.from([0x89, 0x80 | bytes.length, 0, 0, 0, 0]), bytes])
}

describe('a peer that does not read', () => {
  it('fills no memory with pings; the latest is answered when it reads', async () => {
    const { socket, peer } = await connect()
    socket.send(BIG)
    await waitFor(() => socket.bufferedBytes > 0)
    const { bufferedBytes, bytesRead } = socket
    const pings = Array.from({ length: 5000 }, (_, i) => ping(`${i}`.padStart(8, '0')))
    const block = Buffer.concat(pings)
    peer.write(block)
    await waitFor(() => socket.bytesRead === bytesRead + block.length)
    expect(socket.bufferedBytes).toBeLessThanOrEqual(bufferedBytes)
    const came = read(peer)
    await waitFor(() => came.last.equals(Buffer.from('\x8a\x0800004999', 'latin1')))
    peer.write(ping('again'))
    await waitFor(() => came.last.subarray(-7).equals(Buffer.from('\x8a\x05again', 'latin1')))
  })

  it('is sent what waits for it after it has said all it will, whoever asks when that is done', async () => {
    const { socket, peer } = await connect()
    socket.send(BIG)
    await waitFor(() => socket.bufferedBytes > 0)
    peer.end(Buffer.from([0x88, 0x80, 0, 0, 0, 0]))
    await waitFor(() => socket.bytesRead >= 6)
    socket.onDrain(() => undefined)
    const came = read(peer)
    await waitFor(() => came.hasEnded)
    // The frame with its header, and the close frame.
    expect(came.bytes).toBe(BIG.byteLength + 10 + 4)
  })
})
