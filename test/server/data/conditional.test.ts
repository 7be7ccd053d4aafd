/** Conditional requests: entity tags, compare-and-set, 304. */
import * as http from 'node:http'
import { describe, expect, it } from 'vitest'
import { isStateError } from '../../../src/core/errors.ts'
import type { Answer } from '../../support/http.ts'
import { afterTest, serve, type TestServer } from '../serve.ts'

type Headers = Record<string, string>

function write(
  server: TestServer,
  method: string,
  path: string,
  headers: Headers,
  body?: string,
): Promise<Answer> {
  return server.request(method, path, body, { headers })
}

async function versionAt(server: TestServer, path: string): Promise<bigint> {
  const { headers } = await server.get(path)
  return BigInt(/^"(\d{19})"$/.exec(headers.etag ?? '')?.[1] ?? 0)
}

describe('entity tags', () => {
  it('are the version: the stamp of the latest write, the same on reads and on the write', async () => {
    const server = await serve()
    const created = await server.post('/a', '1')
    const first = await server.get('/a')
    expect(first.headers.etag).toBe(created.headers.etag)
    expect(first.headers.etag).toBe(`"${/"created":(\d+)/.exec(first.body)?.[1]}"`)
    const updated = await server.request('PATCH', '/a', '2')
    const second = await server.get('/a')
    expect(second.headers.etag).toBe(updated.headers.etag)
    expect(second.headers.etag).toBe(`"${/"updated":(\d+)/.exec(second.body)?.[1]}"`)
    expect((await server.request('HEAD', '/a')).headers.etag).toBe(second.headers.etag)
  })

  it('come with pushes and not with lists, deletes and absent keys', async () => {
    const server = await serve()
    const pushed = await server.post('/log/*', '1')
    const { index } = JSON.parse(pushed.body) as { index: string }
    expect((await server.get(`/log/${index}`)).headers.etag).toBe(pushed.headers.etag)
    expect((await server.get('/log/*')).headers.etag).toBeUndefined()
    expect((await server.get('/absent')).headers.etag).toBeUndefined()
    expect((await server.request('DELETE', `/log/${index}`)).headers.etag).toBeUndefined()
  })
})

describe('If-None-Match on reads', () => {
  it('answers 304 without a body while the entry is the same', async () => {
    const server = await serve()
    const { etag = '' } = (await server.post('/a', '1')).headers
    for (const tags of [etag, `W/${etag}`, `"1", ${etag}`, '*']) {
      const answer = await server.get('/a', { 'if-none-match': tags })
      expect(answer).toMatchObject({ status: 304, body: '' })
      expect(answer.headers.etag).toBe(etag)
      expect(answer.headers.vary).toContain('Accept-Encoding')
    }
    await server.post('/a', '1')
    expect((await server.get('/a', { 'if-none-match': etag })).status).toBe(200)
  })

  it('sends everything when the header is malformed or names other things', async () => {
    const server = await serve()
    await server.post('/a', '1')
    for (const tags of ['"1"', 'unquoted', '"', '"a", *', '"x"']) {
      expect((await server.get('/a', { 'if-none-match': tags })).status).toBe(200)
    }
    expect((await server.get('/none', { 'if-none-match': '*' })).status).toBe(404)
    expect((await server.get('/*', { 'if-none-match': '*' })).status).toBe(200)
  })
})

describe('If-Match on reads', () => {
  it('answers 412 for another version', async () => {
    const server = await serve()
    const { etag = '' } = (await server.post('/a', '1')).headers
    expect((await server.get('/a', { 'if-match': '"1"' })).status).toBe(412)
    for (const tags of [etag, '*', 'unquoted']) {
      expect((await server.get('/a', { 'if-match': tags })).status).toBe(200)
    }
  })
})

describe('If-Match on writes', () => {
  it.each([
    ['POST', '{"n":2}'],
    ['PATCH', '{"n":2}'],
    ['DELETE', undefined],
  ])('lets a %s pass at the named version only', async (method, body) => {
    const server = await serve()
    await server.post('/a', '{"n":1}')
    const version = await versionAt(server, '/a')
    for (const tags of [`"${version - 1n}"`, '"1","2"', `W/"${version}"`, '"x"', '""']) {
      expect(await write(server, method, '/a', { 'if-match': tags }, body)).toMatchObject({
        status: 412,
        body: `storage: precondition failed, key "a" is at version ${version}`,
      })
    }
    expect((await server.get('/a')).body).toContain('{"n":1}')
    const tags = `"1", "${version}"`
    const { status } = await write(server, method, '/a', { 'if-match': tags }, body)
    expect(status).toBe(method === 'DELETE' ? 204 : 200)
  })

  it('by * asks only that the key is there', async () => {
    const server = await serve()
    expect(await write(server, 'POST', '/a', { 'if-match': '*' }, '1')).toMatchObject({
      status: 412,
      body: 'storage: precondition failed, key "a" is absent',
    })
    await server.post('/a', '1')
    expect((await write(server, 'POST', '/a', { 'if-match': '*' }, '2')).status).toBe(200)
    await server.request('DELETE', '/a')
    expect((await write(server, 'POST', '/a', { 'if-match': '*' }, '3')).status).toBe(412)
  })

  it('leaves 404 to PATCH and DELETE of an absent key', async () => {
    const server = await serve()
    expect((await write(server, 'PATCH', '/a', { 'if-match': '"1"' }, '1')).status).toBe(404)
    expect((await write(server, 'DELETE', '/a', { 'if-match': '"1"' })).status).toBe(404)
  })

  it.each([
    'unquoted',
    '"open',
    'W/"1" "2"',
    ', ,',
    `"1"${','.repeat(5000)} x`,
    '*, "1"',
    '',
    '"1";"2"',
  ])('refuses the malformed list %j: a condition is never dropped', async (tags) => {
    const server = await serve()
    await server.post('/a', '1')
    const answer = await write(server, 'POST', '/a', { 'if-match': tags }, '2')
    expect(answer).toMatchObject({
      status: 400,
      body: `ooo: If-Match must be * or a list of quoted versions, not ${tags}`,
    })
    expect((await server.get('/a')).body).toContain('"data":1')
  })

  it('needs a plain key', async () => {
    const server = await serve()
    const answer = {
      status: 400,
      body: 'ooo: a condition needs a plain key, and a/* is a glob',
    }
    expect(await write(server, 'POST', '/a/*', { 'if-match': '"1"' }, '1')).toMatchObject(answer)
    expect(await write(server, 'DELETE', '/a/*', { 'if-none-match': '*' })).toMatchObject(answer)
  })
})

