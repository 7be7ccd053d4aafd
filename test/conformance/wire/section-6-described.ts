/** Sections 6.2, 6.3, 6.5: what tools are told of options, filters, endpoints and proxies. */
import { ensure, equal, matches } from './assert.ts'
import { section, type WireCase } from './case.ts'

export const describedCases: readonly WireCase[] = [
  ...section(
    '6.2',
    {
      'info shows the options, durations in nanoseconds': async (target) => {
        const own = await target.own({
          name: 'a <name>',
          deadlineMs: 1500,
          readTimeoutMs: 2000,
          tickMs: 250,
          noPatch: true,
          static: true,
        })
        const { body } = await own.get('/?api=info')
        matches(body, /^\{"name":"a \\u003cname\\u003e",/, 'name, HTML characters escaped')
        const info = JSON.parse(body) as Record<string, unknown>
        for (const [name, value] of [
          ['address', own.base.host],
          ['deadline', 1_500_000_000],
          ['readTimeout', 2_000_000_000],
          ['tick', 250_000_000],
          ['forcePatch', false],
          ['noPatch', true],
          ['static', true],
        ] as const) {
          equal(info[name], value, name)
        }
      },
      'info shows the defaults': async (target) => {
        const own = await target.own()
        const info = JSON.parse((await own.get('/?api=info')).body) as Record<string, unknown>
        const seconds = (name: string): number => Number(info[name]) / 1e9
        const times = [
          'deadline',
          'readTimeout',
          'writeTimeout',
          'readHeaderTimeout',
          'idleTimeout',
        ]
        equal(times.map(seconds), [10, 60, 60, 10, 10], 'seconds')
        equal(info.name, 'ooo', 'name')
      },
    },
    { needs: 'own' },
  ),
  ...section(
    '6.3',
    {
      'a filter shows its fields in order, and none that is empty': async (target) => {
        const own = await target.own({
          prepare: ({ filters }) => {
            filters.open('all/*', { description: 'everything' })
            filters.readObject('read', (_key, entry) => entry)
            filters.write('write/*', () => undefined)
            filters.delete('some', () => undefined)
          },
        })
        const text = await filterTexts(own.get('/?api=filters'))
        equal(
          text.get('read'),
          '{"path":"read","type":"read-only","canRead":true,"canWrite":false,"canDelete":false,"isGlob":false}',
          'read-only',
        )
        matches(
          text.get('all/*'),
          /^\{"path":"all\/\*","type":"open","canRead":true,"canWrite":true,"canDelete":true,"isGlob":true,"desc/,
          'open',
        )
        const types = ['write/*', 'some'].map((path) =>
          /"type":"([^"]+)"/.exec(text.get(path) ?? ''),
        )
        equal(
          types.map((match) => match?.[1]),
          ['write-only', 'custom'],
          'types',
        )
      },
      'a limit shows its numbers, its age as a duration, and its order': async (target) => {
        const own = await target.own({
          prepare: ({ filters }) => {
            filters.limit('aged/*', { limit: 3, maxAgeMs: 90 * 60_000, description: 'few' })
            filters.limit('dynamic/*', { limitFunc: () => 7, order: 'asc' })
          },
        })
        const text = await filterTexts(own.get('/?api=filters'))
        const rights = '"canRead":true,"canWrite":true,"canDelete":true,"isGlob":true'
        equal(
          text.get('aged/*'),
          `{"path":"aged/*","type":"limit",${rights},"limit":3,"maxAge":"1h30m0s","order":"desc","descLimit":"few"}`,
          'fixed',
        )
        equal(
          text.get('dynamic/*'),
          `{"path":"dynamic/*","type":"limit",${rights},"limit":7,"limitDynamic":true,"order":"asc"}`,
          'dynamic',
        )
      },
      'paths lists every path once': async (target) => {
        const own = await target.own({
          prepare: ({ filters }) => {
            filters.write('a', () => undefined)
            filters.readObject('a', (_key, entry) => entry)
            filters.afterWrite('b', () => undefined)
            filters.limit('c/*', { limit: 1 })
          },
        })
        const { paths } = JSON.parse((await own.get('/?api=filters')).body) as { paths: string[] }
        equal(paths.toSorted(), ['a', 'b', 'c/*'], 'paths')
      },
      'orphan keys are those that no read filter matches, sorted': async (target) => {
        const own = await target.own({
          prepare: ({ filters }) => {
            filters.readList('list/*', (_key, entries) => entries)
            filters.readObject('object', (_key, entry) => entry)
            filters.write('written', () => undefined)
          },
        })
        for (const path of ['/written', '/list/x', '/object', '/b', '/a'])
          await own.store(path, '1')
        equal((await own.get('/?api=orphan-keys')).body, '["a","b","written"]\n', 'keys')
      },
    },
    { needs: 'own' },
  ),
  ...section(
    '6.5',
    {
      'endpoints show path, methods, description and variables in order': async (target) => {
        const fetch = (): Response => new Response()
        const own = await target.own({
          prepare: (server) => {
            server.endpoint({
              path: '/users/{id}',
              methods: {
                POST: {
                  request: { properties: { name: { type: 'string' }, age: { type: 'integer' } } },
                  response: { type: 'array' },
                  params: { q: 'what to look for' },
                },
              },
              description: 'a user',
              fetch,
            })
            server.endpoint({ path: '/plain', methods: { GET: {} }, fetch })
          },
        })
        equal(
          (await own.get('/?api=endpoints')).body,
          '[{"path":"/users/{id}","methods":[{"method":"POST","request":{"name":"","age":0},' +
            '"response":{"type":"slice"},"params":{"q":"what to look for"}}],' +
            '"description":"a user","vars":{"id":"id"}},' +
            '{"path":"/plain","methods":[{"method":"GET"}],"description":""}]\n',
          'body',
        )
      },
      'proxies show path, type, rights and description in order': async (target) => {
        const resolve = (path: string) => ({ address: '127.0.0.1:1', path })
        const own = await target.own({
          prepare: ({ proxy }) => {
            proxy.route({ localPath: 's/*', resolve, description: 'one' })
            proxy.routeList({ localPath: 'l/*/*', resolve, capabilities: { read: true } })
          },
        })
        const { body } = await own.get('/?api=proxies')
        const wanted = [
          '{"localPath":"s/*","type":"single","canRead":true,"canWrite":true,"canDelete":true,"description":"one"}',
          '{"localPath":"l/*/*","type":"list","canRead":true,"canWrite":false,"canDelete":false}',
        ]
        for (const text of wanted) ensure(body.includes(text), `${body} lacks ${text}`)
      },
    },
    { needs: 'own' },
  ),
]

/** The text of each filter, by path. */
async function filterTexts(answer: Promise<{ body: string }>): Promise<Map<string, string>> {
  const { body } = await answer
  const texts = body.match(/\{"(?:path|type)"[^{}]*\}/g) ?? []
  return new Map(texts.map((text) => [/"path":"([^"]*)"/.exec(text)?.[1] ?? '', text]))
}
