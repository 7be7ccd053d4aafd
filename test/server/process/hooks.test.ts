import { describe, expect, it } from 'vitest'
import { isStateError, StateError } from '../../../src/core/errors.ts'
import type { Logger } from '../../../src/core/ports/logger.ts'
import { CloseHooks, type HookKind, Hooks } from '../../../src/server/connections/hooks.ts'
import { createServer, type Server } from '../../../src/server/server.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { FakeTime } from '../../support/fake-time.ts'
import { request } from '../../support/http.ts'
import { waitFor } from '../../support/wait.ts'
import { afterTest, exchange, handshake, SocketClient, serve } from '../serve.ts'

class RecordingLogger implements Logger {
  readonly lines: string[] = []
  debug(): void {}
  info(): void {}
  warn(message: string, fields: object = {}): void {
    this.lines.push(`${message} ${JSON.stringify(fields)}`)
  }
  error(message: string, fields: object = {}): void {
    this.lines.push(`${message} ${JSON.stringify(fields)}`)
  }
}

describe('hooks of opening and closing', () => {
  it('run in order, each where the server still has or no longer has what it says', async () => {
    const storage = new MemoryStorage()
    const events: string[] = []
    const server = createServer({
      storage,
      port: 0,
      plugins: [
        { name: 'p', setup: () => undefined, stop: () => void events.push('plugin stopped') },
      ],
    })
    afterTest(() => server.close())
    let url = ''
    const note = (kind: HookKind, name: string): void => {
      server.hooks.on(kind as 'close', async () => {
        const health = await request('GET', `${url}/-/healthz`).catch(() => undefined)
        const stored = await storage.get('x').then(
          () => 'storage',
          () => 'no storage',
        )
        events.push(`${name}: ${health?.status ?? 'no listener'}, ${stored}`)
      })
    }
    server.hooks.on('start', () => {
      url = server.address?.url ?? ''
    })
    note('start', 'start')
    note('close', 'close')
    note('postShutdown', 'post')
    note('proxyTeardown', 'proxy')
    note('preShutdown', 'pre 1')
    note('preShutdown', 'pre 2')
    await server.open()
    await server.close()
    const expected = [
      'start: 200, storage',
      'pre 1: 200, storage',
      'pre 2: 200, storage',
      'plugin stopped',
      'proxy: 200, storage',
      'post: no listener, no storage',
      'close: no listener, no storage',
    ]
    expect(events).toEqual(expected)
    await server.open()
    await server.close()
    expect(events).toEqual([...expected, ...expected])
  })

  it('of the proxies run when the clock stands still', async () => {
    const time = new FakeTime()
    const node = await serve({ time, tickMs: 1000 })
    const clock = await node.subscribe('/', { expectFrame: false })
    await clock.text(0)
    time.advance(1000)
    await clock.text(1)
    node.server.hooks.on('preShutdown', () => time.advance(1000))
    node.server.hooks.on('proxyTeardown', () => time.advance(5000))
    await node.server.close()
    await clock.waitClosed()
    expect(clock.texts).toHaveLength(3)
  })

  it('make open fail when a start hook fails, after a full close; the next open can work', async () => {
    const server = createServer({ storage: new MemoryStorage(), port: 0 })
    afterTest(() => server.close())
    let closes = 0
    server.hooks.on('close', () => void closes++)
    const unregister = server.hooks.on('start', () => Promise.reject(new Error('not today')))
    await expect(server.open()).rejects.toThrow('not today')
    expect(server.address).toBeUndefined()
    expect(closes).toBe(1)
    unregister()
    await server.open()
    expect(server.address).toBeDefined()
  })

  it('may close the server from a start hook', async () => {
    const server = createServer({ storage: new MemoryStorage(), port: 0 })
    server.hooks.on('start', () => server.close())
    await server.open()
    expect(server.address).toBeUndefined()
  })

  it('are not run for an open that never came about', async () => {
    const start = () => Promise.reject(new StateError('unreachable', 'no start'))
    const failing = { name: 'failing', setup: () => undefined, start }
    const server = createServer({ storage: new MemoryStorage(), port: 0, plugins: [failing] })
    const ran: string[] = []
    for (const kind of [
      'start',
      'preShutdown',
      'proxyTeardown',
      'postShutdown',
      'close',
    ] as const) {
      server.hooks.on(kind, () => void ran.push(kind))
    }
    await expect(server.open()).rejects.toSatisfy((error) => isStateError(error, 'unreachable'))
    expect(ran).toEqual([])
  })

  it('that fail are logged, and the rest runs', async () => {
    const logger = new RecordingLogger()
    const { server } = await serve({ logger })
    const ran: string[] = []
    server.hooks.on('preShutdown', () => {
      throw new Error('first')
    })
    server.hooks.on('preShutdown', () => Promise.reject(new Error('second')))
    server.hooks.on('preShutdown', () => void ran.push('third'))
    server.hooks.on('close', () => void ran.push('close'))
    await server.close()
    expect(ran).toEqual(['third', 'close'])
    expect(logger.lines).toEqual([
      'a hook failed {"hook":"preShutdown","error":"first"}',
      'a hook failed {"hook":"preShutdown","error":"second"}',
    ])
  })

  it('of an unknown kind are refused by name', () => {
    const hooks = new Hooks()
    expect(() => hooks.on('midShutdown' as 'close', () => undefined)).toThrow(
      'ooo: unknown hook midShutdown',
    )
  })
})