describe('If-None-Match on writes', () => {
  it('by * creates, once', async () => {
    const server = await serve()
    const create = (): Promise<Answer> => write(server, 'POST', '/a', { 'if-none-match': '*' }, '1')
    const answers = await Promise.all(Array.from({ length: 20 }, create))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    expect(answers.filter(({ status }) => status === 412)).toHaveLength(19)
    await server.request('DELETE', '/a')
    expect((await create()).status).toBe(200)
  })

  it('refuses the versions it names, weak or not', async () => {
    const server = await serve()
    const { etag = '' } = (await server.post('/a', '1')).headers
    const refused = await write(server, 'POST', '/a', { 'if-none-match': `W/${etag}` }, '2')
    expect(refused.status).toBe(412)
    const passed = await write(server, 'POST', '/a', { 'if-none-match': '"1"' }, '2')
    expect(passed.status).toBe(200)
  })

  it('counts together with If-Match', async () => {
    const server = await serve()
    const { etag = '' } = (await server.post('/a', '1')).headers
    const both = { 'if-match': '*', 'if-none-match': etag }
    expect((await write(server, 'POST', '/a', both, '2')).status).toBe(412)
    await server.post('/a', '1')
    expect((await write(server, 'POST', '/a', both, '2')).status).toBe(200)
  })
})

describe('compare-and-set', () => {
  it('loses none of many increments at once', async () => {
    const server = await serve()
    await server.post('/counter', '0')
    let refused = 0
    const agent = new http.Agent({ keepAlive: true, maxSockets: 25 })
    afterTest(() => agent.destroy())
    const increment = async (): Promise<void> => {
      for (;;) {
        const { body, headers } = await server.request('GET', '/counter', undefined, { agent })
        const { data } = JSON.parse(body) as { data: number }
        const options = { agent, headers: { 'if-match': headers.etag ?? '' } }
        const next = String(data + 1)
        const { status } = await server.request('POST', '/counter', next, options)
        if (status === 200) return
        expect(status).toBe(412)
        refused++
      }
    }
    await Promise.all(Array.from({ length: 50 }, increment))
    expect((await server.get('/counter')).body).toContain('"data":50}')
    expect(refused).toBeGreaterThan(0)
  })

  it('is made only where the key is led, and says where that is', async () => {
    const server = await serve()
    const { store } = server.server
    store.setLeaderOf((key) => (key.startsWith('theirs/') ? 'http://leader:8800' : undefined))
    await server.post('/theirs/a', '{}')
    const { etag = '' } = (await server.get('/theirs/a')).headers
    const refusal = {
      status: 421,
      body: 'storage: key "theirs/a" is led by http://leader:8800; conditional writes are made only there',
    }
    for (const [method, body] of [['POST', '1'], ['PATCH', '{}'], ['DELETE']] as const) {
      const answer = await write(server, method, '/theirs/a', { 'if-match': etag }, body)
      expect(answer).toMatchObject(refusal)
    }
    expect((await server.get('/theirs/a')).headers.etag).toBe(etag)
    expect((await server.post('/theirs/a', '1')).status).toBe(200)
    expect((await write(server, 'POST', '/ours', { 'if-none-match': '*' }, '1')).status).toBe(200)
    const conditional = { op: 'set', path: 'ours', data: 1, ifMatch: '*' }
    const theirs = { op: 'set', path: 'theirs/b', data: 1 }
    const batch = JSON.stringify({ operations: [conditional, theirs] })
    expect(await server.post('/-/batch', batch)).toMatchObject({ status: 421 })
    expect(await store.get('theirs/b')).toBeUndefined()
  })

  it('is there for in-process writes too', async () => {
    const { server } = await serve()
    const first = await server.set('a', 1)
    await server.set('a', 2, { precondition: { kind: 'version', version: first.version } })
    const late = server.set('a', 3, { precondition: { kind: 'version', version: first.version } })
    await expect(late).rejects.toSatisfy((error) => isStateError(error, 'precondition_failed'))
    expect((await server.get<number>('a'))?.data).toBe(2)
  })
})
