import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Client, type ClientOptions, createClient } from '../../src/client/index.ts'
import { type ErrorCode, isStateError } from '../../src/core/errors.ts'
import { freePort } from '../support/free-port.ts'
import { type ScriptedServer, startScriptedServer } from '../support/scripted-server.ts'
import { waitFor } from '../support/wait.ts'

let server: ScriptedServer

beforeEach(async () => {
  server = await startScriptedServer()
})

afterEach(() => server.close())

function client(options: Partial<ClientOptions> = {}): Client {
  return createClient({ url: server.url, retryBackoff: { initialMs: 1, maxMs: 2 }, ...options })
}

async function failure(call: Promise<unknown>): Promise<{ code: ErrorCode; message: string }> {
  try {
    await call
  } catch (error) {
    if (isStateError(error)) return error
    throw error
  }
  throw new Error('the call succeeded')
}

const META =
  '{"created":1781600000000000001,"updated":0,"index":"b","path":"a/b","data":{"n":9007199254740993}}'

describe('reading', () => {
  it('gives stamps and great integers exactly', async () => {
    server.answer = () => ({ status: 200, body: META })
    expect(await client().get('a/b')).toEqual({
      created: 1781600000000000001n,
      updated: 0n,
      index: 'b',
      path: 'a/b',
      data: { n: 9007199254740993n },
    })
    expect(server.requests[0]).toMatchObject({ method: 'GET', path: '/a/b', body: '' })
  })

  it('gives undefined for an absent key', async () => {
    server.answer = () => ({ status: 404, body: 'ooo: empty key' })
    expect(await client().get('a/b')).toBeUndefined()
  })

  it('does not take another 404 for an absent key', async () => {
    server.answer = () => ({ status: 404, body: '404 page not found\n' })
    expect(await failure(client().get('a/b'))).toMatchObject({
      code: 'not_found',
      message: '404 page not found',
    })
  })

  it('gives a list in the order of the server', async () => {
    server.answer = () => ({ status: 200, body: `[${META}]` })
    const list = await client().getList<{ n: bigint }>('a/*')
    expect(list.map((entry) => [entry.path, entry.data.n])).toEqual([['a/b', 9007199254740993n]])
    server.answer = () => ({ status: 200, body: '[]' })
    expect(await client().getList('*')).toEqual([])
  })

  it.each(['', '<html>', '7', '[7]', '{"created":"x"}'])(
    'refuses an answer that is no entry: %s',
    async (body) => {
      server.answer = () => ({ status: 200, body })
      expect((await failure(client().get('a'))).code).toBe('invalid_message')
    },
  )

  it('reaches keys that hold dot segments', async () => {
    server.answer = () => ({ status: 200, body: META })
    await client().get('a/../b')
    expect(decodeURIComponent(server.requests[0]?.path ?? '')).toBe('/a/../b')
  })
})

describe('writing', () => {
  it('sends JSON with every digit and gives back where it went', async () => {
    server.answer = () => ({ status: 200, body: '{"index":"18b9a"}' })
    const value = { n: 12345678901234567890n }
    expect(await client().set('a/b', value)).toEqual({ index: '18b9a', path: 'a/b' })
    expect(await client().push('a/*', value)).toEqual({ index: '18b9a', path: 'a/18b9a' })
    expect(await client().patch('a/b', value)).toEqual({ index: '18b9a', path: 'a/b' })
    expect(server.requests.map(({ method, path, body }) => [method, path, body])).toEqual([
      ['POST', '/a/b', '{"n":12345678901234567890}'],
      ['POST', '/a/*', '{"n":12345678901234567890}'],
      ['PATCH', '/a/b', '{"n":12345678901234567890}'],
    ])
    expect(server.requests[0]?.headers['content-type']).toBe('application/json')
  })

  it('deletes keys and globs', async () => {
    server.answer = () => ({ status: 204 })
    await client().delete('a/b')
    await client().delete('a/*/c')
    expect(server.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'DELETE /a/b',
      'DELETE /a/*/c',
    ])
  })

  it('sends the token and further headers', async () => {
    let token = 'first.token'
    const withToken = client({ token: () => token, headers: { 'X-Trace': '7' } })
    await withToken.set('a', 1)
    token = 'second.token'
    await withToken.set('a', 1)
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer first.token',
      'Bearer second.token',
    ])
    expect(server.requests[0]?.headers['x-trace']).toBe('7')
  })
})

describe('keys', () => {
  const cases: [string, (client: Client) => Promise<unknown>, ErrorCode][] = [
    ['get of a bad key', (c) => c.get('/a'), 'invalid_key'],
    ['get of a glob', (c) => c.get('a/*'), 'invalid_glob'],
    ['getList of a plain key', (c) => c.getList('a'), 'invalid_glob'],
    ['set of a glob', (c) => c.set('a/*', 1), 'invalid_glob'],
    ['set of an empty key', (c) => c.set('', 1), 'invalid_key'],
    ['push to a plain key', (c) => c.push('a', 1), 'invalid_glob'],
    ['push to a glob in the middle', (c) => c.push('a/*/b', 1), 'invalid_glob'],
    ['push to two globs', (c) => c.push('a/*/*', 1), 'invalid_glob'],
    ['push to half a segment', (c) => c.push('a*', 1), 'invalid_glob'],
    ['patch of a glob', (c) => c.patch('a/*', 1), 'invalid_glob'],
    ['delete of a bad key', (c) => c.delete('a//b'), 'invalid_key'],
    ['set of nothing', (c) => c.set('a', undefined), 'invalid_json'],
  ]
  it.each(cases)('are checked before anything is sent: %s', async (_what, call, code) => {
    expect((await failure(call(client()))).code).toBe(code)
    expect(server.requests).toEqual([])
  })
})