describe('the budget of close hooks', () => {
  function bench(budgetMs: number) {
    const time = new FakeTime()
    const hooks = new Hooks()
    const logger = new RecordingLogger()
    const ran: string[] = []
    const take = (
      kind: 'preShutdown' | 'postShutdown' | 'close',
      name: string,
      ms: number,
    ): void => {
      hooks.on(kind, () => {
        ran.push(name)
        time.advance(ms)
      })
    }
    return { time, logger, ran, take, closing: new CloseHooks({ hooks, budgetMs, time, logger }) }
  }

  it('skips what is left once it is used up, with one line per phase', async () => {
    const { logger, ran, take, closing } = bench(100)
    take('preShutdown', 'a', 60)
    take('preShutdown', 'b', 40)
    take('preShutdown', 'c', 0)
    take('preShutdown', 'd', 0)
    take('postShutdown', 'e', 0)
    take('close', 'f', 0)
    await closing.run('preShutdown')
    await closing.run('proxyTeardown')
    await closing.run('postShutdown')
    await closing.run('close')
    expect(ran).toEqual(['a', 'b'])
    expect(
      logger.lines.map((line) => /"phase":"(\w+)","skipped":(\d)/.exec(line)?.slice(1)),
    ).toEqual([
      ['preShutdown', '2'],
      ['postShutdown', '1'],
      ['close', '1'],
    ])
  })

  it('does not interrupt a hook that runs, nor count the time between hooks', async () => {
    const { time, ran, take, closing } = bench(100)
    take('preShutdown', 'a', 99)
    take('postShutdown', 'b', 5000)
    take('close', 'c', 0)
    await closing.run('preShutdown')
    time.advance(10_000)
    await closing.run('postShutdown')
    await closing.run('close')
    expect(ran).toEqual(['a', 'b'])
  })

  it('is without limit when it is 0', async () => {
    const { ran, take, closing } = bench(0)
    take('preShutdown', 'a', 100_000)
    take('close', 'b', 0)
    await closing.run('preShutdown')
    await closing.run('close')
    expect(ran).toEqual(['a', 'b'])
  })
})

