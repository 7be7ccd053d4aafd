/** Filters that expire entries or throw, and lists that stay right all the same. */
import { describe, expect, it } from 'vitest'
import { canonicalText } from '../quick/core/exact-apply.ts'
import { type SocketClient, serve, type TestServer } from '../server/serve.ts'
import { waitFor } from '../support/wait.ts'

describe('a limit filter', () => {
  it('drops several expired entries in one write', async () => {
    const server = await serve()
    const expire = limitByAge(server, 'items/*')
    for (let i = 0; i < 4; i++) await server.post(`/items/old${i}`, `${i}`)
    const client = await server.subscribe('/items/*')
    await expire()
    expect((await server.get('/items/*')).body).toBe('[]')
    await server.post('/items/new', '1')
    await client.frame(1)
    expect(pathsOf(client.state)).toEqual(['items/new'])
    await showsWhatIsRead(server, client, '/items/*')
    expect(client.texts).toHaveLength(2)
  })

  it('takes an update of an entry that has expired', async () => {
    const server = await serve()
    const expire = limitByAge(server, 'items/*')
    await server.post('/items/a', '1')
    const client = await server.subscribe('/items/*')
    await expire()
    expect((await server.post('/items/a', '2')).status).toBe(200)
    await showsWhatIsRead(server, client, '/items/*')
    expect(client.state).toBe('[]')
    await server.post('/items/b', '1')
    await showsWhatIsRead(server, client, '/items/*')
    expect(pathsOf(client.state)).toEqual(['items/b'])
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
    const early = await server.subscribe('/bad')
    const list = await server.subscribe('/bad/*')
    // Hears of the same writes as the broken list, and has no filter of its own.
    const wide = await server.subscribe('/*/*')
    const sound = await server.subscribe('/sound')
    isBroken = true
    for (let i = 1; i <= 5; i++) {
      expect((await server.post('/bad', `${i}`)).status).toBe(200)
      expect((await server.post('/bad/x', `${i}`)).status).toBe(200)
      await server.post('/sound', `${i}`)
      await sound.frame(i)
      await wide.frame(i)
    }
    for (const path of ['/bad', '/bad/*']) expect((await server.get(path)).status).toBe(400)
    for (const { texts } of [early, list]) expect(texts).toHaveLength(1)
    isBroken = false
    for (const path of ['/bad', '/bad/*']) expect((await server.get(path)).status).toBe(200)
    const late = await server.subscribe('/bad')
    await server.post('/bad', '"well again"')
    await server.post('/bad/x', '"well again"')
    for (const client of [early, late]) await showsWhatIsRead(server, client, '/bad')
    await showsWhatIsRead(server, list, '/bad/*')
    await showsWhatIsRead(server, wide, '/*/*')
    expect(early.state).toContain('well again')
  })
})

/**
 * A limit by age that time alone does not reach: what is there when the answer is called expires, what
 * comes later does not.
 */
function limitByAge(server: TestServer, path: string): () => Promise<void> {
  let oldestMs = 0
  server.server.filters.limit(path, { limit: 100, maxAgeFunc: () => Date.now() - oldestMs })
  return async () => {
    // The clock of stamps is up to 2 ms off this one.
    const nowMs = Date.now()
    await waitFor(() => Date.now() > nowMs + 10, { what: 'the clock to move on', intervalMs: 2 })
    oldestMs = nowMs + 5
  }
}

function pathsOf(state: string | undefined): string[] {
  return (JSON.parse(state ?? '') as { path: string }[]).map(({ path }) => path)
}

/** The subscriber's state is, or becomes, exactly what a fresh read gives. */
async function showsWhatIsRead(
  server: TestServer,
  client: SocketClient,
  path: string,
): Promise<void> {
  const expected = canonicalText((await server.get(path)).body)
  await waitFor(() => client.state === expected, { what: `${path} as it is read: ${expected}` })
}
