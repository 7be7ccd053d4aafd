/** Section 3.7: what static mode serves. */
import type { Server } from '../../../src/server/server.ts'
import { equal } from './assert.ts'
import { section, type WireCase } from './case.ts'

const OPTIONS = { static: true, open: ['logs/*', 'one'] } as const

export const staticCases: readonly WireCase[] = section(
  '3.7',
  {
    'opened paths are served': async (target) => {
      const own = await target.own(OPTIONS)
      await own.store('/logs/*', '1')
      await own.store('/logs/1', '{}')
      await own.store('/one', '1')
      for (const path of ['/logs/1', '/logs/*', '/one']) {
        equal((await own.get(path)).status, 200, `status of GET ${path}`)
        await own.subscribe(path)
      }
      equal((await own.patch('/logs/1', '{"a":1}')).status, 200, 'status of PATCH')
      equal((await own.request('DELETE', '/logs/*')).status, 204, 'status of DELETE')
    },
    ...Object.fromEntries(
      (
        [
          ['GET', '/other', undefined, 'filters: route not defined'],
          ['GET', '/other/*', undefined, 'filters: route not defined'],
          ['POST', '/other', '1', 'filters: route not defined, key:other'],
          ['POST', '/other/*', '1', 'filters: route not defined, key:other/*'],
          ['DELETE', '/other', undefined, 'filters: route not defined, key:other'],
          ['DELETE', '/*', undefined, 'filters: route not defined, key:*'],
        ] as const
      ).map(([method, path, body, text]) => [
        `${method} ${path} is refused`,
        async (target: Parameters<WireCase['run']>[0]) => {
          const own = await target.own(OPTIONS)
          const answer = await own.request(method, path, body === undefined ? {} : { body })
          equal([answer.status, answer.body], [400, text], 'answer')
        },
      ]),
    ),
    'the page, the management API and the clock stay available': async (target) => {
      const own = await target.own(OPTIONS)
      equal((await own.get('/')).status, 200, 'status of the page')
      equal((await own.get('/?api=keys')).status, 200, 'status of the API')
      await own.subscribe('/')
    },
    'what the process itself wrote is refused as well': async (target) => {
      let server: Server | undefined
      const own = await target.own({
        ...OPTIONS,
        prepare: (given) => {
          server = given
        },
      })
      await server?.set('other', {})
      for (const [method, body] of [
        ['GET', undefined],
        ['PATCH', '{"x":1}'],
        ['DELETE', undefined],
      ] as const) {
        const { status } = await own.request(method, '/other', body === undefined ? {} : { body })
        equal(status, 400, `status of ${method}`)
      }
    },
    'a list is not subscribed to by an object filter, an entry is by a list filter': async (
      target,
    ) => {
      const own = await target.own({
        static: true,
        prepare: ({ filters }) => {
          filters.readObject('o/*', (_key, entry) => entry)
          filters.readList('l/*', (_key, entries) => entries)
        },
      })
      equal((await own.handshake('/o/*')).status, 400, 'the list')
      for (const path of ['/o/x', '/l/x', '/l/*']) {
        equal((await own.handshake(path)).status, 101, path)
      }
    },
    'proxies stay available': async (target) => {
      const back = await target.own()
      await back.store('/a', '1')
      const own = await target.own({
        ...OPTIONS,
        prepare: ({ proxy }) =>
          void proxy.route({
            localPath: 'p/*',
            resolve: () => ({ address: back.base.host, path: 'a' }),
          }),
      })
      equal((await own.get('/p/a')).status, 200, 'status')
    },
    'a subscription to another path is refused without a body': async (target) => {
      const own = await target.own(OPTIONS)
      for (const path of ['/other', '/other/*']) {
        const { status, body } = await own.handshake(path)
        equal([status, body], [400, ''], `answer to ${path}`)
      }
    },
  },
  { needs: 'own' },
)
