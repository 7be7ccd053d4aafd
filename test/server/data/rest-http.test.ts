/** REST as HTTP: how bodies may arrive, HEAD, compression, headers of answers. Wire format 3.2–3.6. */
import { describe, expect, it } from 'vitest'
import { exchange, serve } from '../serve.ts'

function raw(method: string, path: string, headers: readonly string[], body = ''): string {
  const lines = ['Host: x', 'Connection: close', ...headers]
  return `${method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`
}

describe('a body', () => {
  it.each([
    [],
    ['text/plain'],
    ['application/x-www-form-urlencoded'],
    ['nonsense; charset=;;'],
    ['application/json', 'text/html'],
  ])('is JSON whatever its type is called: %s %s', async (...types) => {
    const server = await serve()
    const headers = ['Content-Length: 7', ...types.map((type) => `Content-Type: ${type}`)]
    const answer = await exchange(server.port, raw('POST', '/a', headers, '{"x":1}'))
    expect([answer.status, answer.body]).toEqual([200, '{"index":"a"}'])
    expect((await server.get('/a')).body).toContain('"data":{"x":1}')
  })

  it('may come in chunks that cut characters apart', async () => {
    const server = await serve()
    const bytes = Buffer.from('{"s":"é😀"}')
    const chunks = [...bytes].map((byte) => `1\r\n${String.fromCharCode(byte)}\r\n`).join('')
    const head = raw('POST', '/a', ['Transfer-Encoding: chunked'])
    const answer = await exchange(server.port, Buffer.from(`${head}${chunks}0\r\n\r\n`, 'latin1'))
    expect(answer.status).toBe(200)
    expect((await server.get('/a')).body).toContain('"data":{"s":"é😀"}')
  })

  it('may wait for 100 Continue', async () => {
    const server = await serve()
    const head = raw('POST', '/a', ['Expect: 100-continue', 'Content-Length: 1'], '7')
    const { head: first, body } = await exchange(server.port, head)
    expect(first).toBe('HTTP/1.1 100 Continue')
    expect(body).toContain('{"index":"a"}')
  })

  it.each([
    ['\uFEFF{"x":1}', 'a byte order mark'],
    ['{"s":"\\uD800"', 'half a document'],
    ["{'x':1}", 'single quotes'],
    ['{"x":1,}', 'a trailing comma'],
    ['[01]', 'a leading zero'],
    ['"\t"', 'a bare tab in a string'],
    ['NaN', 'a number that is none'],
  ])('that is not JSON is refused, with its data left alone: %j (%s)', async (body) => {
    const server = await serve()
    await server.post('/a', '1')
    for (const method of ['POST', 'PATCH']) {
      const answer = await server.request(method, '/a', body)
      expect([answer.status, answer.headers['content-type']]).toEqual([
        400,
        'text/plain; charset=utf-8',
      ])
      expect(answer.body).not.toMatch(/\n$/)
    }
    expect((await server.get('/a')).body).toContain('"data":1}')
  })

  it('is taken as it is, escapes and all', async () => {
    const server = await serve()
    const data = '{"a":"\\ud83d\\ude00\\u2028<&>\\/","\\u0061":1E+2}'
    await server.post('/a', data)
    expect((await server.get('/a')).body).toContain(`"data":${data}}`)
  })
})

describe('reads', () => {
  it('take no notice of a version in the query', async () => {
    const server = await serve()
    await server.post('/a', '1')
    const plain = await server.get('/a')
    for (const query of ['?v=1', '?v=', '?v', '?other=x&v=2']) {
      const answer = await server.get(`/a${query}`)
      expect([answer.status, answer.body]).toEqual([200, plain.body])
    }
  })

  it.each(['/a', '/absent', '/t/*', '/a//b'])(
    'HEAD %s has the headers of GET and no body',
    async (path) => {
      const server = await serve()
      await server.post('/a', `"${'x'.repeat(3000)}"`)
      await server.post('/t/1', '1')
      for (const headers of [{}, { 'accept-encoding': 'gzip' }]) {
        const get = await server.get(path, headers)
        const head = await server.request('HEAD', path, undefined, { headers })
        expect([head.status, head.body]).toEqual([get.status, ''])
        const { date: _d1, ...expected } = get.headers
        const { date: _d2, ...shown } = head.headers
        expect(shown).toEqual(expected)
      }
    },
  )

  it('say what the answer depends on, and nothing of caching', async () => {
    const server = await serve()
    await server.post('/a', '1')
    for (const path of ['/a', '/*', '/absent']) {
      const { headers } = await server.get(path)
      expect(headers.vary).toBe('Origin, Accept-Encoding')
      expect(headers['cache-control']).toBeUndefined()
      expect(headers['last-modified']).toBeUndefined()
    }
    expect((await server.request('DELETE', '/a')).headers.vary).toBe('Origin, Accept-Encoding')
  })
})

describe('compression', () => {
  const long = `"${'x'.repeat(5000)}"`
  const accept = { 'accept-encoding': 'gzip' }

  it('can be turned off', async () => {
    const server = await serve({ compression: false })
    await server.post('/a', long)
    expect((await server.get('/a', accept)).headers['content-encoding']).toBeUndefined()
  })

  it('is left out when the request offers another protocol', async () => {
    const server = await serve()
    await server.post('/a', long)
    expect((await server.get('/a', accept)).headers['content-encoding']).toBe('gzip')
    const headers = { ...accept, connection: 'Upgrade', upgrade: 'h2c' }
    const answer = await server.get('/a', headers)
    expect([answer.status, answer.headers['content-encoding']]).toEqual([200, undefined])
  })
})

describe('many writers at once', () => {
  it('each PATCH of a field of its own is there in the end', async () => {
    const server = await serve()
    await server.post('/a', '{}')
    const patches = Array.from({ length: 100 }, (_, i) =>
      server.request('PATCH', '/a', `{"k${i}":${i},"nested":{"n${i}":1}}`),
    )
    expect((await Promise.all(patches)).every(({ status }) => status === 200)).toBe(true)
    const { data } = JSON.parse((await server.get('/a')).body) as { data: { nested: object } }
    expect(Object.keys(data)).toHaveLength(101)
    expect(Object.keys(data.nested)).toHaveLength(100)
  })

  it('each push has a key of its own, and every list shows them in one order', async () => {
    const server = await serve()
    const pushes = Array.from({ length: 100 }, (_, i) => server.post('/log/*', `${i}`))
    const indices = (await Promise.all(pushes)).map(
      ({ body }) => (JSON.parse(body) as { index: string }).index,
    )
    expect(new Set(indices).size).toBe(100)
    const list = JSON.parse((await server.get('/log/*')).body) as { index: string }[]
    expect(list.map(({ index }) => index)).toEqual([...indices].sort().reverse())
  })
})
