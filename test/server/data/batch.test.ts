/** `POST /-/batch`: several writes, all or none. */

import { describe, expect, it } from 'vitest'
import type { BatchOperation } from '../../../src/core/ports/storage-adapter.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import type { Answer } from '../../support/http.ts'
import { fc } from '../../support/property.ts'
import { serve, type TestServer } from '../serve.ts'

interface Operation {
  readonly op: string
  readonly path: string
  readonly data?: unknown
  readonly ifMatch?: unknown
  readonly ifNoneMatch?: unknown
}

interface Result {
  readonly index: string
  readonly path: string
  readonly version?: string
  readonly deleted?: number
}

function post(server: TestServer, operations: readonly Operation[]): Promise<Answer> {
  return server.post('/-/batch', JSON.stringify({ operations }))
}

async function resultsOf(server: TestServer, operations: readonly Operation[]): Promise<Result[]> {
  const { status, body } = await post(server, operations)
  expect([status, body]).toEqual([200, expect.stringContaining('{"results":[')])
  return (JSON.parse(body) as { results: Result[] }).results
}

/** Keys and data, the stamps left out. */
async function contents(server: TestServer): Promise<Record<string, string>> {
  const { store } = server.server
  const data: Record<string, string> = {}
  for (const key of await store.keys()) data[key] = (await store.get(key))?.data ?? ''
  return data
}

describe('a batch', () => {
  it('does all operations and answers each with index, path and version', async () => {
    const server = await serve()
    await server.post('/old/1', '1')
    await server.post('/doc', '{"a":{"b":1}}')
    const results = await resultsOf(server, [
      { op: 'set', path: 'box/a', data: { x: 1 } },
      { op: 'push', path: 'log/*', data: 'entry' },
      { op: 'patch', path: 'doc', data: { a: { c: 2 } } },
      { op: 'delete', path: 'old/*' },
      { op: 'delete', path: 'none/*' },
    ])
    const [set, push, patch, removed, nothing] = results
    expect(set).toMatchObject({ index: 'a', path: 'box/a' })
    expect((await server.get('/box/a')).headers.etag).toBe(`"${set?.version}"`)
    expect(push?.path).toBe(`log/${push?.index}`)
    expect((await server.get(`/${push?.path}`)).headers.etag).toBe(`"${push?.version}"`)
    expect((await server.get('/doc')).headers.etag).toBe(`"${patch?.version}"`)
    expect(removed).toMatchObject({ index: '*', path: 'old/*', deleted: 1 })
    expect(removed?.version).toMatch(/^\d{19}$/)
    expect(nothing).toEqual({ index: '*', path: 'none/*', deleted: 0 })
    expect(await contents(server)).toEqual({
      'box/a': '{"x":1}',
      [push?.path ?? '']: '"entry"',
      doc: '{"a":{"b":1,"c":2}}',
    })
  })

  it('keeps data digit for digit and byte for byte', async () => {
    const server = await serve()
    const data = '{"b":1.50,"a":12345678901234567890,"e":1e400,"s":"<é\\u003c\\/>"}'
    const body = `{ "operations" : [ {"data": ${data}, "path":"k", "op":"set"} ] }`
    expect((await server.post('/-/batch', body)).status).toBe(200)
    expect(await contents(server)).toEqual({ k: data })
  })

  it('lets each operation see what those before it did', async () => {
    const server = await serve()
    const results = await resultsOf(server, [
      { op: 'set', path: 't/a', data: { n: 1 }, ifNoneMatch: '*' },
      { op: 'patch', path: 't/a', data: { m: 2 }, ifMatch: '*' },
      { op: 'set', path: 't/b', data: 1 },
      { op: 'delete', path: 't/b' },
      { op: 'set', path: 't/b', data: 2, ifNoneMatch: '*' },
      { op: 'push', path: 'u/*', data: 1 },
      { op: 'delete', path: 'u/*' },
    ])
    expect(results[6]?.deleted).toBe(1)
    expect(await contents(server)).toEqual({ 't/a': '{"m":2,"n":1}', 't/b': '2' })
  })

  it('reaches each subscriber as one frame', async () => {
    const server = await serve()
    await server.post('/t/gone', '1')
    const list = await server.subscribe('/t/*')
    const one = await server.subscribe('/t/a')
    await resultsOf(server, [
      { op: 'set', path: 't/a', data: 1 },
      { op: 'set', path: 't/a', data: 2 },
      { op: 'push', path: 't/*', data: 3 },
      { op: 'delete', path: 't/gone' },
      { op: 'set', path: 't/b', data: 4 },
      { op: 'delete', path: 't/b' },
    ])
    await server.post('/t/a', '5')
    await list.frame(2)
    await one.frame(2)
    expect([list.texts.length, one.texts.length]).toEqual([3, 3])
    const { body } = await server.get('/t/*')
    const shown = JSON.parse(list.state ?? '[]') as { path: string }[]
    const read = JSON.parse(body) as { path: string }[]
    expect(shown.map(({ path }) => path)).toEqual(read.map(({ path }) => path))
    expect(read).toHaveLength(2)
  })

  it('is nothing at all when it is empty', async () => {
    const server = await serve()
    expect(await post(server, [])).toMatchObject({ status: 200, body: '{"results":[]}' })
    expect(server.server.store.head).toBe(0)
  })

  it.each(['GET', 'PUT', 'DELETE'])('is not %s', async (method) => {
    const server = await serve()
    const { status, headers } = await server.request(method, '/-/batch')
    expect([status, headers.allow]).toEqual([405, 'POST'])
  })
})

