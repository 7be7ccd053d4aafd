import * as http from 'node:http'
import * as net from 'node:net'
import { describe, expect, it } from 'vitest'
import { createServer, type ServerOptions } from '../../../src/server/server.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { request } from '../../support/http.ts'
import { waitFor } from '../../support/wait.ts'
import { afterTest, exchange, serve } from '../serve.ts'

const make = (options: Partial<ServerOptions>) => () =>
  createServer({ storage: new MemoryStorage(), port: 0, ...options })

describe('options', () => {
  it.each<[Partial<ServerOptions>, string]>([
    [{ deadlineMs: -1 }, 'ooo: Deadline cannot be negative'],
    [{ forcePatch: true, noPatch: true }, 'ooo: ForcePatch and NoPatch cannot both be enabled'],
    [{ readTimeoutMs: -1 }, 'readTimeoutMs must be an integer from 0'],
    [{ headersTimeoutMs: 0.5 }, 'headersTimeoutMs must be an integer from 0'],
    [{ writeTimeoutMs: -1 }, 'writeTimeoutMs must be an integer from 0'],
    [{ idleTimeoutMs: Number.NaN }, 'idleTimeoutMs must be an integer from 0'],
    [{ wsWriteTimeoutMs: 0 }, 'wsWriteTimeoutMs must be an integer from 1'],
    [{ closeCallbackBudgetMs: -5 }, 'closeCallbackBudgetMs must be an integer from 0'],
  ])('%j are refused with the reason', (options, text) => {
    expect(make(options)).toThrow(text)
  })

  it.each<Partial<ServerOptions>>([
    { forcePatch: true },
    { noPatch: true },
    { headersTimeoutMs: 120_000, readTimeoutMs: 60_000 },
    { headersTimeoutMs: 0, readTimeoutMs: 0, writeTimeoutMs: 0, idleTimeoutMs: 0 },
  ])('%j are taken', async (options) => {
    const node = await serve(options)
    expect((await node.get('/-/healthz')).status).toBe(200)
  })

  it('are copied: what the caller changes later has no effect', async () => {
    const noBroadcastKeys = ['quiet']
    const node = await serve({ noBroadcastKeys })
    noBroadcastKeys.push('a')
    const client = await node.subscribe('/a')
    await node.post('/a', '1')
    await client.frame(1)
  })
})

describe('a listener cuts', () => {
  it('a request whose head does not arrive', async () => {
    const node = await serve({ headersTimeoutMs: 100 })
    expect((await exchange(node.port, 'GET /a HTTP/1.1\r\nHost: x\r\n')).status).toBe(408)
  })

  it('a request whose body does not arrive', async () => {
    const node = await serve({ readTimeoutMs: 200 })
    const head = 'POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n1'
    expect((await exchange(node.port, head)).status).toBe(408)
    expect((await node.get('/a')).status).toBe(404)
  })

  it('an exchange without a byte either way', async () => {
    const node = await serve({ writeTimeoutMs: 100 })
    node.server.use(() => new Promise<void>(() => undefined))
    await expect(node.get('/a')).rejects.toThrow(/hang up|reset/)
  })

  it('a kept connection that waits too long for its next request', async () => {
    const node = await serve({ idleTimeoutMs: 100 })
    const socket = net.connect(node.port, '127.0.0.1')
    afterTest(() => socket.destroy())
    let text = ''
    let ended = false
    socket.on('data', (chunk) => {
      text += String(chunk)
    })
    socket.on('end', () => {
      ended = true
    })
    socket.write('GET /-/healthz HTTP/1.1\r\nHost: x\r\n\r\n')
    await waitFor(() => text.endsWith('ok'))
    await waitFor(() => ended)
  })

  it('nothing while its requests follow each other', async () => {
    const node = await serve({ idleTimeoutMs: 2000, headersTimeoutMs: 300, readTimeoutMs: 300 })
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    afterTest(() => agent.destroy())
    const start = performance.now()
    while (performance.now() - start < 600) {
      const answer = await request('GET', `${node.url}/-/healthz`, { agent })
      expect(answer.status).toBe(200)
    }
  })
})

describe('cross-origin rules', () => {
  const preflight = (method: string, headers?: string): Record<string, string> => ({
    Origin: 'http://page.example',
    'Access-Control-Request-Method': method,
    ...(headers === undefined ? {} : { 'Access-Control-Request-Headers': headers }),
  })

  it.each<[Partial<ServerOptions>, string, string | undefined, boolean]>([
    [{}, 'PATCH', 'content-type, AUTHORIZATION', true],
    [{}, 'POST', 'If-Match', true],
    [{}, 'PURGE', undefined, false],
    [{}, 'GET', 'X-Api-Key', false],
    [{ allowedHeaders: ['X-Api-Key'] }, 'GET', 'x-api-key, accept', true],
    [{ allowedHeaders: ['X-Api-Key'] }, 'GET', 'authorization', false],
    [{ allowedMethods: ['get'] }, 'GET', undefined, true],
    [{ allowedMethods: ['GET'] }, 'POST', undefined, false],
    [{ allowedMethods: [] }, 'HEAD', undefined, true],
  ])('%j: a preflight for %s with %s: %s', async (options, method, headers, allowed) => {
    const node = await serve({ allowedOrigins: ['*'], ...options })
    const answer = await node.request('OPTIONS', '/a', undefined, {
      headers: preflight(method, headers),
    })
    expect(answer.status).toBe(204)
    expect(answer.headers['access-control-allow-methods']).toBe(allowed ? method : undefined)
    expect(answer.headers['access-control-allow-headers']).toBe(allowed ? headers : undefined)
  })

  it('name the headers that pages may read, when there are any', async () => {
    const origin = { Origin: 'http://page.example' }
    const open = await serve({ allowedOrigins: ['*'], exposedHeaders: ['ETag', 'X-Total'] })
    const exposed = (await open.get('/', origin)).headers['access-control-expose-headers']
    expect(exposed).toBe('ETag, X-Total')
    const other = await serve({ allowedOrigins: ['*'] })
    expect((await other.get('/', origin)).headers).not.toHaveProperty(
      'access-control-expose-headers',
    )
  })
})

it('compression can be turned off', async () => {
  const big = JSON.stringify('x'.repeat(10_000))
  const headers = { 'Accept-Encoding': 'gzip' }
  for (const compression of [true, false]) {
    const node = await serve({ compression })
    await node.post('/a', big)
    const answer = await node.get('/a', headers)
    expect(answer.headers['content-encoding']).toBe(compression ? 'gzip' : undefined)
  }
})
