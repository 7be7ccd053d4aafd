/** Section 5.4 and the filter rows of 3.2–3.5 and 4.1: what is refused, with which text. */
import { waitFor } from '../../support/wait.ts'
import { equal } from './assert.ts'
import { section, type WireCase } from './case.ts'

function refuse(): never {
  throw new Error('not today')
}

export const filterErrorCases: readonly WireCase[] = [
  ...section(
    '5.4',
    {
      'a filter that throws is 400 with its text, and nothing is done': async (target) => {
        let on = false
        const refusal = (): undefined => (on ? refuse() : undefined)
        const own = await target.own({
          prepare: ({ filters }) => {
            filters.write('*', refusal)
            filters.delete('*', refusal)
          },
        })
        await own.store('/a', '{"x":1}')
        on = true
        for (const [method, body] of [
          ['POST', '1'],
          ['PATCH', '{"x":2}'],
          ['DELETE', undefined],
        ] as const) {
          const answer = await own.request(method, '/a', body === undefined ? {} : { body })
          equal([answer.status, answer.body], [400, 'not today'], method)
        }
        equal(await own.data('/a'), '{"x":1}', 'data afterwards')
      },
      'a read filter that throws is 400 with its text; its socket 400 without': async (target) => {
        const own = await target.own({
          prepare: ({ filters }) => {
            filters.readObject('a', refuse)
            filters.readList('b/*', refuse)
          },
        })
        await own.store('/a', '1')
        for (const path of ['/a', '/b/*']) {
          const { status, body } = await own.get(path)
          equal([status, body], [400, 'not today'], `GET ${path}`)
          const refused = await own.handshake(path)
          equal([refused.status, refused.body], [400, ''], `handshake at ${path}`)
        }
      },
      'a write filter without a JSON result is 400 naming the key': async (target) => {
        const own = await target.own({
          prepare: ({ filters }) => filters.write('*', () => () => 'a function is not JSON'),
        })
        for (const [path, key] of [
          ['/a', 'a'],
          ['/*', '*'],
        ]) {
          const { status, body } = await own.post(path ?? '', '1')
          const text = `filters: invalid filter result error, key:${key}`
          equal([status, body], [400, text], `POST ${path}`)
        }
      },
      'a list in static mode with only an object filter is refused by key': async (target) => {
        const own = await target.own({
          static: true,
          prepare: ({ filters }) => filters.readObject('a/*', (_key, entry) => entry),
        })
        const { status, body } = await own.get('/a/*')
        equal([status, body], [400, 'filters: route not defined, key:a/*'], 'answer')
      },
      'each kind opens only its own operation in static mode': async (target) => {
        const own = await target.own({
          static: true,
          prepare: ({ filters }) => {
            filters.write('w', () => undefined)
            filters.delete('d', () => undefined)
            filters.readObject('r', (_key, entry) => entry)
          },
        })
        for (const [name, expected] of [
          ['w', [200, 200, 400, 400]],
          ['d', [400, 404, 404, 400]],
          ['r', [400, 404, 400, 404]],
        ] as const) {
          const answers = [
            await own.post(`/${name}`, '{}'),
            await own.patch(`/${name}`, '{}'),
            await own.request('DELETE', `/${name}`),
            await own.get(`/${name}`),
          ]
          equal(
            answers.map(({ status }) => status),
            expected,
            `POST, PATCH, DELETE and GET of ${name}`,
          )
        }
      },
      'an invalid body is refused before the write filter is asked': async (target) => {
        const own = await target.own({ static: true, maxBodyBytes: 20 })
        for (const [method, body, status, text] of [
          ['POST', '', 400, 'EOF'],
          ['PATCH', '', 400, 'EOF'],
          ['POST', `"${'x'.repeat(50)}"`, 413, 'Request Entity Too Large'],
        ] as const) {
          const answer = await own.request(method, '/a', { body })
          equal([answer.status, answer.body], [status, text], `${method} ${body}`)
        }
      },
    },
    { needs: 'own' },
  ),
  ...section(
    '4.1',
    {
      'a subscribe hook that throws is 400 without a body': async (target) => {
        const asked: string[] = []
        const own = await target.own({
          prepare: ({ hooks }) => {
            hooks.on('subscribe', (key) => {
              asked.push(key)
              if (key === 'a') refuse()
            })
          },
        })
        const { status, body } = await own.handshake('/a')
        equal([status, body], [400, ''], 'answer')
        await own.subscribe('/b')
        equal(asked, ['a', 'b'], 'keys asked for')
      },
    },
    { needs: 'own' },
  ),
  ...section(
    '4.1',
    {
      'a refused clock is 200 without a body': async (target) => {
        const own = await target.own({
          prepare: ({ hooks }) => void hooks.on('subscribe', refuse),
        })
        const { status, body } = await own.handshake('/')
        equal([status, body], [200, ''], 'answer')
      },
    },
    { tag: 'Q', needs: 'own' },
  ),
  ...section(
    '4.1',
    {
      'an unsubscribe hook hears of the end of a connection': async (target) => {
        const gone: string[] = []
        const own = await target.own({
          prepare: ({ hooks }) => void hooks.on('unsubscribe', (key) => void gone.push(key)),
        })
        for (const path of ['/a', '/b/*']) {
          const before = gone.length
          const probe = await own.subscribe(path)
          equal(gone.length, before, 'calls while connected')
          probe.close()
          await waitFor(() => gone.length > before, { what: `the end of ${path}` })
        }
        equal(gone, ['a', 'b/*'], 'keys')
      },
      'an unopened path is refused before the hook is asked': async (target) => {
        const asked: string[] = []
        const own = await target.own({
          static: true,
          prepare: ({ hooks }) => void hooks.on('subscribe', (key) => void asked.push(key)),
        })
        equal((await own.handshake('/a')).status, 400, 'status')
        equal(asked, [], 'keys asked for')
      },
    },
    { needs: 'own' },
  ),
]