describe('a batch of which one operation fails', () => {
  const first: Operation = { op: 'set', path: 'a', data: 'new' }

  it.each<[Operation, number, string]>([
    [{ op: 'set', path: 'b', data: 1, ifMatch: '1' }, 412, 'precondition failed, key "b" is at'],
    [{ op: 'set', path: 'b', data: 1, ifNoneMatch: '*' }, 412, 'precondition failed, key "b" is'],
    [{ op: 'set', path: 'c', data: 1, ifMatch: ['1', '2'] }, 412, 'key "c" is absent'],
    [{ op: 'patch', path: 'c', data: 1 }, 404, 'ooo: not found'],
    [{ op: 'patch', path: 'b', data: { x: 1 } }, 400, 'merge: patch value must be object for'],
    [{ op: 'patch', path: 'b/*', data: 1 }, 400, 'glob pattern not allowed'],
    [{ op: 'delete', path: 'c' }, 404, 'storage: not found'],
    [{ op: 'delete', path: 'c/*', ifMatch: '*' }, 400, 'a condition needs a plain key'],
    [{ op: 'set', path: 'b/*', data: 1 }, 400, 'glob pattern not allowed'],
    [{ op: 'push', path: 'b', data: 1 }, 400, 'glob pattern required'],
    [{ op: 'push', path: 'b*', data: 1 }, 400, 'key: glob pattern must be a whole path segment'],
    [{ op: 'set', path: 'b//c', data: 1 }, 400, 'ooo: key is not valid'],
    [
      { op: 'move', path: 'b', data: 1 },
      400,
      '"op" must be set, push, patch or delete, not "move"',
    ],
    [{ op: 'set', path: 'b' }, 400, 'a set needs "data"'],
    [{ op: 'delete', path: 'b', data: 1 }, 400, 'a delete takes no "data"'],
    [{ op: 'set', path: 'b', data: 1, ifMatch: 'x' }, 400, '"ifMatch" must be "*", a version or'],
    [{ op: 'set', path: 'b', data: 1, if: '1' } as Operation, 400, 'has no member "if"'],
    [{ op: 'set', path: 7 as unknown as string }, 400, '"path" must be a string, not 7'],
    ['set' as unknown as Operation, 400, 'an operation must be an object, not "set"'],
  ])('leaves nothing behind and names it: %j', async (failing, status, text) => {
    const server = await serve()
    await server.post('/a', '"old"')
    await server.post('/b', '{"x":{"y":1}}')
    const head = server.server.store.head
    const answer = await post(server, [first, failing, { op: 'set', path: 'd', data: 1 }])
    expect(answer.status).toBe(status)
    expect(answer.body).toMatch(/^operations\[1\]: /)
    expect(answer.body).toContain(text)
    expect(await contents(server)).toEqual({ a: '"old"', b: '{"x":{"y":1}}' })
    expect(server.server.store.head).toBe(head)
  })

  it('leaves nothing behind when the storage fails', async () => {
    const storage = new FailingStorage()
    const server = await serve({ storage })
    await server.post('/a', '"old"')
    const subscriber = await server.subscribe('/*')
    storage.isFailing = true
    const answer = await post(server, [first, { op: 'set', path: 'b', data: 1 }])
    expect(answer).toMatchObject({ status: 500, body: 'storage: disk full' })
    storage.isFailing = false
    expect(await contents(server)).toEqual({ a: '"old"' })
    await server.post('/c', '1')
    await subscriber.frame(1)
    expect(subscriber.texts).toHaveLength(2)
    expect(subscriber.state).not.toContain('new')
  })

  it.each([
    ['{"operations":{}}', '"operations" must be an array, not {}'],
    ['{}', '"operations" must be an array, not nothing'],
    ['[]', 'the batch must be an object, not []'],
    ['{"operations":[],"atomic":false}', 'the batch has no member "atomic"'],
    ['{"operations":[', 'invalid JSON'],
  ])('refuses the body %s', async (body, text) => {
    const server = await serve()
    const answer = await server.post('/-/batch', body)
    expect(answer.status).toBe(400)
    expect(answer.body).toContain(text)
  })

  it('takes 1000 operations and refuses one more', async () => {
    const server = await serve()
    const operations = Array.from({ length: 1000 }, (_, i) => ({
      op: 'set',
      path: `n/${i}`,
      data: i,
    }))
    expect(await resultsOf(server, operations)).toHaveLength(1000)
    expect(await post(server, [...operations, first])).toMatchObject({
      status: 413,
      body: 'batch: 1001 operations, the limit is 1000',
    })
    expect((await server.get('/a')).status).toBe(404)
  })

  it('is subject to static mode', async () => {
    const server = await serve({ static: true, open: ['a'] })
    expect((await post(server, [first])).status).toBe(200)
    for (const operation of [
      { op: 'set', path: 'b', data: 1 },
      { op: 'delete', path: 'b' },
    ]) {
      expect(await post(server, [{ op: 'set', path: 'a', data: 2 }, operation])).toMatchObject({
        status: 400,
        body: 'operations[1]: filters: route not defined, key:b',
      })
    }
    expect(await contents(server)).toEqual({ a: '"new"' })
  })
})

