/** Section 5.5: lists with a limit, and the frames of section 4.7 they cause. */
import { canonicalText } from '../../quick/core/exact-apply.ts'
import { waitFor } from '../../support/wait.ts'
import { equal } from './assert.ts'
import { section, type WireCase } from './case.ts'
import type { Target } from './target.ts'

/** Long, so that a patch pays. */
const LONG = JSON.stringify('long '.repeat(200))

export const limitCases: readonly WireCase[] = [
  ...section(
    '5.5',
    {
      'only the newest are shown, newest first, and the rest is deleted': async (target) => {
        const own = await target.own({
          prepare: ({ filters }) => filters.limit('a/*', { limit: 2 }),
        })
        for (const name of ['x', 'y', 'z']) await own.store(`/a/${name}`, '1')
        equal(await indexes(own, '/a/*'), ['z', 'y'], 'list')
        await waitFor(async () => (await own.get('/a/x')).status === 404, { what: 'the delete' })
      },
      'ascending order shows the newest, oldest first': async (target) => {
        const own = await target.own({
          prepare: ({ filters }) => filters.limit('a/*', { limit: 2, order: 'asc' }),
        })
        for (const name of ['x', 'y', 'z']) await own.store(`/a/${name}`, '1')
        equal(await indexes(own, '/a/*'), ['y', 'z'], 'list')
      },
      'a function is asked at each use, and wins': async (target) => {
        let limit = 3
        const own = await target.own({
          prepare: ({ filters }) => filters.limit('a/*', { limit: 1, limitFunc: () => limit }),
        })
        for (const name of ['x', 'y', 'z']) await own.store(`/a/${name}`, '1')
        equal((await indexes(own, '/a/*')).length, 3, 'entries at first')
        limit = 2
        equal((await indexes(own, '/a/*')).length, 2, 'entries afterwards')
      },
      'what is too old is not shown': async (target) => {
        const own = await target.own({
          prepare: ({ filters }) => filters.limit('a/*', { maxAgeMs: 100 }),
        })
        await own.store('/a/x', '1')
        await waitFor(async () => (await own.get('/a/*')).body === '[]', { what: 'the end of age' })
      },
      'a limit opens read, write and delete in static mode': async (target) => {
        const own = await target.own({
          static: true,
          prepare: ({ filters }) => filters.limit('a/*', { limit: 2 }),
        })
        await own.store('/a/*', '1')
        await own.store('/a/x', '1')
        for (const path of ['/a/*', '/a/x']) equal((await own.get(path)).status, 200, `GET ${path}`)
        equal((await own.request('DELETE', '/a/x')).status, 204, 'status of DELETE')
      },
    },
    { needs: 'own' },
  ),
  ...section(
    '4.7',
    {
      'set that pushes one out of a limit: remove, then add': async (target) => {
        const own = await target.own({
          prepare: ({ filters }) => filters.limit('a/*', { limit: 2 }),
        })
        for (const name of ['x', 'y']) await own.store(`/a/${name}`, LONG)
        const probe = await own.subscribe('/a/*')
        await own.store('/a/z', LONG)
        const { snapshot, data } = await probe.envelope(1)
        equal(snapshot, false, 'snapshot')
        const operations = JSON.parse(data) as { op: string; path: string }[]
        equal(
          operations.map(({ op, path }) => [op, path]),
          [
            ['remove', '/1'],
            ['add', '/0'],
          ],
          'operations',
        )
        equal(await indexes(own, '/a/*'), ['z', 'y'], 'list')
      },
      'set, object filter refuses, key in the list: one remove': async (target) => {
        const own = await target.own({
          prepare: ({ filters }) =>
            filters.readObject('a/*', (_key, entry) => {
              if (entry.data === 'hidden') throw new Error('hidden')
              return entry
            }),
        })
        for (const name of ['x', 'y']) await own.store(`/a/${name}`, LONG)
        const probe = await own.subscribe('/a/*')
        await own.store('/a/x', '"hidden"')
        const { snapshot, data } = await probe.envelope(1)
        equal([snapshot, data], [false, '[{"op":"remove","path":"/1"}]'], 'frame')
        await own.store('/a/x', '"hidden"')
        await own.store('/a/y', '"shown"')
        await probe.frame(2)
        equal(probe.frames.length, 3, 'frames: none for a key that is not in the list')
      },
    },
    { needs: 'own' },
  ),
  ...section(
    '4.6',
    {
      'an object filter shapes the snapshot and every frame after it': async (target) => {
        const own = await target.own({
          prepare: ({ filters }) =>
            filters.readObject('a', (_key, entry) => {
              const { secret: _hidden, ...data } = (entry.data ?? {}) as Record<string, unknown>
              return { ...entry, data }
            }),
        })
        const value = (n: number): string =>
          JSON.stringify({ n, long: 'long '.repeat(100), secret: 'do not tell' })
        await own.store('/a', value(1))
        const probe = await own.subscribe('/a')
        await own.store('/a', value(2))
        equal((await probe.envelope(1)).snapshot, false, 'the change is a patch')
        for (const { text } of probe.frames)
          equal(text.includes('secret'), false, 'secret in a frame')
        equal(probe.state, canonicalText((await own.get('/a')).body), 'state')
      },
    },
    { needs: 'own' },
  ),
  ...section(
    '9.5',
    {
      'keys without broadcast send no frame, and are read as ever': async (target) => {
        const own = await target.own({ noBroadcastKeys: ['quiet/*'] })
        const [quiet, loud] = [await own.subscribe('/quiet/x'), await own.subscribe('/loud')]
        await own.store('/quiet/x', '1')
        await own.store('/loud', '1')
        await loud.frame(1)
        equal(quiet.frames.length, 1, 'frames of the quiet one')
        equal(await own.data('/quiet/x'), '1', 'data')
      },
    },
    { needs: 'own' },
  ),
]

async function indexes(target: Target, path: string): Promise<string[]> {
  const { body } = await target.get(path)
  return (JSON.parse(body) as { index: string }[]).map(({ index }) => index)
}
