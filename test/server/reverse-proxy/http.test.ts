import { once } from 'node:events'
import * as http from 'node:http'
import * as net from 'node:net'
import { describe, expect, it } from 'vitest'
import { StateError } from '../../../src/core/errors.ts'
import type { ProxyRoute } from '../../../src/server/reverse-proxy/proxy.ts'
import type { ServerOptions } from '../../../src/server/server.ts'
import { waitFor } from '../../support/wait.ts'
import { afterTest, exchange, handshake, serve, type TestServer } from '../serve.ts'
import { addressOf, deadAddress, type HttpTarget, httpTarget } from './fixtures.ts'

/** A server whose `/p/*` goes to `/*` at the address. */
async function proxyTo(
  address: string,
  route: Partial<ProxyRoute> = {},
  options: Partial<ServerOptions> = {},
): Promise<TestServer> {
  const server = await serve(options)
  server.server.proxy.route({
    localPath: 'p/*',
    resolve: (path) => ({ address, path: path.slice(2) }),
    ...route,
  })
  return server
}

/** The text of a request's body. */
async function bodyOf(request: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

/** A request whose body the test writes; its answer's status and text. */
function upload(
  server: TestServer,
  headers: http.OutgoingHttpHeaders = {},
): { request: http.ClientRequest; answer: Promise<{ status: number; body: string }> } {
  const request = http.request(`${server.url}/p/x`, { method: 'POST', agent: false, headers })
  afterTest(() => request.destroy())
  const answer = once(request, 'response').then(async ([response]) => ({
    status: (response as http.IncomingMessage).statusCode ?? 0,
    body: await bodyOf(response as http.IncomingMessage),
  }))
  // Not every test waits for it; one that does still sees the failure.
  answer.catch(() => undefined)
  return { request, answer }
}

describe('a proxied request', () => {
  it('does on the target what it would do there', async () => {
    const target = await serve()
    const server = await proxyTo(addressOf(target))
    const big = '{"n":12345678901234567890.10,"t":"<é>"}'
    expect(await server.post('/p/a', big)).toMatchObject({ status: 200, body: '{"index":"a"}' })
    const read = await server.get('/p/a')
    expect(read.body).toBe((await target.get('/a')).body)
    expect(read.body).toContain(big)
    expect(read.headers['content-type']).toBe('application/json')
    expect((await server.request('PATCH', '/p/a', '{"m":1}')).status).toBe(200)
    expect((await target.get('/a')).body).toContain('"m":1')
    expect((await server.get('/p/*')).body).toBe((await target.get('/*')).body)
    expect((await server.request('DELETE', '/p/a')).status).toBe(204)
    expect(await server.get('/p/a')).toMatchObject({ status: 404, body: 'ooo: empty key' })
    expect((await server.post('/p/a', '{bad')).status).toBe(400)
  })

  it('goes through several servers', async () => {
    const target = await serve()
    const middle = await proxyTo(addressOf(target))
    const server = await serve()
    server.server.proxy.route({
      localPath: 'p/*',
      resolve: async (path) => ({ address: addressOf(middle), path }),
    })
    await server.post('/p/a', '"far"')
    expect((await server.get('/p/a')).body).toBe((await target.get('/a')).body)
  })

  it('takes along nothing of the caller but the body and its length', async () => {
    const bodies: string[] = []
    const target = await httpTarget((request, response) => {
      void bodyOf(request).then((body) => {
        bodies.push(body)
        response.end()
      })
    })
    const server = await proxyTo(target.address, {
      headers: { 'X-Own': 'one' },
      subscribe: { headers: { Authorization: 'Bearer own' } },
    })
    const headers = {
      Authorization: 'Bearer caller',
      Cookie: 'c=1',
      'X-Caller': 'yes',
      'Content-Type': 'text/plain',
      'Accept-Encoding': 'gzip',
    }
    await server.request('POST', '/p/a?v=1&x=2', '{"a":"é"}', { headers })
    await server.request('GET', '/p/a?v=1', undefined, { headers })
    const [post, get] = target.requests
    expect(post?.url).toBe('/a')
    expect(bodies).toEqual(['{"a":"é"}', ''])
    const sent = { host: target.address, 'x-own': 'one', authorization: 'Bearer own' }
    expect(post?.headers).toEqual({
      ...sent,
      connection: 'keep-alive',
      'content-type': 'application/json',
      'content-length': '10',
    })
    expect(get?.headers).toEqual({ ...sent, connection: 'keep-alive' })
  })

  it('of unknown length goes on in chunks', async () => {
    const target = await httpTarget((request, response) => {
      void bodyOf(request).then((body) => response.end(body))
    })
    const server = await proxyTo(target.address)
    const { request, answer } = upload(server)
    request.write('{"a":')
    await waitFor(() => target.requests[0], { what: 'the request before its body is whole' })
    request.end('1}')
    expect(await answer).toEqual({ status: 200, body: '{"a":1}' })
    expect(target.requests[0]?.headers['transfer-encoding']).toBe('chunked')
    expect(target.requests[0]?.headers['content-length']).toBeUndefined()
  })

  it('is answered with the status, headers and body of the target, but not those of one connection', async () => {
    const target = await httpTarget((_request, response) => {
      response.writeHead(418, 'Short And Stout', {
        'Set-Cookie': ['a=1', 'b=2'],
        'X-Target': 'yes',
        'Content-Type': 'text/weird',
        'Access-Control-Allow-Origin': 'http://target',
        Vary: 'X-Target',
        Connection: 'close, X-Hop',
        'X-Hop': 'no',
        'Keep-Alive': 'timeout=77',
        'Proxy-Authenticate': 'Basic',
      })
      response.end('tea')
    })
    const server = await proxyTo(target.address, {}, { allowedOrigins: ['*'] })
    const { status, headers, body } = await server.get('/p/a', { Origin: 'http://page' })
    expect({ status, body }).toEqual({ status: 418, body: 'tea' })
    expect(headers).toMatchObject({
      'set-cookie': ['a=1', 'b=2'],
      'x-target': 'yes',
      'content-type': 'text/weird',
      'access-control-allow-origin': '*',
      vary: 'Origin, X-Target',
    })
    for (const name of ['x-hop', 'proxy-authenticate']) expect(headers[name]).toBeUndefined()
    expect(headers['keep-alive']).not.toBe('timeout=77')
  })

  it('is not redirected: the client is told where to', async () => {
    const target = await httpTarget((_request, response) => {
      response.writeHead(307, { Location: 'http://elsewhere/' }).end()
    })
    const server = await proxyTo(target.address)
    const answer = await server.post('/p/a', '1')
    expect(answer).toMatchObject({ status: 307, headers: { location: 'http://elsewhere/' } })
    expect(target.requests).toHaveLength(1)
  })

  it('reuses connections, and survives that the target closed one meanwhile', async () => {
    const target = await httpTarget((_request, response) => response.end('ok'))
    const server = await proxyTo(target.address)
    for (let i = 0; i < 5; i++) expect((await server.get('/p/a')).body).toBe('ok')
    expect(target.connections).toBe(1)
    target.server.removeAllListeners('request')
    target.server.once('request', (request: http.IncomingMessage) => {
      request.socket.resetAndDestroy()
      target.server.on('request', (_request, response) => response.end('again'))
    })
    expect((await server.get('/p/a')).body).toBe('again')
    expect(target.connections).toBe(2)
  })
})

describe('a proxied request is refused', () => {
  it('by middleware, as any other, over WebSocket too', async () => {
    const target = await serve()
    const server = await proxyTo(addressOf(target))
    server.server.use((request, _response, next) => {
      if (request.headers.authorization === 'Bearer good') return next()
      throw new StateError('unauthorized', 'who are you')
    })
    expect(await server.get('/p/*')).toMatchObject({ status: 401, body: 'who are you' })
    expect((await exchange(server.port, handshake('/p/*'))).status).toBe(401)
    const headers = { Authorization: 'Bearer good' }
    expect(await server.get('/p/*', headers)).toMatchObject({ status: 200, body: '[]' })
    await server.subscribe('/p/*', { headers })
  })

  const methods = ['GET', 'POST', 'PATCH', 'DELETE'] as const
  it.each([
    [{ read: true }, ['GET']],
    [{ write: true }, ['POST', 'PATCH']],
    [{ delete: true }, ['DELETE']],
    [{}, []],
    [{ read: true, write: true, delete: true }, methods],
    [undefined, methods],
  ])(
    'with 403 beyond the capabilities %j, before the target is looked for',
    async (capabilities, allowed) => {
      const target = await httpTarget((request, response) => {
        request.resume()
        response.end('done')
      })
      let asked = 0
      const server = await proxyTo('', {
        ...(capabilities === undefined ? {} : { capabilities }),
        resolve: () => {
          asked++
          return { address: target.address, path: 'x' }
        },
      })
      for (const method of methods) {
        const before = asked
        const { status, body } = await server.request(
          method,
          '/p/a',
          method === 'GET' ? undefined : '1',
        )
        const isAllowed = (allowed as readonly string[]).includes(method)
        expect({ method, status, body, asked: asked - before }).toEqual(
          isAllowed
            ? { method, status: 200, body: 'done', asked: 1 }
            : { method, status: 403, body: 'Forbidden\n', asked: 0 },
        )
      }
    },
  )

  it.each(['PUT', 'OPTIONS', 'TRACE', 'HEAD'])('with 405 for %s', async (method) => {
    const server = await proxyTo('unused:1')
    const answer = await server.request(method, '/p/a')
    expect(answer).toMatchObject({
      status: 405,
      body: method === 'HEAD' ? '' : 'method not allowed\n',
    })
  })

  it('with 400 and the text of the resolver, thrown or rejected', async () => {
    const server = await proxyTo('', {
      resolve: (path) => {
        if (path === 'p/now') throw new Error('no such room')
        return Promise.reject(new Error('no such room later'))
      },
    })
    expect(await server.get('/p/now')).toMatchObject({ status: 400, body: 'no such room\n' })
    expect(await server.get('/p/soon')).toMatchObject({ status: 400, body: 'no such room later\n' })
  })

  it.each([
    ['no port:or', 'a'],
    ['http://host:80', 'a'],
    ['user@host:80', 'a'],
    ['host:80/path', 'a'],
    ['host:99999', 'a'],
    ['', 'a'],
    ['127.0.0.1:1', 'a/../b'],
    ['127.0.0.1:1', '..'],
    ['127.0.0.1:1', './b'],
    ['127.0.0.1:1', '\ud800'],
  ])('with 400 when the target %j %j cannot be dialled', async (address, path) => {
    const server = await proxyTo('', { resolve: () => ({ address, path }) })
    const answer = await server.get('/p/a')
    expect(answer.status).toBe(400)
    expect(answer.body).toMatch(/^proxy: (?:address|remote path) .*\n$/)
  })

  it('with 503 when the resolver does not answer in time', async () => {
    const resolve = (): Promise<never> => new Promise(() => undefined)
    const server = await proxyTo('', { resolve, timeoutMs: 50 })
    expect(await server.get('/p/a')).toMatchObject({
      status: 503,
      body: 'proxy: no target for p/a in 50 ms\n',
    })
  })

  it('with 413 for a declared length above the cap, the target not being contacted', async () => {
    const target = await httpTarget((_request, response) => response.end())
    const server = await proxyTo(target.address, {}, { maxBodyBytes: 100 })
    expect((await server.post('/p/a', 'x'.repeat(100))).status).toBe(200)
    expect(await server.post('/p/a', 'x'.repeat(101))).toMatchObject({
      status: 413,
      body: 'Request Entity Too Large\n',
    })
    expect((await server.request('PATCH', '/p/a', 'x'.repeat(101))).status).toBe(413)
    expect(target.requests).toHaveLength(1)
  })

  it('with 413 when the cap is passed on the way, and the target never sees a whole body', async () => {
    let outcome = ''
    const target = await httpTarget((request) => {
      bodyOf(request).then(
        () => (outcome = 'whole'),
        () => (outcome = 'cut'),
      )
    })
    const server = await proxyTo(target.address, {}, { maxBodyBytes: 100 })
    const { request, answer } = upload(server)
    request.write('x'.repeat(90))
    await waitFor(() => target.requests[0], { what: 'the request' })
    request.end('x'.repeat(90))
    expect(await answer).toEqual({ status: 413, body: 'Request Entity Too Large\n' })
    await waitFor(() => outcome === 'cut', { what: 'the cut' })
  })

  it('with 502 when nobody listens, or the connection is cut', async () => {
    const dead = await proxyTo(await deadAddress())
    const answer = await dead.get('/p/a')
    expect(answer.status).toBe(502)
    expect(answer.body).toMatch(/^proxy: target failed: .*ECONNREFUSED.*\n$/)
    expect((await dead.post('/p/a', '1')).status).toBe(502)
    const target = await httpTarget((request) => request.socket.destroy())
    expect((await (await proxyTo(target.address)).get('/p/a')).status).toBe(502)
  })

  it('with 502 when the target talks nonsense', async () => {
    const nonsense = net.createServer((socket) => socket.end('ABRACADABRA\r\n\r\n'))
    nonsense.listen(0, '127.0.0.1')
    await once(nonsense, 'listening')
    afterTest(() => nonsense.close())
    const { port } = nonsense.address() as net.AddressInfo
    expect((await (await proxyTo(`127.0.0.1:${port}`)).get('/p/a')).status).toBe(502)
  })

  it('with 502 when the target stays silent', async () => {
    const target = await httpTarget(() => undefined)
    const server = await proxyTo(target.address, { timeoutMs: 80 })
    expect(await server.get('/p/a')).toMatchObject({
      status: 502,
      body: 'proxy: target failed: no answer in 80 ms\n',
    })
    await waitFor(() => target.requests[0]?.socket.destroyed, { what: 'the end of the request' })
  })

  it('with 503 when too many are under way, and no longer when they are over', async () => {
    const waiting: http.ServerResponse[] = []
    const target = await httpTarget((_request, response) => waiting.push(response))
    const server = await proxyTo(target.address, { maxConcurrentRequests: 2 })
    const first = [server.get('/p/a'), server.get('/p/b')]
    await waitFor(() => waiting.length === 2, { what: 'two requests' })
    const third = await server.get('/p/c')
    expect(third).toMatchObject({
      status: 503,
      body: 'proxy: 2 requests are under way; the limit',
    })
    for (const response of waiting) response.end('ok')
    for (const answer of await Promise.all(first)) expect(answer.body).toBe('ok')
    await waitFor(() => server.server.proxy.metrics().requests === 0, { what: 'the end of both' })
  })
})

describe('bodies of a proxied request', () => {
  const CHUNK = Buffer.alloc(64 * 1024, 'x')
  const TOTAL = 3000

  /** Writes until told to wait, until all is written. */
  async function pour(to: http.OutgoingMessage, progress: { written: number }): Promise<void> {
    while (progress.written < TOTAL) {
      progress.written++
      if (!to.write(CHUNK)) await once(to, 'drain')
    }
    to.end()
  }

  /** Resolves once so many milliseconds have passed. */
  async function pass(ms: number): Promise<void> {
    const start = performance.now()
    await waitFor(() => performance.now() - start > ms, { what: 'a long pause' })
  }

  /** The count once it has stopped growing. */
  async function stalled(progress: { written: number }): Promise<number> {
    let last = -1
    await waitFor(
      () => {
        const still = progress.written === last && last > 0
        last = progress.written
        return still
      },
      { intervalMs: 150, what: 'the stall' },
    )
    return last
  }

  it('come from the target no faster than the client reads, and arrive whole', async () => {
    const progress = { written: 0 }
    const target = await httpTarget((_request, response) => void pour(response, progress))
    const server = await proxyTo(target.address, { timeoutMs: 1000 })
    const request = http.get(`${server.url}/p/a`, { agent: false })
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    expect(await stalled(progress)).toBeLessThan(TOTAL / 2)
    // Beyond the time a target may be silent: it is the client who is slow.
    await pass(1500)
    let size = 0
    for await (const chunk of response) size += (chunk as Buffer).length
    expect(size).toBe(TOTAL * CHUNK.length)
  })

  it('go to the target no faster than it reads, and arrive whole', async () => {
    let incoming: http.IncomingMessage | undefined
    const target = await httpTarget((request) => {
      incoming = request
    })
    const server = await proxyTo(target.address, {}, { maxBodyBytes: -1 })
    const { request } = upload(server)
    const progress = { written: 0 }
    void pour(request, progress)
    const received = await waitFor(() => incoming, { what: 'the request' })
    expect(await stalled(progress)).toBeLessThan(TOTAL / 2)
    let size = 0
    for await (const chunk of received) size += (chunk as Buffer).length
    expect(size).toBe(TOTAL * CHUNK.length)
  })

  it('may come from the client slower than a target may be silent', async () => {
    let incoming: http.IncomingMessage | undefined
    const target = await httpTarget((request, response) => {
      incoming = request
      request.on('end', () => response.end('whole'))
    })
    const server = await proxyTo(target.address, { timeoutMs: 1000 })
    const { request, answer } = upload(server)
    request.write('[')
    const received = await waitFor(() => incoming, { what: 'the request' })
    let size = 0
    received.on('data', (chunk: Buffer) => {
      size += chunk.length
    })
    await waitFor(() => size === 1, { what: 'the beginning of the body' })
    await pass(1500)
    request.end(']')
    expect(await answer).toEqual({ status: 200, body: 'whole' })
  })

  it('that break off half way cut the client, in place of looking whole', async () => {
    for (const head of [{ 'Content-Length': '100' }, {}] as http.OutgoingHttpHeaders[]) {
      const target = await httpTarget((request, response) => {
        response.writeHead(200, head)
        response.write('half', () => request.socket.destroy())
      })
      const server = await proxyTo(target.address)
      await expect(server.get('/p/a')).rejects.toThrow()
    }
  })

  it('that stop half way cut the client after the time a target may be silent', async () => {
    const target = await httpTarget((_request, response) => response.write('half'))
    const server = await proxyTo(target.address, { timeoutMs: 80 })
    await expect(server.get('/p/a')).rejects.toThrow()
  })

  it('are given up at the target when the client leaves', async () => {
    for (const answer of [undefined, 'half']) {
      const target: HttpTarget = await httpTarget((_request, response) => {
        if (answer !== undefined) response.write(answer)
      })
      const server = await proxyTo(target.address)
      const request = http.get(`${server.url}/p/a`, { agent: false })
      request.on('error', () => undefined)
      request.on('response', (response) => response.on('error', () => undefined))
      const seen = await waitFor(() => target.requests[0], { what: 'the request' })
      request.destroy()
      await waitFor(() => seen.socket.destroyed, { what: 'the end at the target' })
      await waitFor(() => server.server.proxy.metrics().requests === 0, { what: 'the end' })
    }
  })

  it('that a client cuts short are never whole at the target', async () => {
    let outcome = ''
    const target = await httpTarget((request) => {
      bodyOf(request).then(
        () => (outcome = 'whole'),
        () => (outcome = 'cut'),
      )
    })
    const server = await proxyTo(target.address)
    const { request } = upload(server, { 'Content-Length': '100' })
    request.on('error', () => undefined)
    request.write('x'.repeat(50))
    await waitFor(() => target.requests[0], { what: 'the request' })
    request.destroy()
    await waitFor(() => outcome === 'cut', { what: 'the cut' })
  })

  it('may be answered early, before they are whole', async () => {
    const target = await httpTarget((_request, response) => {
      response.writeHead(413).end('too much')
    })
    const server = await proxyTo(target.address, {}, { maxBodyBytes: -1 })
    const { request, answer } = upload(server)
    request.on('error', () => undefined)
    request.write(CHUNK)
    expect(await answer).toEqual({ status: 413, body: 'too much' })
  })
})

describe('a body above the cap', () => {
  it('cuts an answer that has begun', async () => {
    const target = await httpTarget((_request, response) => response.write('begun'))
    const server = await proxyTo(target.address, {}, { maxBodyBytes: 100 })
    const { request, answer } = upload(server)
    request.on('error', () => undefined)
    request.write('x')
    await once(request, 'response')
    request.write('x'.repeat(200))
    await expect(answer).rejects.toThrow()
  })
})

describe('closing a server with proxies', () => {
  it('lets exchanges under way end, and forwards again after it was opened again', async () => {
    let waiting: http.ServerResponse | undefined
    const target = await httpTarget((_request, response) => {
      waiting = response
    })
    const server = await proxyTo(target.address)
    const answer = server.get('/p/a')
    await waitFor(() => waiting, { what: 'the request' })
    const { port } = server
    const closed = server.server.close()
    // No more connections: the proxies' own step of closing lies before that one.
    const refused = (): Promise<boolean> =>
      exchange(port, 'GET / HTTP/1.0\r\n\r\n').then(
        () => false,
        () => true,
      )
    await waitFor(refused, { what: 'a refused connection' })
    waiting?.end('done')
    expect((await answer).body).toBe('done')
    await closed
    await server.server.open()
    target.server.removeAllListeners('request')
    target.server.on('request', (_request, response) => response.end('again'))
    expect((await server.get('/p/a')).body).toBe('again')
  })
})