describe('conditions of a batch', () => {
  it('take versions as answered, one or several, as strings or numbers', async () => {
    const server = await serve()
    const [written] = await resultsOf(server, [{ op: 'set', path: 'a', data: 0 }])
    const version = written?.version ?? ''
    const body = `{"operations":[{"op":"set","path":"a","data":1,"ifMatch":${version}}]}`
    expect((await server.post('/-/batch', body)).status).toBe(200)
    expect((await server.post('/-/batch', body)).status).toBe(412)
    const [again] = await resultsOf(server, [
      { op: 'set', path: 'a', data: 2, ifMatch: '*', ifNoneMatch: version },
    ])
    const versions = ['1', again?.version]
    expect(await resultsOf(server, [{ op: 'delete', path: 'a', ifMatch: versions }])).toHaveLength(
      1,
    )
  })

  it('move values between keys so that none is ever lost or doubled', async () => {
    const server = await serve()
    for (const key of ['a', 'b']) await server.post(`/${key}`, '100')
    const read = async (key: string): Promise<[number, string]> => {
      const { body, headers } = await server.get(`/${key}`)
      return [
        (JSON.parse(body) as { data: number }).data,
        JSON.parse(headers.etag ?? '""') as string,
      ]
    }
    const move = async (from: string, to: string): Promise<void> => {
      for (;;) {
        const [[have, fromVersion], [had, toVersion]] = [await read(from), await read(to)]
        const { status } = await post(server, [
          { op: 'set', path: from, data: have - 1, ifMatch: fromVersion },
          { op: 'set', path: to, data: had + 1, ifMatch: toVersion },
        ])
        if (status === 200) return
        expect(status).toBe(412)
      }
    }
    await Promise.all(
      Array.from({ length: 20 }, (_, i) => (i % 4 === 0 ? move('b', 'a') : move('a', 'b'))),
    )
    expect(await contents(server)).toEqual({ a: '90', b: '110' })
  })
})

