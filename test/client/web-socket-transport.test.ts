import { once } from 'node:events'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { createClient, createWebSocketTransport, isStateError } from '../../src/client/index.ts'
import type { MessageSocket } from '../../src/core/ports/transport.ts'
import { freePort } from '../support/free-port.ts'
import { type ScriptedServer, startScriptedServer } from '../support/scripted-server.ts'
import { waitFor } from '../support/wait.ts'

let server: ScriptedServer

beforeEach(async () => {
  server = await startScriptedServer()
})

afterEach(() => server.close())

interface Dialled {
  readonly socket: MessageSocket
  readonly log: string[]
}

function dial(
  url: string,
  protocols: string[] = [],
  headers: Record<string, string> = {},
): Dialled {
  const log: string[] = []
  const socket = createWebSocketTransport(WebSocket).dial(
    { url, protocols, headers },
    () => log.push('open'),
    {
      message: (text) => log.push(`message ${text}`),
      close: ({ code, reason }) => log.push(`close ${code} ${reason}`),
    },
  )
  return { socket, log }
}

const wsUrl = (): string => server.url.replace('http', 'ws')

async function dialOpen(): Promise<Dialled> {
  const dialled = dial(wsUrl())
  await waitFor(() => dialled.log.includes('open'), { what: 'the socket' })
  return dialled
}

describe('the WebSocket transport', () => {
  it('hands over binary and text frames as text, in order', async () => {
    const { log } = await dialOpen()
    server.sockets[0]?.socket.send(Buffer.from('binär'))
    server.sockets[0]?.socket.send('text')
    await waitFor(() => log.length === 3, { what: 'both frames' })
    expect(log).toEqual(['open', 'message binär', 'message text'])
  })

  it('sends text in order and counts nothing once it is gone', async () => {
    const { socket, log } = await dialOpen()
    const peer = server.sockets[0]?.socket
    const received: string[] = []
    peer?.on('message', (data) => received.push(String(data)))
    socket.send('1')
    socket.send('2')
    await waitFor(() => received.length === 2, { what: 'both messages' })
    expect(received).toEqual(['1', '2'])
    peer?.close(4001, 'busy')
    await waitFor(() => log.length === 2, { what: 'the close' })
    expect(log[1]).toBe('close 4001 busy')
    socket.send('3')
    socket.close(1000, '')
  })

  it('reports a refused dial once, with what went wrong', async () => {
    const { log } = dial(`ws://127.0.0.1:${await freePort()}/`)
    await waitFor(() => log.length > 0, { what: 'the close' })
    expect(log).toHaveLength(1)
    expect(log[0]).toMatch(/^close 1006 .*ECONNREFUSED/)
  })

  it('reports one close when it is terminated, before and after opening', async () => {
    const early = dial(wsUrl())
    early.socket.terminate()
    const late = await dialOpen()
    late.socket.terminate()
    late.socket.terminate()
    await waitFor(() => server.sockets.every(({ socket }) => socket.readyState === 3), {
      what: 'the peer to notice',
    })
    expect(early.log).toEqual(['close 1006 terminated'])
    expect(late.log).toEqual(['open', 'close 1006 terminated'])
  })

  it('ends at a frame that is not UTF-8', async () => {
    const { log } = await dialOpen()
    server.sockets[0]?.socket.send(Buffer.from([0xff, 0xfe]))
    await waitFor(() => log.length === 2, { what: 'the close' })
    expect(log[1]).toBe('close 1007 a frame is not valid UTF-8')
  })

  it('closes with a reason cut to what a frame may hold, and with codes a page may not send', async () => {
    const { socket } = await dialOpen()
    const peer = server.sockets[0]?.socket
    if (peer === undefined) throw new Error('no peer')
    const closed = once(peer, 'close')
    socket.close(4500, 'ä'.repeat(200))
    const [code, reason] = await closed
    expect([code, String(reason)]).toEqual([4500, 'ä'.repeat(61)])
    const other = await dialOpen()
    other.socket.close(1001, 'going')
    await waitFor(() => other.log.length === 2, { what: 'the close' })
  })

  it('offers subprotocols and sends headers', async () => {
    dial(wsUrl(), ['bearer', 'token'], { 'X-Trace': '7' })
    await waitFor(() => server.sockets.length === 1, { what: 'the socket' })
    const headers = server.sockets[0]?.request.headers
    expect(headers?.['sec-websocket-protocol']).toBe('bearer,token')
    expect(headers?.['x-trace']).toBe('7')
  })
})

describe('a platform without WebSocket', () => {
  it('may use REST, and is told what to pass when it subscribes', async () => {
    const platform = Object.getOwnPropertyDescriptor(globalThis, 'WebSocket')
    Reflect.deleteProperty(globalThis, 'WebSocket')
    try {
      const client = createClient({ url: server.url })
      expect(await client.set('a', 1)).toEqual({ index: 'x', path: 'a' })
      client.subscribe('a', { onState: () => undefined })
      expect.unreachable('there is a WebSocket')
    } catch (error) {
      expect(isStateError(error, 'invalid_option')).toBe(true)
      expect(String(error)).toContain('`ws`')
    } finally {
      if (platform !== undefined) Object.defineProperty(globalThis, 'WebSocket', platform)
    }
  })
})
