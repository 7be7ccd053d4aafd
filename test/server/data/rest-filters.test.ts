/** Filters around data, as requests, batches and in-process calls meet them: wire format 3.2–3.5 and 5. */
import { describe, expect, it } from 'vitest'
import { waitFor } from '../../support/wait.ts'
import { afterTest, serve, type TestServer } from '../serve.ts'

function post(server: TestServer, operations: readonly object[]): ReturnType<TestServer['post']> {
  return server.post('/-/batch', JSON.stringify({ operations }))
}

function dataOf(server: TestServer, key: string): Promise<string | undefined> {
  return server.server.store.get(key).then((entry) => entry?.data)
}

/** Resolves when told to; settled at the end of the test in any case. */
function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  afterTest(open)
  return { opened, open }
}

describe('write filters', () => {
  it('change what is stored, by POST, PATCH, batch and in process', async () => {
    const server = await serve()
    const { filters } = server.server
    filters.write('n/*', (_key, data) => ({ ...(data as object), seen: true }))
    await server.post('/n/a', '{"x":1}')
    await server.request('PATCH', '/n/a', '{"y":2}')
    expect(await dataOf(server, 'n/a')).toBe('{"seen":true,"x":1,"y":2}')
    await post(server, [
      { op: 'set', path: 'n/b', data: { x: 1 } },
      { op: 'patch', path: 'n/b', data: { seen: false, y: 2 } },
    ])
    expect(await dataOf(server, 'n/b')).toBe('{"seen":true,"x":1,"y":2}')
    const { path } = await server.server.push('n/*', { x: 1 })
    expect(await dataOf(server, path)).toBe('{"x":1,"seen":true}')
  })

  it('are given the key of the request, the glob for a push', async () => {
    const server = await serve()
    const keys: string[] = []
    server.server.filters.write('n/*', (key) => {
      keys.push(key)
      return undefined
    })
    await server.post('/n/*', '1')
    await server.post('/n/a', '1.0')
    await server.request('PATCH', '/n/a', '2')
    await post(server, [{ op: 'push', path: 'n/*', data: 1 }])
    expect(keys).toEqual(['n/*', 'n/a', 'n/a', 'n/*'])
    expect(await dataOf(server, 'n/a')).toBe('1.0')
  })

  it('refuse with their text, and nothing is stored', async () => {
    const server = await serve()
    await server.post('/n/a', '{"x":1}')
    server.server.filters.write('n/*', (_key, data) => {
      if ((data as { x: number }).x > 1) throw new Error('x is too great')
      return undefined
    })
    const refusal = { status: 400, body: 'x is too great' }
    expect(await server.post('/n/*', '{"x":2}')).toMatchObject(refusal)
    expect(await server.post('/n/a', '{"x":2}')).toMatchObject(refusal)
    expect(await server.request('PATCH', '/n/a', '{"x":2}')).toMatchObject(refusal)
    const batch = [
      { op: 'set', path: 'other', data: 1 },
      { op: 'patch', path: 'n/a', data: { x: 2 } },
    ]
    expect(await post(server, batch)).toMatchObject({
      status: 400,
      body: 'operations[1]: x is too great',
    })
    await expect(server.server.set('n/a', { x: 2 })).rejects.toThrow('x is too great')
    expect(await server.server.store.keys()).toEqual(['n/a'])
    expect(await dataOf(server, 'n/a')).toBe('{"x":1}')
  })

  it('see the merged value of a PATCH, after 404 and conflicts', async () => {
    const server = await serve()
    const seen: unknown[] = []
    server.server.filters.write('a', (_key, data) => {
      seen.push(data)
      return undefined
    })
    expect((await server.request('PATCH', '/a', '{}')).status).toBe(404)
    await server.post('/a', '{"o":{"x":1}}')
    expect((await server.request('PATCH', '/a', '{"o":1}')).status).toBe(400)
    await server.request('PATCH', '/a', '{"o":{"y":2}}')
    expect(seen).toEqual([{ o: { x: 1 } }, { o: { x: 1, y: 2 } }])
  })

  it('may take their time: no patch of many at once is lost', async () => {
    const server = await serve()
    server.server.filters.write('a', async (_key, data) => {
      await new Promise((resolve) => setImmediate(resolve))
      return { ...(data as object), checked: Object.keys(data as object).length }
    })
    await server.post('/a', '{}')
    const patches = Array.from({ length: 100 }, (_, i) =>
      i % 10 === 0
        ? post(server, [{ op: 'patch', path: 'a', data: { [`k${i}`]: i } }])
        : server.request('PATCH', '/a', `{"k${i}":${i}}`),
    )
    expect((await Promise.all(patches)).filter(({ status }) => status !== 200)).toEqual([])
    const data = JSON.parse((await dataOf(server, 'a')) ?? '') as Record<string, number>
    expect(Object.keys(data)).toHaveLength(101)
    expect(data.checked).toBe(101)
  })

  it('that wait do not hold up other keys, nor let an older condition pass', async () => {
    const server = await serve()
    const { opened, open } = gate()
    server.server.filters.write('slow', async () => {
      await opened
      return undefined
    })
    await server.server.store.set('slow', '{"n":1}')
    const { etag = '' } = (await server.get('/slow')).headers
    const patch = server.request('PATCH', '/slow', '{"m":1}', { headers: { 'if-match': etag } })
    expect((await server.post('/quick', '1')).status).toBe(200)
    await server.server.store.set('slow', '{"n":2}')
    open()
    expect((await patch).status).toBe(412)
    expect(await dataOf(server, 'slow')).toBe('{"n":2}')
  })

  it('that never answer are left at the deadline', async () => {
    const server = await serve({ deadlineMs: 100 })
    const { opened, open } = gate()
    server.server.filters.write('a', async () => {
      await opened
      return undefined
    })
    expect(await server.post('/a', '1')).toMatchObject({
      status: 503,
      body: 'ooo: server deadline reached',
    })
    open()
    await waitFor(async () => (await dataOf(server, 'a')) === '1')
  })

  it('answer a rejected promise as a thrown error', async () => {
    const server = await serve()
    await server.post('/a', '{}')
    server.server.filters.write('a', () => Promise.reject(new Error('not now')))
    const refusal = { status: 400, body: 'not now' }
    expect(await server.post('/a', '1')).toMatchObject(refusal)
    expect(await server.request('PATCH', '/a', '{"x":1}')).toMatchObject(refusal)
    expect(await post(server, [{ op: 'patch', path: 'a', data: { x: 1 } }])).toMatchObject({
      status: 400,
      body: 'operations[0]: not now',
    })
    expect(await dataOf(server, 'a')).toBe('{}')
  })
})

