/** Filters on a running server: REST and sockets agree, and limits are kept on disk too. */
import { expect, it } from 'vitest'
import { canonicalText } from '../../quick/core/exact-apply.ts'
import { waitFor } from '../../support/wait.ts'
import { serve } from '../serve.ts'

it('a limit is kept in the store after each write, without a frame for what was never shown', async () => {
  const { server, post, get, subscribe } = await served()
  server.filters.limit('logs/*', { limit: 3 })
  const client = await subscribe('/logs/*')
  await Promise.all(Array.from({ length: 20 }, (_, i) => post('/logs/*', String(i))))
  expect(await server.store.list('logs/*')).toHaveLength(3)
  const { body } = await get('/logs/*')
  await waitFor(() => client.state === canonicalText(body), { what: 'the list to be the same' })
  const frames = client.texts.length
  expect(frames).toBe(21)
})

it('what a read filter hides or refuses is hidden from REST and sockets alike', async () => {
  const { server, post, get, subscribe } = await served()
  server.filters.readObject('box/*', (_key, entry) => {
    if (entry.data === 'refuse') throw new Error('not this one')
    return entry.data === 'hide' ? undefined : entry
  })
  await post('/box/1', '"hide"')
  await post('/box/2', '"refuse"')
  await post('/box/3', '"show"')
  expect((await get('/box/1')).status).toBe(404)
  expect(await get('/box/2')).toMatchObject({ status: 400, body: 'not this one' })
  expect(JSON.parse((await get('/box/*')).body)).toMatchObject([{ path: 'box/3' }])
  const client = await subscribe('/*/*')
  expect(JSON.parse((await client.frame(0)).data)).toMatchObject([{ path: 'box/3' }])
  await expect(subscribe('/box/2')).rejects.toThrow('400')
})

it('a write filter registered while serving refuses with its text and transforms', async () => {
  const { server, post, get } = await served()
  server.filters.write('box/*', (_key, data) => {
    if (data === 1) throw new Error('not one')
    return { data }
  })
  expect(await post('/box/1', '1')).toMatchObject({ status: 400, body: 'not one' })
  expect((await post('/box/*', '2')).status).toBe(200)
  expect(JSON.parse((await get('/box/*')).body)).toMatchObject([{ data: { data: 2 } }])
})

it('the order of a list is the same before and after a read between writes', async () => {
  const { post, get, subscribe } = await served()
  const client = await subscribe('/a/*')
  for (const key of ['a/1', 'a/2', 'a/3']) {
    await post(`/${key}`, '[1,"x",{"n":1}]')
    await get('/a/*')
  }
  await post('/a/2', '[1,{"now":"object"},[2]]')
  await post('/a', '"the parent is in no list"')
  await post('/a/3', '0')
  const { body } = await get('/a/*')
  await waitFor(() => client.state === canonicalText(body), { what: 'the list to be the same' })
  expect((JSON.parse(body) as { path: string }[]).map(({ path }) => path)).toEqual([
    'a/3',
    'a/2',
    'a/1',
  ])
  expect(client.texts).toHaveLength(6)
})

it('without patches every frame is a snapshot', async () => {
  const { post, subscribe } = await served({ noPatch: true })
  const client = await subscribe('/a')
  await post('/a', '{"n":1}')
  await post('/a', '{"n":2}')
  expect((await client.frame(2)).snapshot).toBe(true)
})

async function served(options: Parameters<typeof serve>[0] = {}) {
  const test = await serve(options)
  return {
    server: test.server,
    post: test.post.bind(test),
    get: test.get.bind(test),
    subscribe: test.subscribe.bind(test),
  }
}
