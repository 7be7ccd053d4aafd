/** REST on keys: wire format section 3. */
import { describe, expect, it } from 'vitest'
import { serve } from '../serve.ts'

const META =
  /^\{"created":(\d{19}),"updated":(\d+),"index":"([^"]*)","path":"([^"]*)","data":(.*)\}$/

describe('GET', () => {
  it('gives the meta object of a plain key, data byte for byte', async () => {
    const server = await serve()
    await server.post(
      '/box/a-b_c.d',
      ' { "n" : 12345678901234567890 , "f": 1.50, "s": "<é\\u003c>" } ',
    )
    const { status, body, headers } = await server.get('/box/a-b_c.d')
    expect(status).toBe(200)
    expect(headers['content-type']).toBe('application/json')
    const [, , updated, index, path, data] = META.exec(body) ?? []
    expect([updated, index, path]).toEqual(['0', 'a-b_c.d', 'box/a-b_c.d'])
    expect(data).toBe('{"n":12345678901234567890,"f":1.50,"s":"<é\\u003c>"}')
  })

  it('gives 404 for an absent key', async () => {
    const server = await serve()
    expect(await server.get('/absent')).toMatchObject({ status: 404, body: 'ooo: empty key' })
  })

  it('gives lists newest first for every form of glob', async () => {
    const server = await serve()
    for (const key of ['a', 'ab', 'a/1', 'a/2', 'b/1', 'a/1/b', 'a/2/b', 'a/1/c/2']) {
      await server.post(`/${key}`, `"${key}"`)
    }
    const list = async (glob: string): Promise<string[]> => {
      const { status, body } = await server.get(`/${glob}`)
      expect(status).toBe(200)
      return (JSON.parse(body) as { data: string }[]).map((entry) => entry.data)
    }
    expect(await list('*')).toEqual(['ab', 'a'])
    expect(await list('a/*')).toEqual(['a/2', 'a/1'])
    expect(await list('a*')).toEqual(['ab', 'a'])
    expect(await list('a/*/b')).toEqual(['a/2/b', 'a/1/b'])
    expect(await list('*/*')).toEqual(['b/1', 'a/2', 'a/1'])
    expect(await list('a/*/c/*')).toEqual(['a/1/c/2'])
    expect(await list('z/*')).toEqual([])
  })

  it.each(['/a//b', '/a/', '/-x', '/x-', '/_x', '/x.', '/**', '//a'])(
    'refuses the key of %s',
    async (path) => {
      const server = await serve()
      for (const method of ['GET', 'POST', 'PATCH', 'DELETE']) {
        const body = method === 'POST' || method === 'PATCH' ? '1' : undefined
        expect(await server.request(method, path, body)).toMatchObject({
          status: 400,
          body: 'ooo: key is not valid',
        })
      }
    },
  )

  it('decodes escapes before it reads the key, and cleans no dot segments', async () => {
    const server = await serve()
    await server.post('/a/%2E%2E%2fb', '1')
    expect((await server.get('/a%2F%2e%2e%2Fb?v=1')).body).toContain('"path":"a/../b"')
  })

  it('says plain text for an error', async () => {
    const server = await serve()
    const { headers } = await server.get('/absent')
    expect(headers['content-type']).toBe('text/plain; charset=utf-8')
  })
})

describe('POST', () => {
  it('sets a key: created stays, updated moves', async () => {
    const server = await serve()
    expect(await server.post('/a/b', '1')).toMatchObject({ status: 200, body: '{"index":"b"}' })
    const first = META.exec((await server.get('/a/b')).body)
    const { headers } = await server.post('/a/b', '2')
    expect(headers['content-type']).toBe('application/json')
    const second = META.exec((await server.get('/a/b')).body)
    expect(second?.[1]).toBe(first?.[1])
    expect(BigInt(second?.[2] ?? 0)).toBeGreaterThan(BigInt(first?.[1] ?? 0))
  })

  it('pushes to a glob under a hex key a little older than created', async () => {
    const server = await serve()
    const { status, body } = await server.post('/log/*', '{"x":1}')
    expect(status).toBe(200)
    const { index } = JSON.parse(body) as { index: string }
    expect(index).toMatch(/^[0-9a-f]{16}$/)
    const created = BigInt(META.exec((await server.get(`/log/${index}`)).body)?.[1] ?? 0)
    expect(created).toBeGreaterThan(BigInt(`0x${index}`))
    expect(created - BigInt(`0x${index}`)).toBeLessThan(1_000_000_000n)
  })

  it.each(['{"a":1}', '[1]', '"text"', '1e400', '123456789012345678901234567890', 'true', 'null'])(
    'takes %s as data',
    async (json) => {
      const server = await serve()
      expect((await server.post('/k', json)).status).toBe(200)
      expect(META.exec((await server.get('/k')).body)?.[5]).toBe(json)
    },
  )

  it.each([
    ['/a/*/*', 'key: contains more than one glob pattern'],
    ['/a/*/b', 'key: glob pattern must be at the end of the path'],
    ['/a*', 'key: glob pattern must be a whole path segment'],
  ])('refuses to write to %s', async (path, text) => {
    const server = await serve()
    expect(await server.post(path, 'not json')).toMatchObject({ status: 400, body: text })
  })

  it('refuses bodies that are not one JSON value', async () => {
    const server = await serve()
    expect(await server.post('/a', '')).toMatchObject({ status: 400, body: 'EOF' })
    expect(await server.post('/a', ' \n')).toMatchObject({ status: 400, body: 'EOF' })
    for (const body of ['{', '{"a":1} x', '1 2', "{'a':1}", 'undefined']) {
      const answer = await server.post('/a', body)
      expect(answer.status).toBe(400)
      expect(answer.body).toContain('invalid JSON')
    }
    expect((await server.get('/a')).status).toBe(404)
  })

  it('refuses a body that is not UTF-8', async () => {
    const server = await serve()
    const answer = await fetch(`${server.url}/a`, {
      method: 'POST',
      body: Buffer.from([0x22, 0xff, 0xfe, 0x22]),
    })
    expect(answer.status).toBe(400)
    expect(await answer.text()).toContain('UTF-8')
  })

  it('refuses a body above the cap, declared or not, and keeps the connection usable', async () => {
    const server = await serve({ maxBodyBytes: 1000 })
    const long = `"${'x'.repeat(5000)}"`
    const refusal = { status: 413, body: 'Request Entity Too Large' }
    expect(await server.post('/a', long)).toMatchObject(refusal)
    expect(await server.request('PATCH', '/a', long)).toMatchObject(refusal)
    const chunked = await fetch(`${server.url}/a`, {
      method: 'POST',
      body: new Blob([long]).stream(),
      duplex: 'half',
    } as RequestInit)
    expect(chunked.status).toBe(413)
    expect((await server.post('/a', '"fits"')).status).toBe(200)
  })

  it('has no cap when it is negative and 10 MiB when it is 0', async () => {
    const long = `"${'x'.repeat(11 * 1024 * 1024)}"`
    expect((await (await serve({ maxBodyBytes: -1 })).post('/a', long)).status).toBe(200)
    expect((await (await serve({ maxBodyBytes: 0 })).post('/a', long)).status).toBe(413)
  })
})

describe('PATCH', () => {
  it('merges deeply and keeps digits; members come out sorted', async () => {
    const server = await serve()
    await server.post('/a/b', '{"z":{"n":9007199254740993},"list":[1,{"x":1}]}')
    const patch = '{"list":{"1":{"y":2.50}},"new":null}'
    expect(await server.request('PATCH', '/a/b', patch)).toMatchObject({
      status: 200,
      body: '{"index":"b"}',
    })
    const [, , updated, , , data] = META.exec((await server.get('/a/b')).body) ?? []
    expect(data).toBe('{"list":[1,{"x":1,"y":2.50}],"new":null,"z":{"n":9007199254740993}}')
    expect(updated).not.toBe('0')
  })

  it('names conflicts and stores nothing', async () => {
    const server = await serve()
    await server.post('/a', '{"b":{"c":1},"d":1}')
    const answer = await server.request('PATCH', '/a', '{"b":2,"d":2}')
    expect(answer).toMatchObject({
      status: 400,
      body: 'merge: patch value must be object for key "b"',
    })
    expect(META.exec((await server.get('/a')).body)?.[5]).toBe('{"b":{"c":1},"d":1}')
  })

  it.each([
    ['/a/*', '{}', 400, 'ooo: glob pattern not allowed for this operation'],
    ['/absent', '{}', 404, 'ooo: not found'],
    ['/a/*/b', '{}', 404, 'ooo: not found'],
    ['/a*', '{}', 404, 'ooo: not found'],
    ['/absent', '', 400, 'EOF'],
  ])('answers %s with body %j by %i', async (path, body, status, text) => {
    const server = await serve()
    expect(await server.request('PATCH', path, body)).toMatchObject({ status, body: text })
  })

  it('does not lose one of many patches at once', async () => {
    const server = await serve()
    await server.post('/a', '{}')
    await Promise.all(
      Array.from({ length: 30 }, (_, i) => server.request('PATCH', '/a', `{"k${i}":${i}}`)),
    )
    const { data } = JSON.parse((await server.get('/a')).body) as { data: object }
    expect(Object.keys(data)).toHaveLength(30)
  })
})

describe('DELETE', () => {
  it('removes a key with 204 and an empty body; a second time is 404', async () => {
    const server = await serve()
    await server.post('/a', '1')
    expect(await server.request('DELETE', '/a')).toMatchObject({ status: 204, body: '' })
    expect((await server.get('/a')).status).toBe(404)
    expect(await server.request('DELETE', '/a')).toMatchObject({
      status: 404,
      body: 'storage: not found',
    })
  })

  it.each(['/a/*', '/a/*/b', '/a*', '/*'])('takes any glob: %s', async (glob) => {
    const server = await serve()
    const keys = ['a', 'a/1', 'a/1/b', 'b']
    for (const key of keys) await server.post(`/${key}`, '1')
    const before = (JSON.parse((await server.get(glob)).body) as unknown[]).length
    expect(before).toBeGreaterThan(0)
    expect((await server.request('DELETE', glob)).status).toBe(204)
    expect((await server.get(glob)).body).toBe('[]')
    expect(await server.server.store.keys()).toHaveLength(keys.length - before)
    expect((await server.request('DELETE', glob)).status).toBe(204)
  })

  it('begins a new life with a new created stamp', async () => {
    const server = await serve()
    await server.post('/a', '1')
    const first = META.exec((await server.get('/a')).body)
    await server.request('DELETE', '/a')
    await server.post('/a', '1')
    const second = META.exec((await server.get('/a')).body)
    expect(BigInt(second?.[1] ?? 0)).toBeGreaterThan(BigInt(first?.[1] ?? 0))
    expect(second?.[2]).toBe('0')
  })
})

describe('static mode', () => {
  const options = { static: true, open: ['logs/*', 'settings', 'a*'] }

  it('serves opened paths', async () => {
    const server = await serve(options)
    expect((await server.post('/logs/*', '1')).status).toBe(200)
    expect((await server.post('/logs/1', '1')).status).toBe(200)
    expect((await server.get('/logs/1')).status).toBe(200)
    expect((await server.get('/logs/*')).status).toBe(200)
    expect((await server.post('/settings', '{}')).status).toBe(200)
    expect((await server.request('PATCH', '/settings', '{"a":1}')).status).toBe(200)
    expect((await server.request('DELETE', '/logs/*')).status).toBe(204)
    expect((await server.get('/settings/x')).status).toBe(400)
  })

  it.each([
    ['GET', '/other', 'filters: route not defined'],
    ['GET', '/other/*', 'filters: route not defined'],
    ['GET', '/a*', 'filters: route not defined, key:a*'],
    ['POST', '/other', 'filters: route not defined, key:other'],
    ['POST', '/*', 'filters: route not defined, key:*'],
    ['DELETE', '/other', 'filters: route not defined, key:other'],
    ['DELETE', '/*', 'filters: route not defined, key:*'],
  ])('refuses %s %s', async (method, path, text) => {
    const server = await serve(options)
    const body = method === 'POST' ? '1' : undefined
    expect(await server.request(method, path, body)).toMatchObject({ status: 400, body: text })
  })

  it('refuses PATCH for what is merged, after everything else', async () => {
    const server = await serve(options)
    await server.server.store.set('other', '{}')
    expect(await server.request('PATCH', '/other', '{}')).toMatchObject({
      status: 400,
      body: 'filters: route not defined, key:other',
    })
    expect((await server.request('PATCH', '/absent', '{}')).status).toBe(404)
  })

  it('reads the body before it refuses a write', async () => {
    const server = await serve(options)
    expect(await server.post('/other', '')).toMatchObject({ status: 400, body: 'EOF' })
  })

  it('always serves the page and health', async () => {
    const server = await serve(options)
    expect((await server.get('/')).status).toBe(200)
    expect((await server.get('/-/healthz')).status).toBe(200)
  })

  it.each(['components', 'components/x', 'favicon.ico', ''])(
    'does not open the reserved path %j',
    async (path) => {
      await expect(serve({ static: true, open: [path] })).rejects.toThrow(/filter path/)
    },
  )
})
