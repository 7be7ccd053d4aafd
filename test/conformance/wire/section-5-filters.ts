/** Sections 5.1–5.3: which filter applies, and to what. */
import { equal } from './assert.ts'
import { section, type WireCase } from './case.ts'

export const filterCases: readonly WireCase[] = [
  ...section(
    '5.1',
    {
      'a write filter gives what is stored, and sees the merged value of a PATCH': async (
        target,
      ) => {
        const seen: string[] = []
        const own = await target.own({
          prepare: ({ filters }) =>
            filters.write('a', (key, data, json) => {
              seen.push(`${key} ${json}`)
              return { ...(data as object), checked: true }
            }),
        })
        await own.store('/a', '{"x":1}')
        equal(await own.data('/a'), '{"x":1,"checked":true}', 'data after POST')
        equal((await own.patch('/a', '{"y":2}')).status, 200, 'status of PATCH')
        equal(JSON.parse(await own.data('/a')), { x: 1, y: 2, checked: true }, 'after PATCH')
        equal(seen, ['a {"x":1}', 'a {"checked":true,"x":1,"y":2}'], 'what the filter saw')
      },
      'a write filter and an after-write filter hear of a push by its glob': async (target) => {
        const heard: string[] = []
        const own = await target.own({
          prepare: ({ filters }) => {
            filters.write('things/*', (key) => void heard.push(`write ${key}`))
            filters.afterWrite('things/*', (key) => void heard.push(`after ${key}`))
          },
        })
        await own.store('/things/*', '1')
        equal(heard, ['write things/*', 'after things/*'], 'calls')
      },
      'an after-write filter runs before the answer, and not for deletes': async (target) => {
        const heard: string[] = []
        const own = await target.own({
          prepare: ({ filters }) => filters.afterWrite('*', (key) => void heard.push(key)),
        })
        await own.store('/a', '{}')
        equal(heard, ['a'], 'after POST')
        await own.patch('/a', '{"x":1}')
        equal(heard, ['a', 'a'], 'after PATCH')
        await own.request('DELETE', '/a')
        equal(heard, ['a', 'a'], 'after DELETE')
      },
      'a read-object filter may hide, change and invent': async (target) => {
        const own = await target.own({
          prepare: ({ filters }) => {
            filters.readObject('hidden', () => undefined)
            filters.readObject('changed', (_key, entry) => ({ ...entry, data: 'changed' }))
            filters.readObject('invented', (_key, entry) => ({
              ...entry,
              created: 1n,
              index: 'invented',
              data: 'invented',
            }))
          },
        })
        for (const path of ['/hidden', '/changed']) await own.store(path, '1')
        const { status, body } = await own.get('/hidden')
        equal([status, body], [404, 'ooo: empty key'], 'the hidden one')
        equal(await own.data('/changed'), '"changed"', 'the changed one')
        equal((await own.get('/invented')).status, 200, 'status of the invented one')
        equal(await own.data('/invented'), '"invented"', 'the invented one')
      },
      'a read-list filter gives what lists and their subscribers show': async (target) => {
        const own = await target.own({
          prepare: ({ filters }) =>
            filters.readList('*', (_key, all) => all.filter(({ data }) => data !== 'hidden')),
        })
        await own.store('/a', '"hidden"')
        await own.store('/b', '1')
        const { body } = await own.get('/*')
        const shown = (JSON.parse(body) as { index: string }[]).map(({ index }) => index)
        equal(shown, ['b'], 'list')
        const probe = await own.subscribe('/*')
        equal((await probe.envelope(0)).data, body, 'snapshot')
        await own.store('/c', '"hidden"')
        await own.store('/d', '2')
        await probe.frame(1)
        equal(probe.state?.includes('hidden'), false, 'hidden data in the state')
        equal(probe.frames.length, 2, 'frames: nothing for what is not shown')
      },
    },
    { needs: 'own' },
  ),
  ...section(
    '5.2',
    {
      'of several filters that match only the first registered of the kind runs': async (
        target,
      ) => {
        const own = await target.own({
          prepare: ({ filters }) => {
            filters.write('a/*', () => 'glob')
            filters.write('a/b', () => 'exact')
            filters.write('c/d', () => 'exact')
            filters.write('c/*', () => 'glob')
          },
        })
        for (const path of ['/a/b', '/c/d', '/c/e']) await own.store(path, '1')
        const stored = await Promise.all(['/a/b', '/c/d', '/c/e'].map((path) => own.data(path)))
        equal(stored, ['"glob"', '"exact"', '"glob"'], 'data')
      },
      'a glob request is matched by its text': async (target) => {
        const own = await target.own({
          static: true,
          prepare: ({ filters }) => {
            filters.open('things/*')
            filters.open('*/x')
          },
        })
        equal((await own.get('/things/*')).status, 200, 'the same glob')
        equal((await own.get('/other/*')).status, 400, 'another glob')
        const wide = await target.own({
          static: true,
          prepare: ({ filters }) => filters.open('*/*'),
        })
        for (const path of ['/*/*', '/things/*']) {
          equal((await wide.get(path)).status, 200, `${path} under */*`)
        }
        equal((await wide.post('/things/*', '1')).status, 200, 'push under */*')
      },
      'without a match, and not static, nothing changes': async (target) => {
        const own = await target.own({
          prepare: ({ filters }) => {
            filters.write('other', () => 'changed')
            filters.delete('other', () => {
              throw new Error('refused')
            })
            filters.readObject('other', () => undefined)
          },
        })
        await own.store('/a', '1')
        equal(await own.data('/a'), '1', 'data')
        equal((await own.request('DELETE', '/a')).status, 204, 'status of DELETE')
      },
    },
    { needs: 'own' },
  ),
  ...section(
    '5.3',
    {
      'a list filter also opens its entries, untransformed, in static mode': async (target) => {
        const own = await target.own({
          static: true,
          prepare: ({ filters }) => {
            filters.write('logs/*', () => undefined)
            filters.readList('logs/*', () => [])
          },
        })
        await own.store('/logs/1', '"as it is"')
        equal(await own.data('/logs/1'), '"as it is"', 'data of the entry')
        equal((await own.get('/logs/*')).body, '[]', 'the list')
        const probe = await own.subscribe('/logs/1')
        equal((await probe.envelope(0)).data.includes('"as it is"'), true, 'the subscription')
        equal((await own.request('DELETE', '/logs/1')).status, 400, 'status of DELETE')
      },
    },
    { needs: 'own' },
  ),
]
