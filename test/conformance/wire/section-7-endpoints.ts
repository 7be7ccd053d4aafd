/** Section 7: custom endpoints, and what goes before what. */
import type { Server } from '../../../src/server/server.ts'
import { equal } from './assert.ts'
import { section, type WireCase } from './case.ts'

export const endpointCases: readonly WireCase[] = [
  ...section(
    '7.1',
    {
      'a handler is given the variables of its path': async (target) => {
        const own = await target.own({
          prepare: (server) =>
            void server.endpoint({
              path: '/users/{name}/{id:[0-9]+}',
              methods: { GET: {} },
              fetch: (_request, { variables }) => Response.json(variables),
            }),
        })
        equal((await own.get('/users/jane/42')).body, '{"name":"jane","id":"42"}', 'answer')
        equal((await own.get('/users/jane/x')).body, 'ooo: empty key', 'where it does not match')
      },
      'static mode and filters do not concern endpoints': async (target) => {
        const own = await target.own({
          static: true,
          prepare: (server) => {
            server.filters.write('act', () => {
              throw new Error('refused')
            })
            server.endpoint({
              path: '/act',
              methods: { POST: {} },
              handler: (_request, response) => void response.end('done'),
            })
          },
        })
        const { status, body } = await own.post('/act', '1')
        equal([status, body], [200, 'done'], 'answer')
      },
      'the deadline does not concern endpoints': async (target) => {
        const own = await target.own({
          deadlineMs: 20,
          prepare: (server) =>
            void server.endpoint({
              path: '/slow',
              methods: { POST: {} },
              handler: (_request, response) => {
                setTimeout(() => response.end('done'), 100)
              },
            }),
        })
        equal((await own.post('/slow', '1')).body, 'done', 'answer')
      },
      'middleware runs for data, endpoints, sockets and the page': async (target) => {
        const seen: string[] = []
        const own = await target.own({
          prepare: (server) => {
            server.use((request, _response, next) => {
              seen.push(`${request.method} ${request.url}`)
              next()
            })
            server.endpoint({ path: '/act', methods: { GET: {} }, fetch: () => new Response('') })
          },
        })
        for (const path of ['/a', '/act', '/']) await own.get(path)
        await own.subscribe('/b')
        equal(seen, ['GET /a', 'GET /act', 'GET /', 'GET /b'], 'requests seen')
      },
    },
    { needs: 'own' },
  ),
  ...section(
    '7.4',
    {
      'an endpoint goes before the data routes, registered before or after the start': async (
        target,
      ) => {
        let server: Server | undefined
        const fetch = (): Response => new Response('mine')
        const own = await target.own({
          prepare: (given) => {
            server = given
            given.endpoint({ path: '/early', methods: { GET: {} }, fetch })
          },
        })
        for (const path of ['/early', '/late']) await own.store(path, '1')
        server?.endpoint({ path: '/late', methods: { GET: {} }, fetch })
        for (const path of ['/early', '/late']) equal((await own.get(path)).body, 'mine', path)
      },
      'a method that an endpoint does not list goes to the data': async (target) => {
        const own = await target.own({
          prepare: (server) =>
            void server.endpoint({
              path: '/both',
              methods: { GET: {} },
              fetch: () => new Response('mine'),
            }),
        })
        equal((await own.post('/both', '{"x":1}')).body, '{"index":"both"}', 'POST')
        equal((await own.patch('/both', '{"x":2}')).body, '{"index":"both"}', 'PATCH')
        equal((await own.get('/both')).body, 'mine', 'GET')
        equal((await own.request('DELETE', '/both')).status, 204, 'status of DELETE')
      },
      'of an endpoint and a proxy the first registered answers': async (target) => {
        const other = await target.own()
        const endpoint = {
          path: '/p/a',
          methods: { GET: {} },
          fetch: () => new Response('endpoint'),
        }
        const proxy = {
          localPath: 'p/*',
          resolve: () => ({ address: other.base.host, path: 'a' }),
        }
        await other.store('/a', '"proxy"')
        const first = await target.own({
          prepare: (server) => {
            server.endpoint(endpoint)
            server.proxy.route(proxy)
          },
        })
        equal((await first.get('/p/a')).body, 'endpoint', 'the endpoint first')
        const second = await target.own({
          prepare: (server) => {
            server.proxy.route(proxy)
            server.endpoint(endpoint)
          },
        })
        equal(await second.data('/p/a'), '"proxy"', 'the proxy first')
      },
    },
    { needs: 'own' },
  ),
]