describe('delete filters', () => {
  it('refuse before anything is looked up, globs and batches too', async () => {
    const server = await serve()
    await server.post('/n/a', '1')
    server.server.filters.delete('n/*', (key) => {
      throw new Error(`keep ${key}`)
    })
    expect(await server.request('DELETE', '/n/absent')).toMatchObject({
      status: 400,
      body: 'keep n/absent',
    })
    expect(await server.request('DELETE', '/n/*')).toMatchObject({ status: 400, body: 'keep n/*' })
    expect(await post(server, [{ op: 'delete', path: 'n/a' }])).toMatchObject({
      status: 400,
      body: 'operations[0]: keep n/a',
    })
    await expect(server.server.delete('n/a')).rejects.toThrow('keep n/a')
    expect(await dataOf(server, 'n/a')).toBe('1')
  })
})

describe('after-write filters', () => {
  it('run after the write and before the answer, never for deletes or refused writes', async () => {
    const server = await serve()
    const calls: [string, string | undefined][] = []
    const note = async (key: string): Promise<void> => {
      calls.push([key, await dataOf(server, 'n/a')])
    }
    server.server.filters.afterWrite('n/*', note)
    await server.post('/n/a', '1')
    await server.post('/n/*', '5')
    await server.request('PATCH', '/n/a', '{}')
    await server.post('/n/a', 'no json')
    await server.server.set('n/a', 2)
    await post(server, [
      { op: 'set', path: 'n/a', data: 3 },
      { op: 'delete', path: 'n/a' },
    ])
    await server.request('DELETE', '/n/*')
    expect(calls).toEqual([
      ['n/a', '1'],
      ['n/*', '1'],
      ['n/a', '1'],
      ['n/a', '2'],
      ['n/a', undefined],
    ])
  })

  it('that fail do not turn a durable write into an error', async () => {
    const server = await serve()
    server.server.filters.afterWrite('a', () => {
      throw new Error('broken')
    })
    expect((await server.post('/a', '1')).status).toBe(200)
    expect(await dataOf(server, 'a')).toBe('1')
  })
})

