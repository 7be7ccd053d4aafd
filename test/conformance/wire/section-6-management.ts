/** Section 6: the shapes of `GET /?api=`. */
import { ensure, equal, matches } from './assert.ts'
import { section, type WireCase } from './case.ts'
import type { Target } from './target.ts'

/** Field order is part of the shape: the texts are compared, not the objects. */
const SHAPES: Readonly<Record<string, RegExp>> = {
  keys: /^\{"keys":\[.*\],"total":\d+,"page":1,"limit":50,"filter":""\}\n$/s,
  info: /^\{"name":".*","address":".*:\d+","deadline":\d+,"readTimeout":\d+,"writeTimeout":\d+,"readHeaderTimeout":\d+,"idleTimeout":\d+,"forcePatch":(?:true|false),"noPatch":(?:true|false),"static":(?:true|false),"silence":(?:true|false),"workers":\d+,"tick":\d+,"watchPanics":\d+,"droppedEvents":\d+\}\n$/,
  filters: /^\{"paths":\[.*\],"filters":\[.*\]\}\n$/s,
  state: /^\{"pools":\[.*\],"totalConnections":\d+\}\n$/,
  pivot:
    /^\{"role":"(?:pivot|node|mixed|none)","pivotIP":".*","nodes":(?:null|\[.*\]),"syncedKeys":(?:null|\[.*\]),"pivotHealthy":(?:true|false),"pivotLastCheck":".*","pivotProtocol":".*","pivotCompatible":(?:true|false)\}\n$/s,
  endpoints: /^\[.*\]\n$/s,
  proxies: /^\[.*\]\n$/s,
  'orphan-keys': /^\[.*\]\n$/s,
}

interface Keys {
  readonly keys: readonly string[]
  readonly total: number
  readonly page: number
  readonly limit: number
  readonly filter: string
}

export const managementCases: readonly WireCase[] = [
  ...section(
    '6',
    Object.fromEntries(
      Object.entries(SHAPES).map(([name, shape]) => [
        `?api=${name} has its fields in order and ends in a newline`,
        async (target: Target) => {
          const { status, headers, body } = await target.get(`/?api=${name}`)
          equal([status, headers['content-type']], [200, 'application/json'], 'answer')
          matches(body, shape, 'body')
        },
      ]),
    ),
  ),
  ...section('6', {
    'an unknown or missing name is the page': async (target) => {
      for (const path of ['/', '/?api=unknown', '/?api=']) {
        const { status, headers } = await target.get(path)
        equal([status, headers['content-type']], [200, 'text/html; charset=utf-8'], path)
      }
    },
  }),
  ...section('6.1', {
    'keys are sorted bytewise, filtered and paged': async (target) => {
      for (const name of ['b', 'a', 'B', 'a/x', 'c']) await target.store(target.at(name), '1')
      const names = ['B', 'a', 'a/x', 'b', 'c'].map((name) => `${target.prefix}/${name}`)
      const all = await keys(target, `filter=${target.prefix}/*`)
      equal([all.keys, all.total], [names, 5], 'all')
      equal(all.filter, `${target.prefix}/*`, 'filter')
      const second = await keys(target, `filter=${target.prefix}/&limit=2&page=2`)
      equal([second.keys, second.total], [names.slice(2, 4), 5], 'the second page')
      equal((await keys(target, `filter=${target.prefix}/&page=9`)).keys, [], 'past the end')
    },
    'numbers out of range give the defaults': async (target) => {
      for (const query of ['page=0&limit=0', 'page=-1&limit=501', 'page=x&limit=x']) {
        const { page, limit } = await keys(target, `${query}&filter=${target.prefix}`)
        equal([page, limit], [1, 50], query)
      }
      equal((await keys(target, 'limit=500')).limit, 500, 'the largest limit')
    },
  }),
  ...section('6.3', {
    'state counts connections by pool': async (target) => {
      await target.subscribe(target.at('*'))
      await target.subscribe(target.at('*'))
      await target.subscribe('/')
      const { body } = await target.get('/?api=state')
      const { pools } = JSON.parse(body) as { pools: { key: string; connections: number }[] }
      equal(pools[0]?.key, '(clock)', 'first pool')
      equal(
        pools.find(({ key }) => key === `${target.prefix}/*`),
        { key: `${target.prefix}/*`, connections: 2 },
        'pool of the list',
      )
      ensure(
        pools.every(({ connections }) => connections > 0),
        'only pools with connections',
      )
    },
  }),
]

async function keys(target: Target, query: string): Promise<Keys> {
  return JSON.parse((await target.get(`/?api=keys&${query}`)).body) as Keys
}