describe('any batch', () => {
  it('does what its operations do one by one, or nothing when one of them is refused', async () => {
    const server = await serve()
    const twin = await serve()
    const path = fc.constantFrom('a', 'b', 't/a', 't/b')
    const data = fc.constantFrom<unknown>(1, { x: 1 }, { x: { y: 2 } }, { z: null }, [1, { x: 1 }])
    const glob = fc.constantFrom('*', 't/*', 't*', '*/a')
    const condition = fc.record(
      { ifMatch: fc.constant('*'), ifNoneMatch: fc.constant('*') },
      { requiredKeys: [], noNullPrototype: true },
    )
    const write = fc.tuple(fc.constantFrom('set', 'patch'), path, data, condition)
    const operation = fc.oneof(
      write.map(
        ([op, key, value, headers]): Operation => ({ op, path: key, data: value, ...headers }),
      ),
      fc
        .tuple(path, condition)
        .map(([key, headers]): Operation => ({ op: 'delete', path: key, ...headers })),
      glob.map((key): Operation => ({ op: 'delete', path: key })),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 8 }), async (operations) => {
        const before = await contents(server)
        const statuses: number[] = []
        for (const single of operations) statuses.push(await doAlone(twin, single))
        const { status, body } = await post(server, operations)
        const failed = statuses.findIndex((each) => each >= 400)
        if (failed === -1) {
          expect(status).toBe(200)
          expect(await contents(server)).toEqual(await contents(twin))
          return
        }
        expect([status, body]).toEqual([
          statuses[failed],
          expect.stringMatching(new RegExp(`^operations\\[${failed}\\]: `)),
        ])
        expect(await contents(server)).toEqual(before)
        await copy(server, twin)
      }),
      { numRuns: 60 },
    )
  })
})

const METHODS: Readonly<Record<string, string>> = { set: 'POST', patch: 'PATCH', delete: 'DELETE' }

/** The operation as a request of its own; gives its status. */
async function doAlone(server: TestServer, operation: Operation): Promise<number> {
  const { op, path, data, ifMatch, ifNoneMatch } = operation
  const headers: Record<string, string> = {
    ...(ifMatch === undefined ? {} : { 'if-match': String(ifMatch) }),
    ...(ifNoneMatch === undefined ? {} : { 'if-none-match': String(ifNoneMatch) }),
  }
  const body = data === undefined ? undefined : JSON.stringify(data)
  return (await server.request(METHODS[op] ?? '', `/${path}`, body, { headers })).status
}

async function copy(from: TestServer, to: TestServer): Promise<void> {
  for (const key of await to.server.store.keys()) await to.server.store.delete(key)
  for (const [key, data] of Object.entries(await contents(from))) {
    await to.server.store.set(key, data)
  }
}

class FailingStorage extends MemoryStorage {
  isFailing = false

  override batch(operations: readonly BatchOperation[]): Promise<void> {
    return this.isFailing ? Promise.reject(new Error('disk full')) : super.batch(operations)
  }
}
