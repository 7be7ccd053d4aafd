/** The proxy before a link does to connections what the names of its ways say. */
import { once } from 'node:events'
import * as net from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { freePort } from '../../support/free-port.ts'
import { waitFor } from '../../support/wait.ts'
import { LinkProxy } from './proxy.ts'

/** An address that answers every byte with the same byte, and counts what it was sent. */
let echo: net.Server
/** A new one for each test: connections of the one before may end late. */
let seen = { received: 0, ended: 0 }
let proxy: LinkProxy
const sockets: net.Socket[] = []

beforeEach(async () => {
  const counts = { received: 0, ended: 0 }
  seen = counts
  echo = net.createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => undefined)
    socket.on('data', (data) => {
      counts.received += data.length
      socket.write(data)
    })
    socket.on('close', () => {
      counts.ended += 1
    })
  })
  const target = await freePort()
  echo.listen(target, '127.0.0.1')
  await once(echo, 'listening')
  proxy = await LinkProxy.listen(await freePort(), target)
})

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await proxy.close()
  echo.close()
  await once(echo, 'close')
})

/** A connection through the proxy, and what it got. */
class Dialled {
  text = ''
  isClosed = false
  readonly socket: net.Socket

  constructor() {
    this.socket = net.connect(proxy.port, '127.0.0.1')
    sockets.push(this.socket)
    this.socket.on('error', () => undefined)
    this.socket.setEncoding('utf8').on('data', (text: string) => {
      this.text += text
    })
    this.socket.on('close', () => {
      this.isClosed = true
    })
  }

  async echoes(text: string): Promise<void> {
    const wanted = this.text + text
    this.socket.write(text)
    await waitFor(() => this.text === wanted, { what: `${text} to come back` })
  }
}

async function connected(): Promise<Dialled> {
  const dialled = new Dialled()
  await dialled.echoes('a')
  return dialled
}

/** Whatever was on the way has come through another connection meanwhile. */
async function turnOfLoop(): Promise<void> {
  const direct = net.connect((echo.address() as net.AddressInfo).port, '127.0.0.1')
  sockets.push(direct)
  direct.write('x')
  await once(direct, 'data')
}

describe('a way that is', () => {
  it('open passes bytes both ways, and the end of either side', async () => {
    const dialled = await connected()
    dialled.socket.end()
    await waitFor(() => dialled.isClosed && seen.ended === 1)
  })

  it('cut ends connections and refuses new ones', async () => {
    const dialled = await connected()
    proxy.set('cut')
    await waitFor(() => dialled.isClosed && seen.ended === 1)
    const late = new Dialled()
    await waitFor(() => late.isClosed)
    proxy.set('open')
    await connected()
  })

  it('stalled keeps connections, takes new ones, and passes everything later', async () => {
    const dialled = await connected()
    proxy.set('stalled')
    dialled.socket.write('b')
    const late = new Dialled()
    late.socket.write('c')
    await turnOfLoop()
    expect([dialled.text, late.text, seen.received]).toEqual(['a', '', 2])
    proxy.set('open')
    await waitFor(() => dialled.text === 'ab' && late.text === 'c')
  })

  it('half open leaves the dialler a connection that leads nowhere, until it is open again', async () => {
    const dialled = await connected()
    proxy.set('half-open')
    await waitFor(() => seen.ended === 1)
    dialled.socket.write('b')
    await turnOfLoop()
    expect(dialled.isClosed).toBe(false)
    proxy.set('open')
    await waitFor(() => dialled.isClosed, { what: 'the reset of a connection that leads nowhere' })
    await connected()
  })

  it('one-way passes what is sent and holds back what is answered', async () => {
    const dialled = await connected()
    proxy.set('one-way')
    dialled.socket.write('b')
    await waitFor(() => seen.received === 2)
    await turnOfLoop()
    expect(dialled.text).toBe('a')
    proxy.set('open')
    await waitFor(() => dialled.text === 'ab')
  })

  it('slow passes everything, piece by piece', async () => {
    const dialled = await connected()
    proxy.set('slow')
    const began = performance.now()
    await dialled.echoes('b'.repeat(10_000))
    expect(performance.now() - began).toBeGreaterThan(150)
  })
})
