/** Section 3.7: what static mode serves. */
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
