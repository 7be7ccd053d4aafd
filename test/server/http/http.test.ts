/** Routing, methods, headers, limits and the pages around the data. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, inflateSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { afterTest, exchange, serve } from '../serve.ts'

describe('routing', () => {
  it.each(['/a:b', '/a%20b', '/a@b', '/%C3%A9', '/-/other'])(
    'knows nothing at %s',
    async (path) => {
      const server = await serve()
      expect(await server.get(path)).toMatchObject({ status: 404, body: '404 page not found\n' })
    },
  )

  it('refuses escapes that are not UTF-8', async () => {
    const server = await serve()
    expect((await server.get('/%ff')).status).toBe(400)
    expect((await server.get('/%zz')).status).toBe(400)
  })

  it.each(['PUT', 'TRACE', 'PROPFIND'])(
    'refuses %s on a key and names what it takes',
    async (method) => {
      const server = await serve()
      const answer = await server.request(method, '/a')
      expect(answer).toMatchObject({ status: 405, body: 'Method Not Allowed\n' })
      expect(answer.headers.allow).toBe('GET, HEAD, POST, PATCH, DELETE, OPTIONS')
    },
  )

  it('refuses POST on the page', async () => {
    const server = await serve()
    expect(await server.post('/', '1')).toMatchObject({ status: 405, body: 'Method Not Allowed\n' })
  })

  it('answers OPTIONS on a key', async () => {
    const server = await serve()
    const { status, headers } = await server.request('OPTIONS', '/a')
    expect(status).toBe(204)
    expect(headers.allow).toContain('PATCH')
  })

  it('answers HEAD as GET without the body', async () => {
    const server = await serve()
    await server.post('/a', '"text"')
    const get = await server.get('/a')
    const head = await server.request('HEAD', '/a')
    expect(head).toMatchObject({ status: 200, body: '' })
    expect(head.headers['content-length']).toBe(String(Buffer.byteLength(get.body)))
    expect(head.headers['content-type']).toBe('application/json')
    expect((await server.request('HEAD', '/absent')).status).toBe(404)
  })

  it('takes the absolute form that proxies send', async () => {
    const server = await serve({ allowedHosts: ['example.org'] })
    await server.post('/a', '1')
    const answer = await exchange(
      server.port,
      'GET http://example.org/a HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n',
    )
    expect(answer.status).toBe(200)
  })

  it('ignores an offer to speak another protocol', async () => {
    const server = await serve()
    await server.post('/a', '1')
    const offer = (method: string): string =>
      `${method} /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n`
    const answer = await exchange(server.port, offer('GET'))
    expect(answer.status).toBe(200)
    expect(answer.body).toContain('"data":1')
    expect((await exchange(server.port, offer('DELETE'))).status).toBe(400)
  })

  it('reports health', async () => {
    const server = await serve()
    expect(await server.get('/-/healthz')).toMatchObject({ status: 200, body: 'ok' })
  })
})

describe('compression', () => {
  const text = JSON.stringify({ text: 'abc '.repeat(1000) })

  it.each([
    ['gzip', 'gzip', gunzipSync],
    ['deflate, gzip', 'deflate', inflateSync],
    ['br, gzip;q=0, deflate', 'deflate', inflateSync],
  ])('of a long body for Accept-Encoding %s', async (accept, encoding, decode) => {
    const server = await serve()
    await server.post('/a', text)
    const answer = await fetchRaw(`${server.url}/a`, accept)
    expect(answer.headers.get('content-encoding')).toBe(encoding)
    expect(answer.headers.get('vary')).toContain('Accept-Encoding')
    expect(answer.bytes.length).toBeLessThan(1000)
    expect(decode(answer.bytes).toString()).toContain(text)
  })

  it.each([
    ['a short body', '1', 'gzip'],
    ['a client that takes none', text, 'identity'],
    ['a client that refuses it', text, 'gzip;q=0'],
  ])('is left out for %s', async (_what, body, accept) => {
    const server = await serve()
    await server.post('/a', body)
    const { headers } = await server.get('/a', { 'accept-encoding': accept })
    expect(headers['content-encoding']).toBeUndefined()
    expect(headers.vary).toContain('Accept-Encoding')
  })
})

/** fetch decodes bodies by itself; a raw socket does not. */
async function fetchRaw(url: string, accept: string): Promise<{ headers: Headers; bytes: Buffer }> {
  const { request } = await import('node:http')
  return new Promise((resolve, reject) => {
    request(url, { agent: false, headers: { 'accept-encoding': accept } }, (incoming) => {
      const chunks: Buffer[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
      incoming.on('end', () => {
        const headers = new Headers(incoming.headers as Record<string, string>)
        resolve({ headers, bytes: Buffer.concat(chunks) })
      })
    })
      .on('error', reject)
      .end()
  })
}

describe('CORS', () => {
  const preflight = (origin: string, method: string, headers = ''): Record<string, string> => ({
    origin,
    'access-control-request-method': method,
    ...(headers === '' ? {} : { 'access-control-request-headers': headers }),
  })

  it('lets every origin read where all are listed', async () => {
    const server = await serve({ allowedOrigins: ['*'] })
    const { headers } = await server.get('/a', { origin: 'http://page.example' })
    expect(headers['access-control-allow-origin']).toBe('*')
    expect(headers.vary).toContain('Origin')
    expect((await server.get('/a')).headers['access-control-allow-origin']).toBeUndefined()
  })

  it('echoes a listed origin, whatever its case, and wildcards', async () => {
    const server = await serve({ allowedOrigins: ['http://Page.example', 'https://*.example'] })
    const allowed = async (origin: string): Promise<string | undefined> =>
      (await server.get('/a', { origin })).headers['access-control-allow-origin']
    expect(await allowed('http://page.Example')).toBe('http://page.Example')
    expect(await allowed('https://a.example')).toBe('https://a.example')
    expect(await allowed('http://other.example')).toBeUndefined()
  })

  it('answers a preflight with what was asked for', async () => {
    const server = await serve({ allowedOrigins: ['http://page.example'] })
    const { status, headers } = await server.request('OPTIONS', '/any:path', undefined, {
      headers: preflight('http://page.example', 'PATCH', 'Content-Type, authorization'),
    })
    expect(status).toBe(204)
    expect(headers).toMatchObject({
      'access-control-allow-origin': 'http://page.example',
      'access-control-allow-methods': 'PATCH',
      'access-control-allow-headers': 'Content-Type, authorization',
      vary: 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers',
    })
    expect(headers['access-control-allow-credentials']).toBeUndefined()
    expect(headers['access-control-max-age']).toBeUndefined()
  })

  it.each([
    ['another method', preflight('http://page.example', 'BREW')],
    ['another header', preflight('http://page.example', 'GET', 'X-Custom')],
  ])('answers a preflight from %s without permission', async (_what, headers) => {
    const server = await serve({ allowedOrigins: ['http://page.example'] })
    const answer = await server.request('OPTIONS', '/a', undefined, { headers })
    expect(answer.status).toBe(204)
    expect(answer.headers['access-control-allow-origin']).toBeUndefined()
    expect(answer.headers['access-control-allow-methods']).toBeUndefined()
  })
})

describe('the deadline', () => {
  it('answers 503 to a write that takes too long; reads go on', async () => {
    const storage = new MemoryStorage()
    let release = (): void => undefined
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const batch = storage.batch.bind(storage)
    const server = await serve({ storage, deadlineMs: 500 })
    storage.batch = async (operations, options) => {
      await held
      await batch(operations, options)
    }
    afterTest(release)
    const refusal = { status: 503, body: 'ooo: server deadline reached' }
    expect(await server.post('/a', '1')).toMatchObject(refusal)
    expect(await server.request('DELETE', '/other/*')).toMatchObject(refusal)
    expect((await server.get('/a')).status).toBe(404)
    release()
    expect((await server.post('/b', '1')).status).toBe(200)
    expect((await server.get('/a')).status).toBe(200)
  })

  it('counts the time a body takes to arrive', async () => {
    const server = await serve({ deadlineMs: 50 })
    const answer = await exchange(
      server.port,
      'POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\n12',
    )
    expect(answer).toMatchObject({ status: 503, body: 'ooo: server deadline reached' })
  })
})

describe('a failing storage', () => {
  it('is a 500 with the text of the error', async () => {
    const storage = new MemoryStorage()
    const server = await serve({ storage })
    storage.batch = () => Promise.reject(new Error('no space left'))
    const answer = await server.post('/a', '1')
    expect(answer.status).toBe(500)
    expect(answer.body).toContain('no space left')
  })
})

describe('the page', () => {
  async function uiFolder(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'ui-'))
    afterTest(() => rm(folder, { recursive: true }))
    await mkdir(join(folder, 'ui/assets'), { recursive: true })
    await writeFile(join(folder, 'secret.txt'), 'secret')
    await writeFile(join(folder, 'ui/index.html'), '<!doctype html><title>UI</title>')
    await writeFile(join(folder, 'ui/assets/index-Bq3xV0aP.js'), 'export {}')
    await writeFile(join(folder, 'ui/assets/plain.css'), 'a{}')
    await writeFile(join(folder, 'ui/.hidden'), 'hidden')
    return join(folder, 'ui')
  }

  it('names the server when no UI is installed', async () => {
    const server = await serve({ name: 'kitchen <1>' })
    const { status, body, headers } = await server.get('/?api=anything')
    expect(status).toBe(200)
    expect(headers['content-type']).toBe('text/html; charset=utf-8')
    expect(body).toContain('kitchen &#60;1&#62;')
    expect((await server.get('/-/ui/index.html')).status).toBe(404)
  })

  it('is the UI, never cached; hashed assets are cached for good', async () => {
    const server = await serve({ uiDir: await uiFolder() })
    const page = await server.get('/')
    expect(page.body).toContain('<title>UI</title>')
    expect(page.headers['cache-control']).toBe('no-cache')
    const script = await server.get('/-/ui/assets/index-Bq3xV0aP.js')
    expect(script).toMatchObject({ status: 200, body: 'export {}' })
    expect(script.headers['content-type']).toBe('application/javascript')
    expect(script.headers['cache-control']).toBe('public, max-age=31536000, immutable')
    const style = await server.get('/-/ui/assets/plain.css')
    expect(style.headers['content-type']).toBe('text/css')
    expect(style.headers['cache-control']).toBe('no-cache')
  })

  it.each([
    '/-/ui/../secret.txt',
    '/-/ui/%2e%2e/secret.txt',
    '/-/ui/..%2fsecret.txt',
    '/-/ui/assets/..%5c..%5csecret.txt',
    '/-/ui//etc/passwd',
    '/-/ui/.hidden',
    '/-/ui/%00',
    '/-/ui/assets',
    '/-/ui/absent.js',
    '/-/ui/',
  ])('serves nothing at %s', async (path) => {
    const server = await serve({ uiDir: await uiFolder() })
    const answer = await exchange(
      server.port,
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    )
    expect(answer).toMatchObject({ status: 404, body: 'file not found' })
  })
})
