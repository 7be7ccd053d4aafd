import { describe, expect, it } from 'vitest'
import { createServer, type ServerOptions } from '../../../src/server/server.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { afterTest, serve } from '../serve.ts'

const unprotected = { code: 'unprotected', message: expect.stringContaining('--open (open: true)') }

describe('a node that other machines reach', () => {
  it.each([
    ['0.0.0.0', {}],
    ['::', {}],
    // A list opens paths of static mode, and nothing anywhere else.
    ['0.0.0.0', { open: ['a'] }],
    ['0.0.0.0', { static: true }],
    ['0.0.0.0', { open: [], static: true }],
  ] as [string, Partial<ServerOptions>][])('at %s with %j does not open', async (host, options) => {
    const storage = new MemoryStorage()
    const server = createServer({ storage, port: 0, host, ...options })
    afterTest(() => server.close())
    await expect(server.open()).rejects.toMatchObject(unprotected)
    expect(server.address).toBeUndefined()
    // It can be opened once somebody guards it.
    server.use((_request, _response, next) => void next())
    await server.open()
    expect(server.address).toBeDefined()
  })

  it.each([
    ['0.0.0.0', { open: true }],
    ['::', { open: true }],
    ['0.0.0.0', { open: ['a'], static: true }],
    ['127.0.0.1', {}],
    ['::1', {}],
    ['localhost', {}],
  ] as [string, Partial<ServerOptions>][])('%s with %j opens', async (host, options) => {
    const node = await serve({ host, ...options })
    expect(
      (await fetch(`http://${host === '::1' ? '[::1]' : '127.0.0.1'}:${node.port}/a`)).status,
    ).toBe(404)
  })

  it('is guarded no more once its middleware has gone', async () => {
    const storage = new MemoryStorage()
    const server = createServer({ storage, port: 0, host: '0.0.0.0' })
    afterTest(() => server.close())
    server.use((_request, _response, next) => void next())()
    await expect(server.open()).rejects.toMatchObject(unprotected)
  })
})
