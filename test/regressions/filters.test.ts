/** Filters that expire entries or throw, and lists that stay right all the same. */
import { describe, expect, it } from 'vitest'
import { canonicalText } from '../core/exact-apply.ts'
import { type SocketClient, serve, type TestServer } from '../server/serve.ts'
import { waitFor } from '../support/wait.ts'

describe('a limit filter', () => {
  it('drops several expired entries in one write', async () => {
    const server = await serve()
    server.server.filters.limit('items/*', { limit: 100, maxAgeMs: 300 })
    for (let i = 0; i < 4; i++) await server.post(`/items/old${i}`, `${i}`)
    const client = await server.subscribe('/items/*')
    await listIs(server, '/items/*', 0)
    await server.post('/items/new', '1')
    await waitFor(() => client.state?.includes('items/new'), { what: 'the new entry' })
    expect(client.state?.match(/"path":"items\/\w+"/g)).toEqual(['"path":"items/new"'])
  })

  it('takes an update of an entry that has expired', async () => {
    const server = await serve()
    server.server.filters.limit('items/*', { limit: 100, maxAgeMs: 300 })
    await server.post('/items/a', '1')
    const client = await server.subscribe('/items/*')
    await listIs(server, '/items/*', 0)
    expect((await server.post('/items/a', '2')).status).toBe(200)
    await server.post('/items/b', '1')
    await waitFor(() => client.state?.includes('items/b'), { what: 'a later entry' })
    const state = (JSON.parse(client.state ?? '') as { index: string }[]).map(({ index }) => index)
    expect(state).not.toHaveLength(0)
    const { body } = await server.get('/items/*')
    const read = (JSON.parse(body) as { index: string }[]).map(({ index }) => index)
    for (const index of read) expect(state).toContain(index)
  })

  it('pushes the oldest out, for subscribers as for readers', async () => {
    const server = await serve()
    server.server.filters.limit('items/*', { limit: 3 })
    const client = await server.subscribe('/items/*')
    for (let i = 0; i < 8; i++) await server.post('/items/*', `${i}`)
    const shown = (text: string): number[] =>
      (JSON.parse(text) as { data: number }[]).map(({ data }) => data)
    await waitFor(() => shown(client.state ?? '[]')[0] === 7, { what: 'the last entry' })
    expect(shown(client.state ?? '')).toEqual([7, 6, 5])
    expect(client.state).toBe(canonicalText((await server.get('/items/*')).body))
  })
})

describe('a read filter that throws', () => {
  it('leaves the server and other subscribers alone', async () => {
    const server = await serve()
    let isBroken = false
    server.server.filters.readObject('bad', (_key, entry) => {
      if (isBroken) throw new Error('the filter is broken')
      return entry
    })
    server.server.filters.readList('bad/*', (_glob, entries) => {
      if (isBroken) throw new Error('the filter is broken')
      return entries
    })
    await server.post('/bad', '1')
    await server.subscribe('/bad')
    await server.subscribe('/bad/*')
    const sound = await server.subscribe('/sound')
    isBroken = true
    for (let i = 1; i <= 5; i++) {
      await server.post('/bad', `${i}`)
      await server.post('/bad/x', `${i}`)
      await server.post('/sound', `${i}`)
      await sound.frame(i)
    }
    expect((await server.get('/bad')).status).toBe(400)
    isBroken = false
    expect((await server.get('/bad')).status).toBe(200)
    const late: SocketClient = await server.subscribe('/bad')
    await server.post('/bad', '"well again"')
    await waitFor(() => late.state?.includes('well again'), { what: 'the filter to work again' })
  })
})

async function listIs(server: TestServer, path: string, length: number): Promise<void> {
  await waitFor(
    async () => (JSON.parse((await server.get(path)).body) as unknown[]).length === length,
    { what: `${path} to hold ${length}` },
  )
}