describe('read filters', () => {
  it('hide, change and invent objects', async () => {
    const server = await serve()
    const { filters } = server.server
    filters.readObject('hidden', () => undefined)
    filters.readObject('shown', (_key, entry) => ({ ...entry, data: 'changed' }))
    await server.post('/hidden', '1')
    await server.post('/shown', '1')
    expect(await server.get('/hidden')).toMatchObject({ status: 404, body: 'ooo: empty key' })
    expect(await server.server.get('hidden')).toBeUndefined()
    expect((await server.get('/shown')).body).toContain('"data":"changed"')
    expect((await server.server.get('shown'))?.data).toBe('changed')
  })

  it('are asked about an absent key as well', async () => {
    const server = await serve()
    const asked: [string, boolean][] = []
    server.server.filters.readObject('a', (key, entry) => {
      asked.push([key, entry.created === 0n])
      return entry
    })
    expect((await server.get('/a')).status).toBe(404)
    await server.post('/a', '1')
    expect((await server.get('/a')).status).toBe(200)
    expect(asked).toEqual([
      ['a', true],
      ['a', false],
    ])
  })

  it('keep the version for conditional writes, but never answer 304 for what they changed', async () => {
    const server = await serve()
    let shown = 1
    server.server.filters.readObject('a', (_key, entry) => ({ ...entry, data: shown }))
    const { etag = '' } = (await server.post('/a', '0')).headers
    expect((await server.get('/a')).headers.etag).toBe(etag)
    shown = 2
    const again = await server.get('/a', { 'if-none-match': etag })
    expect([again.status, again.headers.etag]).toEqual([200, etag])
    const write = await server.request('POST', '/a', '1', { headers: { 'if-match': etag } })
    expect(write.status).toBe(200)
  })

  it('decide what a list shows; a limit counts what is left', async () => {
    const server = await serve()
    for (const n of [1, 2, 3, 4]) await server.post('/t/*', `${n}`)
    server.server.filters.readList('t/*', (_key, entries) =>
      entries.filter(({ data }) => (data as number) % 2 === 0),
    )
    const { body } = await server.get('/t/*')
    expect((JSON.parse(body) as { data: number }[]).map(({ data }) => data)).toEqual([4, 2])
    const some = await server.server.getList('t/*', { limit: 1 })
    expect(some.map(({ data }) => data)).toEqual([2])
  })

  it('that throw fail their own request with 400', async () => {
    const server = await serve()
    await server.post('/t/a', '1')
    server.server.filters.readObject('t/*', () => {
      throw new Error('no object')
    })
    server.server.filters.readList('t/*', () => {
      throw new Error('no list')
    })
    expect(await server.get('/t/a')).toMatchObject({ status: 400, body: 'no object' })
    expect(await server.get('/t/*')).toMatchObject({ status: 400, body: 'no list' })
    expect((await server.get('/other/*')).body).toBe('[]')
  })
})

describe('static mode', () => {
  it('asks for a filter of the right kind', async () => {
    const server = await serve({ static: true })
    const { filters, store } = server.server
    await store.set('t/a', '{}')
    filters.readList('t/*', (_key, entries) => entries)
    expect((await server.get('/t/*')).status).toBe(200)
    expect((await server.get('/t/a')).status).toBe(200)
    expect(await server.post('/t/a', '1')).toMatchObject({
      status: 400,
      body: 'filters: route not defined, key:t/a',
    })
    filters.write('t/*', () => undefined)
    expect((await server.post('/t/a', '1')).status).toBe(200)
    expect((await server.request('DELETE', '/t/a')).status).toBe(400)
    filters.delete('t/*', () => undefined)
    expect((await server.request('DELETE', '/t/a')).status).toBe(204)
  })
})
