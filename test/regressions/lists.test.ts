/** Faults of the Go server around open lists, each as it showed to a subscriber. */
import { describe, expect, it } from 'vitest'
import { canonicalText } from '../quick/core/exact-apply.ts'
import { type SocketClient, serve, type TestServer } from '../server/serve.ts'
import { waitFor } from '../support/wait.ts'

describe('an open list', () => {
  it('keeps its order when someone reads between the writes', async () => {
    const server = await serve()
    const client = await server.subscribe('/items/*')
    for (let i = 1; i <= 10; i++) {
      await server.post('/items/*', `{"i":${i}}`)
      await server.get('/items/*')
      await server.get(`/items/${i}`)
      await client.frame(i)
    }
    await showsWhatIsRead(server, client, '/items/*')
    const order = (JSON.parse(client.state ?? '') as { data: { i: number } }[]).map(
      ({ data }) => data.i,
    )
    expect(order).toEqual([10, 9, 8, 7, 6, 5, 4, 3, 2, 1])
  })

  it('misses no update that a read came just before', async () => {
    const server = await serve()
    const list = await server.subscribe('/items/*')
    const object = await server.subscribe('/items/a')
    for (let i = 1; i <= 50; i++) {
      await Promise.all([
        server.post('/items/a', `${i}`),
        server.get('/items/a'),
        server.get('/items/*'),
      ])
    }
    await list.frame(50)
    await object.frame(50)
    await showsWhatIsRead(server, list, '/items/*')
    await showsWhatIsRead(server, object, '/items/a')
    expect(list.texts).toHaveLength(51)
  })

  it('does not take in its parent key', async () => {
    const server = await serve()
    const client = await server.subscribe('/box/*')
    await server.post('/box', '"the parent"')
    await server.post('/box/child', '1')
    await client.frame(1)
    await server.request('DELETE', '/box')
    await server.post('/box/child', '2')
    await client.frame(2)
    expect(client.texts).toHaveLength(3)
    await showsWhatIsRead(server, client, '/box/*')
  })

  it('stays full when a glob of another depth is deleted', async () => {
    const server = await serve()
    for (const key of ['t/x', 't/a/1', 't/a/2', 't/b/1']) await server.post(`/${key}`, '1')
    const deep = await server.subscribe('/t/a/*')
    const wide = await server.subscribe('/t/*/*')
    const flat = await server.subscribe('/t/*')
    await server.request('DELETE', '/t/*')
    await flat.frame(1)
    expect(flat.state).toBe('[]')
    await server.post('/t/a/3', '1')
    for (const client of [deep, wide]) {
      expect((await client.frame(1)).snapshot).toBe(false)
      expect(client.texts).toHaveLength(2)
    }
    await showsWhatIsRead(server, deep, '/t/a/*')
    await showsWhatIsRead(server, wide, '/t/*/*')
    expect(JSON.parse(deep.state ?? '')).toHaveLength(3)
  })
})

describe('an open object', () => {
  it('follows array elements that change their type', async () => {
    const server = await serve()
    const client = await server.subscribe('/a')
    const values = [
      '[1,2]',
      '[{"x":1},2]',
      '["text",{"y":[1]}]',
      '[null,[true]]',
      '[[1],{}]',
      '[1]',
    ]
    // Long enough beside the list that a patch is shorter than the whole.
    const beside = 'x'.repeat(1000)
    for (const [i, value] of values.entries()) {
      await server.post('/a', `{"beside":"${beside}","list":${value}}`)
      expect((await client.frame(i + 1)).snapshot).toBe(i === 0)
      await showsWhatIsRead(server, client, '/a')
    }
  })
})

describe('a body that is not JSON', () => {
  it.each(['{', '{"a":}', '[1,]', 'nul', '"\u0001"', '01', '{"a" 1}'])(
    'is not stored though no filter looks at it: %s',
    async (body) => {
      const server = await serve()
      expect((await server.post('/a', body)).status).toBe(400)
      expect((await server.get('/a')).status).toBe(404)
      expect((await server.get('/*')).body).toBe('[]')
    },
  )
})

/** The subscriber's state is, or becomes, what a fresh read gives. */
async function showsWhatIsRead(
  server: TestServer,
  client: SocketClient,
  path: string,
): Promise<void> {
  const expected = canonicalText((await server.get(path)).body)
  await waitFor(() => client.state === expected, { what: `${path} as it is read: ${expected}` })
}
