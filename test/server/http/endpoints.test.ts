/** Custom endpoints over real sockets. */
import * as http from 'node:http'
import * as net from 'node:net'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { StateError } from '../../../src/core/errors.ts'
import type { Logger } from '../../../src/core/ports/logger.ts'
import type { Endpoint, WebEndpoint } from '../../../src/server/routing/endpoint.ts'
import { waitFor } from '../../support/wait.ts'
import { afterTest, exchange, handshake, serve } from '../serve.ts'

/** A logger that keeps what it is told. */
function memoryLogger(): Logger & { readonly lines: string[] } {
  const lines: string[] = []
  const log =
    (level: string) =>
    (message: string, fields?: object): void => {
      lines.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`)
    }
  return { lines, debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') }
}

const text =
  (body: string): WebEndpoint['fetch'] =>
  () =>
    new Response(body)

const PERSON = {
  type: 'object',
  properties: { name: { type: 'string' }, tags: { type: 'array', items: { type: 'string' } } },
  required: ['name'],
}

describe('an endpoint', () => {
  it('answers on its path with the variables, the query and the method', async () => {
    const node = await serve()
    node.server.endpoint({
      path: '/greet/{name}/{id:[0-9]{2,4}}',
      methods: { GET: {}, POST: {} },
      fetch: (request, { variables, url }) =>
        Response.json({ ...variables, method: request.method, q: url.searchParams.get('q') }),
    })
    const answer = await node.get('/greet/J%C3%BCrgen/42?q=1')
    expect(answer.status).toBe(200)
    expect(answer.headers['content-type']).toBe('application/json')
    expect(JSON.parse(answer.body)).toEqual({ name: 'Jürgen', id: '42', method: 'GET', q: '1' })
    expect((await node.post('/greet/a/123', '{}')).body).toContain('"POST"')
    expect((await node.get('/greet/a/12345')).body).toBe('ooo: empty key')
  })

  it('gives a Node handler the bare request and response', async () => {
    const node = await serve()
    node.server.endpoint({
      path: '/echo',
      methods: { PUT: {} },
      handler: (request, response, { url }) => {
        response.writeHead(201, { 'x-path': url.pathname })
        request.pipe(response)
      },
    })
    const answer = await node.request('PUT', '/echo', 'as it is')
    expect(answer).toMatchObject({ status: 201, body: 'as it is' })
    expect(answer.headers['x-path']).toBe('/echo')
  })

  it('reads and writes data with filters, also in static mode', async () => {
    const node = await serve({ static: true })
    node.server.endpoint({
      path: '/count',
      methods: { POST: {} },
      fetch: async (_request, { io }) => {
        const before = await io.get<{ n: number }>('counter')
        await io.set('counter', { n: (before?.data.n ?? 0) + 1 })
        return Response.json((await io.get<{ n: number }>('counter'))?.data)
      },
    })
    expect((await node.post('/count', '')).body).toBe('{"n":1}')
    expect((await node.post('/count', '')).body).toBe('{"n":2}')
    expect((await node.get('/counter')).status).toBe(400)
  })

  it('wins over the data route for its methods only', async () => {
    const node = await serve()
    await node.post('/both', '{"stored":true}')
    const remove = node.server.endpoint({
      path: '/both',
      methods: { GET: {} },
      fetch: text('mine'),
    })
    expect((await node.get('/both')).body).toBe('mine')
    expect((await node.post('/both', '{"stored":false}')).body).toBe('{"index":"both"}')
    remove()
    expect((await node.get('/both')).body).toContain('{"stored":false}')
  })

  it('gets the first registered when several match', async () => {
    const node = await serve()
    node.server.endpoint({ path: '/a/{x}', methods: { GET: {} }, fetch: text('first') })
    node.server.endpoint({ path: '/a/b', methods: { GET: {}, PUT: {} }, fetch: text('second') })
    expect((await node.get('/a/b')).body).toBe('first')
    expect((await node.request('PUT', '/a/b')).body).toBe('second')
  })

  it('never matches without methods', async () => {
    const node = await serve()
    node.server.endpoint({ path: '/none', methods: {}, fetch: text('never') })
    expect((await node.get('/none')).status).toBe(404)
  })

  it('answers HEAD as GET without the body', async () => {
    const node = await serve()
    node.server.endpoint({ path: '/head', methods: { GET: {} }, fetch: text('12345') })
    expect(await node.request('HEAD', '/head')).toMatchObject({ status: 200, body: '' })
  })

  it('answers 405 for other methods where no key can be', async () => {
    const node = await serve()
    node.server.endpoint({ path: '/x:y', methods: { GET: {}, PUT: {} }, fetch: text('ok') })
    const answer = await node.post('/x:y', '{}')
    expect(answer).toMatchObject({ status: 405, body: 'Method Not Allowed\n' })
    expect(answer.headers.allow).toBe('GET, PUT')
    expect((await node.get('/x:z')).status).toBe(404)
    const asked = await node.request('OPTIONS', '/x:y')
    expect(asked).toMatchObject({ status: 204, headers: { allow: 'GET, PUT, HEAD, OPTIONS' } })
    node.server.endpoint({ path: '/key', methods: { PUT: {} }, fetch: text('ok') })
    expect((await node.request('OPTIONS', '/key')).headers.allow).toBe(
      'PUT, GET, HEAD, POST, PATCH, DELETE, OPTIONS',
    )
  })

  it('is outside of static mode, and stays over close and open', async () => {
    const node = await serve({ static: true })
    node.server.endpoint({ path: '/open', methods: { GET: {} }, fetch: text('here') })
    await node.server.close()
    await node.server.open()
    expect((await node.get('/open')).body).toBe('here')
    expect((await node.get('/closed')).status).toBe(400)
  })

  it('cannot take the paths that are the server’s own', async () => {
    const node = await serve()
    node.server.endpoint({ path: '/{all:.*}', methods: { GET: {} }, fetch: text('all') })
    expect((await node.get('/-/healthz')).body).toBe('ok')
    expect((await node.get('/anything/else')).body).toBe('all')
  })
})

describe('errors of an endpoint', () => {
  it('become their status, or 500 without a word about the inside', async () => {
    const logger = memoryLogger()
    const node = await serve({ logger })
    const failing = (path: string, error: Error): void => {
      node.server.endpoint({
        path,
        methods: { GET: {} },
        fetch: () => Promise.reject(error),
      })
    }
    failing('/known', new StateError('forbidden', 'not for you'))
    failing('/unknown', new Error('secret detail'))
    expect(await node.get('/known')).toMatchObject({ status: 403, body: 'not for you' })
    const answer = await node.get('/unknown')
    expect(answer).toMatchObject({ status: 500, body: 'ooo: internal server error' })
    expect(logger.lines.join('\n')).toContain('secret detail')
  })

  it('cut an answer that was begun', async () => {
    const node = await serve()
    node.server.endpoint({
      path: '/half',
      methods: { GET: {} },
      fetch: () => new Response(failingStream()),
    })
    await expect(node.get('/half')).rejects.toThrow()
    expect((await node.get('/-/healthz')).body).toBe('ok')
  })

  it('refuse what cannot be registered, naming it', async () => {
    const { server } = await serve()
    const methods = { GET: {} }
    const fetch = text('ok')
    const refused = (endpoint: unknown): unknown => {
      try {
        server.endpoint(endpoint as Endpoint)
      } catch (error) {
        return error
      }
      return undefined
    }
    expect(refused({ path: 'a', methods, fetch })).toMatchObject({ code: 'invalid_option' })
    expect(String(refused({ path: '/{a:[}', methods, fetch }))).toContain('/{a:[}')
    expect(String(refused({ path: '/{a', methods, fetch }))).toContain('not closed')
    expect(String(refused({ path: '/a}', methods, fetch }))).toContain('not opened')
    expect(String(refused({ path: '/{a:b)(c}', methods, fetch }))).toContain('/{a:b)(c}')
    expect(String(refused({ path: '/{a}/{a}', methods, fetch }))).toContain('two variables')
    expect(String(refused({ path: '/a', methods }))).toContain('exactly one')
    expect(String(refused({ path: '/a', methods, fetch, handler: fetch }))).toContain('exactly one')
    expect(String(refused({ path: '/a', methods: { get: {} }, fetch }))).toContain('"get"')
    const schema = { GET: { request: { type: 'nonsense' } } }
    expect(String(refused({ path: '/a', methods: schema, fetch }))).toContain('GET /a (request)')
  })
})

describe('schemas of an endpoint', () => {
  it('refuse a document that does not fit, naming the place', async () => {
    const node = await serve()
    node.server.endpoint({
      path: '/people',
      methods: { POST: { request: PERSON } },
      fetch: async (request, { body }) =>
        Response.json({ body, same: JSON.stringify(body) === (await request.text()) }),
    })
    const post = (body: string) => node.post('/people', body)
    expect(await post('{"name":"a","tags":["x",1]}')).toMatchObject({
      status: 400,
      body: 'schema: tags.1: must be string',
    })
    expect(await post('{}')).toMatchObject({ status: 400 })
    expect(await post('{"name"')).toMatchObject({ status: 400 })
    expect(await post('')).toMatchObject({ status: 400, body: 'EOF' })
    const fitting = await post('{ "name": "a" }')
    expect(JSON.parse(fitting.body)).toEqual({ body: { name: 'a' }, same: true })
  })

  it('may be of any library that follows Standard Schema, and transform', async () => {
    const node = await serve()
    const request = z.object({ at: z.object({ n: z.number().default(7) }), s: z.string().trim() })
    node.server.endpoint({
      path: '/zod',
      methods: { POST: { request } },
      handler: (_request, response, { body }) => void response.end(JSON.stringify(body)),
    })
    expect((await node.post('/zod', '{"at":{},"s":" x "}')).body).toBe('{"at":{"n":7},"s":"x"}')
    const refused = await node.post('/zod', '{"at":{"n":"7"},"s":""}')
    expect(refused.status).toBe(400)
    expect(refused.body).toMatch(/^schema: at\.n: /)
  })

  it('keep an answer that does not fit from the client, and log it', async () => {
    const logger = memoryLogger()
    const node = await serve({ logger })
    node.server.endpoint({
      path: '/answer/{name}',
      methods: { GET: { response: PERSON } },
      fetch: (_request, { variables }) =>
        variables.name === 'none'
          ? new Response('no such person', { status: 404 })
          : Response.json({ name: variables.name === 'bad' ? 1 : variables.name }),
    })
    expect((await node.get('/answer/good')).body).toBe('{"name":"good"}')
    expect(await node.get('/answer/none')).toMatchObject({ status: 404, body: 'no such person' })
    expect(await node.get('/answer/bad')).toMatchObject({
      status: 500,
      body: 'ooo: internal server error',
    })
    expect(logger.lines.join('\n')).toContain(
      '/answer/{name} answered against its schema: name: must',
    )
  })

  it('hold for a Node handler too, however it writes', async () => {
    const logger = memoryLogger()
    const node = await serve({ logger, maxBodyBytes: 1000 })
    node.server.endpoint({
      path: '/node/{kind}',
      methods: { GET: { response: PERSON } },
      handler: (_request, response, { variables }) => {
        const { kind } = variables
        if (kind === 'failed') {
          response.writeHead(404, 'Nobody').end('nobody')
          return
        }
        response.writeHead(201, { 'Content-Type': 'application/json', 'X-Kind': kind })
        response.write('{"name":')
        const text = { good: '"a"}', bad: '1}', long: `"${'x'.repeat(1000)}"}` }[kind ?? '']
        setImmediate(() => response.end(text, 'utf8'))
      },
    })
    const good = await node.get('/node/good')
    expect(good).toMatchObject({ status: 201, body: '{"name":"a"}' })
    expect(good.headers).toMatchObject({ 'content-type': 'application/json', 'x-kind': 'good' })
    expect(await node.get('/node/failed')).toMatchObject({ status: 404, body: 'nobody' })
    for (const kind of ['bad', 'long']) {
      const answer = await node.get(`/node/${kind}`)
      expect(answer).toMatchObject({ status: 500, body: 'ooo: internal server error' })
      expect(answer.headers).not.toHaveProperty('x-kind')
    }
    expect(logger.lines.join('\n')).toMatch(/name: must be string.*longer than 1000 bytes/s)
  })
})

describe('an endpoint that takes handshakes', () => {
  it('speaks whatever it wants on the socket, which ends with the server', async () => {
    const node = await serve()
    let signal: AbortSignal | undefined
    node.server.endpoint({
      path: '/raw/{room}',
      methods: { GET: {} },
      fetch: text('plain'),
      upgrade: (_request, socket, _head, context) => {
        signal = context.signal
        socket.write(`HTTP/1.1 101 Switching Protocols\r\n\r\nroom ${context.variables.room}`)
      },
    })
    expect((await node.get('/raw/a')).body).toBe('plain')
    const socket = net.connect(node.port, '127.0.0.1', () => socket.write(handshake('/raw/blue')))
    afterTest(() => socket.destroy())
    let heard = ''
    socket.on('data', (data) => {
      heard += String(data)
    })
    await waitFor(() => heard.endsWith('room blue'))
    await node.server.close()
    await waitFor(() => signal?.aborted)
  })

  it('leaves handshakes on other endpoints to subscriptions', async () => {
    const node = await serve()
    await node.server.store.set('key', '1')
    node.server.endpoint({ path: '/key', methods: { GET: {} }, fetch: text('mine') })
    expect((await node.get('/key')).body).toBe('mine')
    expect((await node.subscribe('/key')).texts).toHaveLength(1)
  })
})

describe('a web handler', () => {
  it('reads no more of a body than maxBodyBytes', async () => {
    const node = await serve({ maxBodyBytes: 1000 })
    let calls = 0
    node.server.endpoint({
      path: '/size',
      methods: { POST: {} },
      fetch: async (request) => {
        calls++
        return new Response(String((await request.text()).length))
      },
    })
    expect((await node.post('/size', 'x'.repeat(1000))).body).toBe('1000')
    const declared = await node.post('/size', 'x'.repeat(1001))
    expect(declared).toMatchObject({ status: 413, body: 'Request Entity Too Large' })
    expect(calls).toBe(1)
    const chunks = `3e8\r\n${'x'.repeat(1000)}\r\n1\r\nx\r\n0\r\n\r\n`
    const head = 'POST /size HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked'
    expect(await exchange(node.port, `${head}\r\n\r\n${chunks}`)).toMatchObject({ status: 413 })
  })

  it.each(['reads', 'ignores'])(
    'that %s the body survives a client that stops half way',
    async (kind) => {
      const logger = memoryLogger()
      const node = await serve({ logger })
      let signal: AbortSignal | undefined
      let outcome: unknown
      node.server.endpoint({
        path: '/upload',
        methods: { POST: {} },
        fetch: async (request, context) => {
          signal = context.signal
          try {
            if (kind === 'reads') await request.text()
            else await new Promise((resolve) => context.signal.addEventListener('abort', resolve))
            outcome = 'done'
          } catch (error) {
            outcome = error
          }
          return new Response('nobody hears this')
        },
      })
      const socket = net.connect(node.port, '127.0.0.1')
      socket.write('POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf')
      await waitFor(() => signal)
      socket.destroy()
      await waitFor(() => outcome)
      expect(outcome === 'done').toBe(kind === 'ignores')
      expect(signal?.aborted).toBe(true)
      expect(logger.lines.filter((line) => line.startsWith('error'))).toEqual([])
      expect((await node.get('/-/healthz')).body).toBe('ok')
    },
  )

  it('keeps the headers of both sides', async () => {
    const node = await serve()
    node.server.endpoint({
      path: '/headers',
      methods: { GET: {} },
      fetch: (request) => {
        const headers = new Headers({
          'x-seen': request.headers.get('x-sent') ?? '',
          vary: 'Cookie',
        })
        headers.append('set-cookie', 'a=1')
        headers.append('set-cookie', 'b=2')
        return new Response(null, { status: 202, headers })
      },
    })
    const { status, headers } = await node.get('/headers', { 'x-sent': 'hello' })
    expect(status).toBe(202)
    expect(headers['x-seen']).toBe('hello')
    expect(headers['set-cookie']).toEqual(['a=1', 'b=2'])
    expect(headers.vary).toBe('Origin, Cookie')
    expect(headers['access-control-allow-origin']).toBeUndefined()
  })

  it('streams, only as fast as the client takes it, and stops when it goes', async () => {
    const node = await serve()
    let produced = 0
    let cancelled = false
    let aborted = false
    node.server.endpoint({
      path: '/stream',
      methods: { GET: {} },
      fetch: (request) => {
        request.signal.addEventListener('abort', () => {
          aborted = true
        })
        return new Response(
          new ReadableStream({
            pull: (controller) => {
              produced++
              controller.enqueue(new Uint8Array(64 * 1024))
            },
            cancel: () => {
              cancelled = true
            },
          }),
        )
      },
    })
    const response = await open(`${node.url}/stream`)
    response.pause()
    await waitFor(() => produced > 1)
    // A slow reader must bound the producer: it stands still long before 256 MiB.
    let last = -1
    await waitFor(
      () => {
        const same = produced === last
        last = produced
        return same
      },
      { intervalMs: 100 },
    )
    expect(produced).toBeLessThan(4096)
    response.destroy()
    await waitFor(() => cancelled && aborted)
    expect((await node.get('/-/healthz')).body).toBe('ok')
  })

  it('is aborted when the server closes and its deadline has passed', async () => {
    const node = await serve({ deadlineMs: 50 })
    let started = false
    let reason: unknown
    node.server.endpoint({
      path: '/forever',
      methods: { GET: {} },
      fetch: (_request, { signal }) =>
        new Promise((_resolve, reject) => {
          started = true
          signal.addEventListener('abort', () => {
            reason = signal.reason
            reject(new Error('gone'))
          })
        }),
    })
    const asked = node.get('/forever').catch((error: unknown) => error)
    await waitFor(() => started)
    await node.server.close()
    await waitFor(() => reason)
    expect(reason).toMatchObject({ code: 'closing' })
    expect(await asked).toBeInstanceOf(Error)
  })
})

function failingStream(): ReadableStream<Uint8Array> {
  let pulls = 0
  return new ReadableStream({
    pull: (controller) => {
      if (pulls++ > 2) controller.error(new Error('broken'))
      else controller.enqueue(new Uint8Array(100_000))
    },
  })
}

function open(url: string): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent: false }, resolve)
    request.on('error', reject)
    afterTest(() => request.destroy())
  })
}
