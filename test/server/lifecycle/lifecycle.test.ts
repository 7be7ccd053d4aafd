import * as http from 'node:http'
import * as net from 'node:net'
import { describe, expect, it } from 'vitest'
import { isStateError, StateError } from '../../../src/core/errors.ts'
import type { ServerPlugin } from '../../../src/server/contract/plugin.ts'
import { createServer } from '../../../src/server/server.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { FakeTime } from '../../support/fake-time.ts'
import { request } from '../../support/http.ts'
import { waitFor } from '../../support/wait.ts'
import { afterTest, serve } from '../serve.ts'

function memoryServer(
  options: Partial<Parameters<typeof createServer>[0]> = {},
): ReturnType<typeof createServer> {
  const server = createServer({ storage: new MemoryStorage(), port: 0, ...options })
  afterTest(() => server.close())
  return server
}

describe('a server', () => {
  it('is nothing before it opens and after it closes', async () => {
    const server = memoryServer()
    expect(server.address).toBeUndefined()
    expect(() => server.store).toThrow(/not open/)
    await server.close()
    await server.open()
    expect(server.address).toMatchObject({ host: '127.0.0.1' })
    await server.close()
    expect(server.address).toBeUndefined()
    expect(() => server.hub).toThrow(/not open/)
  })

  it('opens and closes once, however often it is asked', async () => {
    const server = memoryServer()
    const first = server.open()
    expect(server.open()).toBe(first)
    await first
    await server.open()
    const closing = server.close()
    expect(server.close()).toBe(closing)
    await expect(server.open()).rejects.toSatisfy((error) => isStateError(error, 'closing'))
    await closing
  })

  it('closes what is still opening', async () => {
    const server = memoryServer()
    const opening = server.open()
    await server.close()
    await opening
    expect(server.address).toBeUndefined()
  })

  it('opens again on the same storage, with new versions', async () => {
    const server = memoryServer()
    await server.open()
    const before = server.store
    await server.store.set('a', '1')
    await server.close()
    await server.open()
    expect(server.store).not.toBe(before)
    expect((await server.store.get('a'))?.data).toBe('1')
    expect((await request('GET', `${server.address?.url}/a`)).status).toBe(200)
  })

  it('names the address that is in use, and opens once it is free', async () => {
    const other = await serve()
    const { port } = other
    const server = memoryServer({ port })
    await expect(server.open()).rejects.toSatisfy(
      (error) => isStateError(error, 'in_use') && error.message.includes(`127.0.0.1:${port}`),
    )
    await other.server.close()
    await server.open()
    expect(server.address?.port).toBe(port)
  })

  it('says what is wrong with an address it can not have', async () => {
    const server = memoryServer({ host: '192.0.2.1', open: true })
    await expect(server.open()).rejects.toSatisfy((error) => isStateError(error, 'invalid_option'))
  })

  it('listens on IPv6', async () => {
    const server = memoryServer({ host: '::1' })
    await server.open()
    expect(server.address?.url).toBe(`http://[::1]:${server.address?.port}`)
    expect((await request('GET', `${server.address?.url}/-/healthz`)).body).toBe('ok')
  })

  it.each([
    { port: 70_000 },
    { port: 1.5 },
    { deadlineMs: 0 },
    { tickMs: -1 },
    { maxIdlePools: Number.NaN },
  ])('refuses %j', (options) => {
    expect(() => memoryServer(options)).toThrow(/must be an integer/)
  })

  it('refuses an option it does not know', () => {
    expect(() => memoryServer({ prot: 1 } as object)).toThrow('unknown option prot')
  })

  it('leaves the storage closed when opening fails', async () => {
    const storage = new MemoryStorage()
    const start = (): Promise<void> => Promise.reject(new Error('no start'))
    const failing = { name: 'failing', setup: () => undefined, start }
    const server = memoryServer({ storage, plugins: [failing] })
    await expect(server.open()).rejects.toThrow('no start')
    await expect(storage.get('x')).rejects.toSatisfy((error) => isStateError(error, 'not_open'))
  })
})

it('is refused when a path to open is reserved', () => {
  const make = () => memoryServer({ static: true, open: ['components'] })
  expect(make).toThrow(/"components" conflicts with reserved path/)
})