describe('failures', () => {
  const statuses: [number, string, ErrorCode][] = [
    [400, 'ooo: key is not valid', 'invalid_key'],
    [400, 'ooo: glob pattern not allowed for this operation', 'invalid_glob'],
    [400, 'merge: patch value must be object for key "a.b"', 'merge_conflict'],
    [400, 'filters: route not defined, key:a', 'not_routed'],
    [400, 'something new', 'invalid_message'],
    [401, 'who are you', 'unauthorized'],
    [403, 'Forbidden', 'forbidden'],
    [404, 'storage: not found', 'not_found'],
    [413, 'Request Entity Too Large', 'too_large'],
    [500, 'disk on fire', 'storage_failed'],
    [502, 'bad gateway', 'unreachable'],
    [503, 'ooo: server deadline reached', 'deadline'],
    [503, 'busy', 'overloaded'],
  ]
  it.each(statuses)('%i %s', async (status, body, code) => {
    server.answer = () => ({ status, body })
    expect(await failure(client().set('a', 1))).toMatchObject({ code, message: body })
  })

  it('of the network are unreachable and name what was asked', async () => {
    const url = `http://127.0.0.1:${await freePort()}`
    const { code, message } = await failure(client({ url }).get('a/b'))
    expect(code).toBe('unreachable')
    expect(message).toContain('GET /a/b')
    expect(message).toContain('ECONNREFUSED')
  })

  it('of a connection cut in the middle are unreachable', async () => {
    server.answer = () => 'cut'
    expect((await failure(client().delete('a'))).code).toBe('unreachable')
  })

  it('come after the request timeout', async () => {
    server.answer = () => 'hang'
    const { code, message } = await failure(client({ requestTimeoutMs: 50 }).get('a'))
    expect(code).toBe('deadline')
    expect(message).toBe('GET /a: no answer within 50 ms')
  })

  it('of the caller reject with the reason of the signal', async () => {
    server.answer = () => 'hang'
    const controller = new AbortController()
    const call = client().get('a', { signal: controller.signal })
    const outcome = call.catch((error: unknown) => error)
    await waitFor(() => server.requests.length === 1, { what: 'the request' })
    const reason = new Error('changed my mind')
    controller.abort(reason)
    expect(await outcome).toBe(reason)
    await expect(client().get('a', { signal: controller.signal })).rejects.toBe(reason)
    expect(server.requests).toHaveLength(1)
  })
})

describe('retries', () => {
  it('are off unless asked for', async () => {
    server.answer = () => ({ status: 503, body: 'busy' })
    await failure(client().get('a'))
    expect(server.requests).toHaveLength(1)
  })

  it('repeat what met a 5xx or a cut connection, until it succeeds', async () => {
    server.answer = () => {
      if (server.requests.length === 1) return { status: 500, body: 'no' }
      if (server.requests.length === 2) return 'cut'
      return { status: 200, body: '{"index":"a"}' }
    }
    expect(await client({ retries: 3 }).set('a', 1)).toEqual({ index: 'a', path: 'a' })
    expect(server.requests).toHaveLength(3)
  })

  it('end with the last failure', async () => {
    server.answer = () => ({ status: 500, body: `no ${server.requests.length}` })
    expect((await failure(client({ retries: 2 }).get('a'))).message).toBe('no 3')
  })

  it('never repeat a push, nor what was refused', async () => {
    server.answer = () => ({ status: 500, body: 'no' })
    await failure(client({ retries: 3 }).push('a/*', 1))
    expect(server.requests).toHaveLength(1)
    server.answer = () => ({ status: 400, body: 'no' })
    await failure(client({ retries: 3 }).set('a', 1))
    expect(server.requests).toHaveLength(2)
  })
})

describe('options', () => {
  it.each<[string, Record<string, unknown>]>([
    ['url', { url: 'localhost:8800' }],
    ['requestTimeoutMs', { requestTimeoutMs: -1 }],
    ['retries', { retries: Number.NaN }],
    ['connectTimeoutMs', { connectTimeoutMs: 0 }],
    ['"tokn"', { tokn: 'x' }],
  ])('are refused by name: %s', (name, options) => {
    expect(() => client(options)).toThrow(name)
  })

  it('refuse a token that cannot travel, without showing it', async () => {
    const { code, message } = await failure(client({ token: 'spa ced' }).get('a'))
    expect(code).toBe('invalid_option')
    expect(message).not.toContain('spa ced')
  })
})