describe('subscription hooks', () => {
  it('hear each subscription once, and its end once', async () => {
    const node = await serve()
    const events: string[] = []
    node.server.hooks.on('subscribe', (key, { headers }) => {
      events.push(`+${key} ${String(headers['x-user'])}`)
    })
    node.server.hooks.on('unsubscribe', (key) => void events.push(`-${key}`))
    const headers = { 'X-User': 'me' }
    const client = await node.subscribe('/a/b', { headers })
    const clock = await node.subscribe('/', { headers, expectFrame: false })
    expect(events).toEqual(['+a/b me', '+ me'])
    client.socket.close()
    await waitFor(() => events.length === 3)
    clock.socket.terminate()
    await waitFor(() => events.length === 4)
    expect(events.slice(2)).toEqual(['-a/b', '-'])
  })

  it.each(['/a', '/'])('refuse %s with 400 and no body, and then hear of no end', async (path) => {
    const node = await serve()
    let ends = 0
    node.server.hooks.on('subscribe', () => Promise.reject(new Error('go away')))
    node.server.hooks.on('unsubscribe', () => void ends++)
    expect(await exchange(node.port, handshake(path))).toMatchObject({ status: 400, body: '' })
    expect(node.server.hub.metrics().pools).toBe(0)
    await node.server.close()
    expect(ends).toBe(0)
  })

  /** A subscribe hook that waits, and what the hooks heard. */
  function holdSubscribes({ hooks }: Server): { events: string[]; release: () => void } {
    const events: string[] = []
    let release = (): void => undefined
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    hooks.on('subscribe', (key) => {
      events.push(`+${key}`)
      return held
    })
    hooks.on('unsubscribe', (key) => void events.push(`-${key}`))
    return { events, release: () => release() }
  }

  it('hear the end of a client that left before they answered', async () => {
    const node = await serve()
    const { events, release } = holdSubscribes(node.server)
    const client = new SocketClient(`ws://127.0.0.1:${node.port}/a`)
    await waitFor(() => events.length === 1)
    client.socket.terminate()
    await client.waitClosed()
    release()
    await waitFor(() => events.length === 2)
    expect(events).toEqual(['+a', '-a'])
    await waitFor(() => node.server.socketCount === 0)
    expect(node.server.hub.metrics().pools).toBe(0)
  })

  it('hear the end when the upgrade fails after they took it: the server closed', async () => {
    const node = await serve()
    const { events, release } = holdSubscribes(node.server)
    const client = new SocketClient(`ws://127.0.0.1:${node.port}/a`)
    await waitFor(() => events.length === 1)
    await node.server.close()
    await client.waitClosed()
    release()
    await waitFor(() => events.length === 2)
    expect(events).toEqual(['+a', '-a'])
  })

  it('that take longer than the deadline cost the client a 503, and hear the end later', async () => {
    const node = await serve({ deadlineMs: 50 })
    const { events, release } = holdSubscribes(node.server)
    expect(await exchange(node.port, handshake('/a'))).toMatchObject({
      status: 503,
      body: 'ooo: server deadline reached',
    })
    expect(node.server.socketMetrics.pending).toBe(0)
    release()
    await waitFor(() => events.length === 2)
    expect(events).toEqual(['+a', '-a'])
  })

  it('hear the end of every subscription when the server closes, while the storage is open', async () => {
    const storage = new MemoryStorage()
    const node = await serve({ storage })
    const ends: Promise<unknown>[] = []
    node.server.hooks.on('unsubscribe', () => void ends.push(storage.get('x')))
    await node.subscribe('/a')
    await node.subscribe('/b/*')
    await node.server.close()
    await Promise.all(ends)
    expect(ends).toHaveLength(2)
  })

  it('are paired exactly under churn', { timeout: 300_000 }, async () => {
    const node = await serve()
    const open = new Map<string, number>()
    let began = 0
    const count = (key: string, step: number): void => {
      open.set(key, (open.get(key) ?? 0) + step)
    }
    node.server.hooks.on('subscribe', async (key) => {
      await Promise.resolve()
      if (key === 'no') throw new Error('no')
      began++
      count(key, 1)
    })
    node.server.hooks.on('unsubscribe', (key) => count(key, -1))
    const rounds = Array.from({ length: 300 }, async (_, i) => {
      const path = ['/a', '/b/*', '/no', '/'][i % 4] ?? '/'
      const client = new SocketClient(`ws://127.0.0.1:${node.port}${path}`)
      if (i % 3 === 0) {
        client.socket.terminate()
        return
      }
      await client.opened.catch(() => undefined)
      if (i % 3 === 1) client.socket.close()
      else client.socket.terminate()
    })
    await Promise.all(rounds)
    await waitFor(() => node.server.socketCount === 0 && node.server.socketMetrics.pending === 0)
    await waitFor(() => [...open.values()].every((sockets) => sockets === 0))
    expect(began).toBeGreaterThan(100)
    expect(open.get('no')).toBeUndefined()
  })
})