describe('closing', () => {
  it('lets a request under way finish and refuses new connections', async () => {
    const storage = new MemoryStorage()
    const server = memoryServer({ storage })
    await server.open()
    const { url, port } = server.address ?? { url: '', port: 0 }
    const batch = storage.batch.bind(storage)
    let release = (): void => undefined
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    let writing = false
    storage.batch = async (operations, options) => {
      writing = true
      await held
      await batch(operations, options)
    }
    const answer = request('POST', `${url}/a`, { body: '1' })
    await waitFor(() => writing)
    const closing = server.close()
    await waitFor(async () => (await connects(port)) === false)
    release()
    expect((await answer).status).toBe(200)
    await closing
  })

  it('cuts what has not finished at the deadline', async () => {
    const server = memoryServer({ deadlineMs: 100 })
    await server.open()
    const socket = net.connect(server.address?.port ?? 0, '127.0.0.1')
    afterTest(() => socket.destroy())
    let closed = false
    socket.on('error', () => undefined)
    socket.on('close', () => {
      closed = true
    })
    socket.write('GET /a HTTP/1.1\r\nHost: x\r\n')
    await waitFor(() => socket.readyState === 'open')
    await server.close()
    await waitFor(() => closed)
  })

  it('leaves no timer behind', async () => {
    const time = new FakeTime()
    const node = await serve({ time })
    node.server.filters.limit('items/*', { limit: 1, cleanup: { enabled: true } })
    await node.subscribe('/items/*')
    await node.subscribe('/', { expectFrame: false })
    expect(time.pending).toBeGreaterThanOrEqual(3)
    await node.server.close()
    expect(time.pending).toBe(0)
  })

  it('does not wait for kept connections that are idle', async () => {
    // Longer than this test may take: if it waited, it would be seen.
    const patience = { deadlineMs: 3_600_000, idleTimeoutMs: 3_600_000 }
    const server = memoryServer(patience)
    await server.open()
    const agent = new http.Agent({ keepAlive: true })
    afterTest(() => agent.destroy())
    const health = await request('GET', `${server.address?.url}/-/healthz`, { agent })
    expect(health.body).toBe('ok')
    await server.close()
  })

  it('goes on when a plugin fails to stop', async () => {
    const storage = new MemoryStorage()
    const plugin: ServerPlugin = {
      name: 'broken',
      setup: () => undefined,
      stop: () => Promise.reject(new Error('stuck')),
    }
    const server = memoryServer({ storage, plugins: [plugin] })
    await server.open()
    await server.close()
    await expect(storage.get('x')).rejects.toSatisfy((error) => isStateError(error, 'not_open'))
  })
})

async function connects(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

describe('plugins', () => {
  function recorder(name: string, events: string[], startFailure?: Error): ServerPlugin {
    return {
      name,
      setup: (host) => {
        events.push(`${name} setup`)
        host.store.onCommit((commit) => events.push(`${name} heard ${commit.seq}`))
      },
      start: async (address) => {
        const { status } = await request('GET', `${address.url}/-/healthz`)
        events.push(`${name} start, health ${status}`)
        if (startFailure !== undefined) throw startFailure
      },
      stop: () => {
        events.push(`${name} stop`)
      },
    }
  }

  it('are set up, started and stopped in order, while everything is up', async () => {
    const events: string[] = []
    const server = memoryServer({ plugins: [recorder('a', events), recorder('b', events)] })
    await server.open()
    await server.store.set('k', '1')
    await server.close()
    expect(events).toEqual([
      'a setup',
      'b setup',
      'a start, health 200',
      'b start, health 200',
      'a heard 1',
      'b heard 1',
      'b stop',
      'a stop',
    ])
    await server.open()
    expect(events.slice(8)).toEqual([
      'a setup',
      'b setup',
      'a start, health 200',
      'b start, health 200',
    ])
  })

  it('that fail to start make open fail, with everything rolled back', async () => {
    const events: string[] = []
    const storage = new MemoryStorage()
    const server = memoryServer({
      storage,
      plugins: [recorder('a', events), recorder('b', events, new StateError('unreachable', 'no'))],
    })
    await expect(server.open()).rejects.toSatisfy((error) => isStateError(error, 'unreachable'))
    expect(events.slice(-2)).toEqual(['b stop', 'a stop'])
    expect(server.address).toBeUndefined()
    await expect(storage.get('x')).rejects.toSatisfy((error) => isStateError(error, 'not_open'))
  })

  it('that fail in setup make open fail before the storage opens', async () => {
    const plugin: ServerPlugin = {
      name: 'a',
      setup: () => {
        throw new StateError('invalid_option', 'bad')
      },
    }
    await expect(memoryServer({ plugins: [plugin] }).open()).rejects.toThrow('bad')
  })
})
