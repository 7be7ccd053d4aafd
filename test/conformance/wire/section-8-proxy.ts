/** Section 8: routes forwarded to a second server, as clients see them. */

import type { ProxyRoute } from '../../../src/server/reverse-proxy/proxy.ts'
import { canonicalText } from '../../quick/core/exact-apply.ts'
import { waitFor } from '../../support/wait.ts'
import { equal, matches } from './assert.ts'
import { section, type WireCase } from './case.ts'
import type { OwnServerOptions, Target } from './target.ts'

const LONG = 'long '.repeat(200)

/** A server whose `/p/*` goes to `/*` of another, which answers at `/echo` with what it was sent. */
async function pair(
  target: Target,
  route: Partial<ProxyRoute> = {},
  options: OwnServerOptions = {},
): Promise<{ front: Target; back: Target }> {
  const back = await target.own({
    prepare: (server) =>
      void server.endpoint({
        path: '/echo',
        methods: { GET: {}, POST: {} },
        fetch: async (request, { url }) =>
          Response.json(
            {
              query: url.search,
              authorization: request.headers.get('authorization'),
              configured: request.headers.get('x-configured'),
              type: request.headers.get('content-type'),
              body: await request.text(),
            },
            { status: 202, headers: { 'x-from-target': 'yes' } },
          ),
      }),
  })
  const front = await target.own({
    ...options,
    prepare: ({ proxy }) =>
      void proxy.route({
        localPath: 'p/*',
        resolve: (path) => ({ address: back.base.host, path: path.replace(/^p\//, '') }),
        ...route,
      }),
  })
  return { front, back }
}

const httpCases: Readonly<Record<string, WireCase['run']>> = {
  'reads, writes, merges and deletes reach the target': async (target) => {
    const { front, back } = await pair(target)
    equal((await front.post('/p/a', '{"x":1.0}')).body, '{"index":"a"}', 'POST')
    equal((await front.patch('/p/a', '{"y":2}')).status, 200, 'status of PATCH')
    equal((await front.get('/p/a')).body, (await back.get('/a')).body, 'GET')
    equal((await front.request('DELETE', '/p/a')).status, 204, 'status of DELETE')
    equal((await back.get('/a')).status, 404, 'status of GET at the target')
    const { status, body } = await front.get('/p/a')
    equal([status, body], [404, 'ooo: empty key'], 'the status and text of the target')
  },
  'the target is sent configured headers, and neither query nor credentials': async (target) => {
    const { front } = await pair(target, { headers: { 'x-configured': 'yes' } })
    const answer = await front.request('POST', '/p/echo?secret=1', {
      body: 'as it is',
      headers: { authorization: 'Bearer token', 'content-type': 'text/plain' },
    })
    equal([answer.status, answer.headers['x-from-target']], [202, 'yes'], 'status and header')
    equal(
      JSON.parse(answer.body),
      {
        query: '',
        authorization: null,
        configured: 'yes',
        type: 'application/json',
        body: 'as it is',
      },
      'what the target got',
    )
  },
  'what a proxy does not let through is 403, before it resolves': async (target) => {
    let resolved = 0
    const { front } = await pair(target, {
      capabilities: {},
      resolve: () => {
        resolved++
        throw new Error('not reached')
      },
    })
    for (const [method, body] of [
      ['GET', undefined],
      ['POST', '1'],
      ['PATCH', '{}'],
      ['DELETE', undefined],
    ] as const) {
      const answer = await front.request(method, '/p/a', body === undefined ? {} : { body })
      equal([answer.status, answer.body], [403, 'Forbidden\n'], method)
    }
    equal(resolved, 0, 'calls of the resolver')
  },
  'a target that is not found is 400 with the text and a newline': async (target) => {
    const { front } = await pair(target, {
      resolve: () => {
        throw new Error('no such room')
      },
    })
    const { status, body } = await front.get('/p/a')
    equal([status, body], [400, 'no such room\n'], 'answer')
  },
  'another method is 405': async (target) => {
    const { front } = await pair(target)
    const { status, body } = await front.request('PUT', '/p/a', { body: '1' })
    equal([status, body], [405, 'method not allowed\n'], 'answer')
  },
  'a declared length above the cap is 413': async (target) => {
    const { front } = await pair(target, {}, { maxBodyBytes: 100 })
    for (const method of ['POST', 'PATCH']) {
      const answer = await front.request(method, '/p/a', { body: `"${'x'.repeat(200)}"` })
      equal([answer.status, answer.body], [413, 'Request Entity Too Large\n'], method)
    }
  },
  'a target that is gone is 502': async (target) => {
    const gone = await target.own()
    await gone.shutDown()
    const { front } = await pair(target, {
      resolve: (path) => ({ address: gone.base.host, path }),
    })
    equal((await front.get('/p/a')).status, 502, 'status')
  },
}

const socketCases: Readonly<Record<string, WireCase['run']>> = {
  'frames are those of the target': async (target) => {
    const { front, back } = await pair(target)
    const direct = await back.subscribe('/a')
    const proxied = await front.subscribe('/p/a')
    await front.post('/p/a', JSON.stringify({ LONG, n: 1 }))
    await back.post('/a', JSON.stringify({ LONG, n: 2 }))
    await back.request('DELETE', '/a')
    await Promise.all([direct.frame(3), proxied.frame(3)])
    equal(proxied.frames, direct.frames, 'frames')
    await proxied.envelope(3)
  },
  'a late joiner begins with a snapshot and follows': async (target) => {
    const { front, back } = await pair(target)
    for (const [path, local] of [
      ['/a', '/p/a'],
      ['/l/*', '/p/l/*'],
      ['/none', '/p/none'],
      ['/none/*', '/p/none/*'],
    ] as const) {
      const write = path.replace('*', 'x')
      if (!path.startsWith('/none')) await back.store(write, JSON.stringify({ LONG, n: 1 }))
      await front.subscribe(local)
      const late = await front.subscribe(`${local}?v=1`)
      const { snapshot, data } = await late.envelope(0)
      equal(snapshot, true, `first frame at ${local}`)
      if (path === '/none/*') equal(data, '[]', 'an empty list')
      if (path === '/none') {
        equal(data, '{"created":0,"updated":0,"index":"","data":{}}', 'an absent key')
      }
      await back.store(write, JSON.stringify({ LONG, n: 2 }))
      const wanted = canonicalText((await back.get(path)).body)
      await waitFor(() => late.state === wanted, { what: `the state of ${path}` })
    }
  },
  'an offered bearer protocol is selected': async (target) => {
    const { front } = await pair(target)
    const probe = await front.socket('/p/a', ['bearer', 'token'])
    equal(probe.socket.protocol, 'bearer', 'protocol')
  },
  'without the right to read a handshake is 403': async (target) => {
    const { front } = await pair(target, { capabilities: { write: true } })
    const { status, body } = await front.handshake('/p/a')
    equal([status, body], [403, 'Forbidden\n'], 'answer')
  },
  'an origin that is not listed is 403': async (target) => {
    const { front } = await pair(target, {}, { allowedOrigins: ['http://page.example'] })
    const { status, body } = await front.handshake('/p/a', { Origin: 'http://other.example' })
    equal(status, 403, 'status')
    matches(body, /^(Forbidden\b)/, 'text')
  },
  'what a client sends is discarded': async (target) => {
    const { front, back } = await pair(target)
    const probe = await front.subscribe('/p/a')
    probe.socket.send('text')
    await back.store('/a', '1')
    equal((await probe.envelope(1)).snapshot, true, 'the next frame is the write')
  },
  'a proxy list also serves its base': async (target) => {
    const back = await target.own()
    const front = await target.own({
      prepare: ({ proxy }) =>
        void proxy.routeList({
          localPath: 'p/*',
          resolve: (path) => ({
            address: back.base.host,
            path: path === 'p' ? 'l/*' : path.replace(/^p\//, 'l/'),
          }),
        }),
    })
    await back.store('/l/x', '1')
    equal((await front.get('/p')).body, (await back.get('/l/*')).body, 'the list')
    equal((await front.get('/p/x')).body, (await back.get('/l/x')).body, 'the entry')
  },
}

export const proxyCases: readonly WireCase[] = [
  ...section('8.2', httpCases, { needs: 'own' }),
  ...section('8.3', socketCases, { needs: 'own' }),
]