describe('hooks of reads and writes', () => {
  it('hear of a write after it is durable and before subscribers, of an event after', async () => {
    const node = await serve()
    const client = await node.subscribe('/a')
    const events: string[] = []
    const framesSent = (): number => node.server.hub.metrics().framesSent
    const before = framesSent()
    node.server.hooks.on('afterWriteOp', (key, operation) => {
      events.push(`${operation} ${key} ${framesSent() - before}`)
    })
    node.server.hooks.on('afterWrite', (key, operation) => {
      events.push(`${operation} ${key} sent ${framesSent() - before}`)
    })
    node.server.hooks.on('storageEvent', ({ key, after }) => {
      events.push(`event ${after.kind} ${key} ${framesSent() - before}`)
    })
    await node.post('/a', '1')
    await node.request('DELETE', '/a')
    expect(events).toEqual([
      ...['set a 0', 'set a sent 1', 'event entry a 1'],
      ...['del a 1', 'del a sent 2', 'event tombstone a 2'],
    ])
    await client.frame(2)
  })

  it('do not fail the write they hear of', async () => {
    const logger = new RecordingLogger()
    const node = await serve({ logger })
    node.server.hooks.on('afterWrite', () => {
      throw new Error('sync')
    })
    node.server.hooks.on('storageEvent', () => Promise.reject(new Error('async')))
    expect((await node.post('/a', '1')).status).toBe(200)
    await waitFor(() => logger.lines.length === 2)
    expect(logger.lines.join()).toMatch(/sync.*async/)
  })

  it('run before the first read of a subscription, which waits for them', async () => {
    const node = await serve()
    const { store } = node.server
    node.server.hooks.on('beforeRead', async (key) => {
      await store.set(key, '"fetched"')
    })
    node.server.hooks.on('beforeRead', () => {
      throw new Error('not fatal')
    })
    const client = await node.subscribe('/a')
    expect(client.state).toContain('"fetched"')
  })
})

it('beforeRead runs once for each read of a key or glob, however it comes', async () => {
  const node = await serve()
  const reads: string[] = []
  node.server.hooks.on('beforeRead', (keyOrGlob) => void reads.push(keyOrGlob))
  await node.get('/a')
  await node.get('/b/*')
  await node.subscribe('/c')
  await node.subscribe('/d/*')
  await node.server.get('e')
  await node.server.getList('f/*')
  expect(reads).toEqual(['a', 'b/*', 'c', 'd/*', 'e', 'f/*'])
  await node.post('/a', '1')
  await node.request('PATCH', '/a', '{}')
  await node.request('DELETE', '/a')
  expect(reads).toHaveLength(6)
})

describe('keys that are not broadcast', () => {
  it('are in the first snapshot and in no frame after it', async () => {
    const node = await serve({ noBroadcastKeys: ['quiet/*', 'alone'] })
    const events: string[] = []
    node.server.hooks.on('storageEvent', ({ key }) => void events.push(key))
    await node.post('/quiet/a', '1')
    const quiet = await node.subscribe('/quiet/*')
    const alone = await node.subscribe('/alone')
    const loud = await node.subscribe('/loud')
    expect(quiet.state).toContain('"quiet/a"')
    await node.post('/quiet/b', '2')
    await node.post('/alone', '3')
    await node.post('/loud', '4')
    await loud.frame(1)
    expect([quiet.texts.length, alone.texts.length]).toEqual([1, 1])
    expect(events).toEqual(['loud'])
    expect((await node.get('/quiet/b')).status).toBe(200)
  })

  it('never leave a client with a state that later patches do not fit', async () => {
    const node = await serve({ noBroadcastKeys: ['mixed/quiet'] })
    await node.post('/mixed/a', '1')
    const first = await node.subscribe('/mixed/*')
    first.socket.terminate()
    await waitFor(() => node.server.socketCount === 0)
    await node.post('/mixed/quiet', '2')
    const again = await node.subscribe(`/mixed/*?v=${first.version}`)
    await node.post('/mixed/a', '3')
    await again.frame(1)
    const fresh = await node.subscribe('/mixed/*')
    expect(again.state).toBe(fresh.state)
    expect(fresh.state).toContain('mixed/quiet')
  })

  it('do not keep other keys from resuming', async () => {
    const node = await serve({ noBroadcastKeys: ['quiet/*'] })
    const held = async (path: string): Promise<string> => {
      const client = await node.subscribe(path)
      client.socket.terminate()
      return `${path}?v=${client.version}`
    }
    const loud = await node.subscribe(await held('/loud'), { expectFrame: false })
    await node.subscribe(await held('/quiet/a'))
    await node.post('/loud', '1')
    // The first frame it got is the change, not the state it had.
    expect(await loud.text(0)).toContain('"data":1')
  })

  it('must be keys', () => {
    const make = () => createServer({ storage: new MemoryStorage(), noBroadcastKeys: ['/a'] })
    expect(make).toThrow('ooo: key is not valid')
  })
})
