import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import {
  type Client,
  type ClientEntry,
  createClient,
  encodeJson,
  type SubscriptionState,
} from '../../src/client/index.ts'
import { createServer, type Server } from '../../src/server/server.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'
import { freePort } from '../support/free-port.ts'
import { waitFor } from '../support/wait.ts'

let server: Server
let client: Client
let port: number
let storage: MemoryStorage

beforeEach(async () => {
  port = await freePort()
  storage = new MemoryStorage()
  server = createServer({ storage, port, tickMs: 20 })
  await server.open()
  client = createClient({
    url: `http://127.0.0.1:${port}`,
    WebSocket,
    reconnectBackoff: { initialMs: 20, maxMs: 100 },
  })
})

afterEach(async () => {
  client.close()
  await server.close()
})

describe('the client on a real server', () => {
  it('writes, reads, merges and deletes', async () => {
    expect(await client.get('settings')).toBeUndefined()
    expect(await client.set('settings', { a: 1, big: 9007199254740993n })).toMatchObject({
      index: 'settings',
      path: 'settings',
    })
    await client.patch('settings', { b: { c: true } })
    const entry = await client.get<Record<string, unknown>>('settings')
    expect(entry?.data).toEqual({ a: 1, b: { c: true }, big: 9007199254740993n })
    expect(entry?.created).toBeGreaterThan(1_700_000_000_000_000_000n)
    expect(entry?.updated).toBeGreaterThan(entry?.created ?? 0n)
    await client.delete('settings')
    expect(await client.get('settings')).toBeUndefined()
    await expect(client.delete('settings')).rejects.toMatchObject({ code: 'not_found' })
    await expect(client.patch('settings', {})).rejects.toMatchObject({ code: 'not_found' })
  })

  it('writes under a condition on the version, and tells when it does not hold', async () => {
    await client.set('counter', 1, { ifAbsent: true })
    const failed = { code: 'precondition_failed' }
    await expect(client.set('counter', 2, { ifAbsent: true })).rejects.toMatchObject(failed)
    const entry = await client.get('counter')
    const ifVersion = entry?.updated || entry?.created
    await client.set('counter', 2, { ifVersion })
    await expect(client.set('counter', 3, { ifVersion })).rejects.toMatchObject(failed)
    await expect(client.patch('counter', 3, { ifVersion })).rejects.toMatchObject(failed)
    await expect(client.delete('counter', { ifVersion })).rejects.toMatchObject(failed)
    expect((await client.get('counter'))?.data).toBe(2)
  })

  it('pushes and lists newest first', async () => {
    const first = await client.push('items/*', 'one')
    const second = await client.push('items/*', 'two')
    const list = await client.getList<string>('items/*')
    expect(list.map(({ path, data }) => [path, data])).toEqual([
      [second.path, 'two'],
      [first.path, 'one'],
    ])
  })

  it('keeps every digit through a write and a read with exact numbers', async () => {
    const exact = createClient({ url: `http://127.0.0.1:${port}`, exactNumbers: true })
    const text = '{"list":[1.10,1e23,-0,123456789012345678901234567890],"n":0.30000000000000004}'
    await fetch(`http://127.0.0.1:${port}/a`, { method: 'POST', body: text })
    const entry = await exact.get('a')
    await exact.set('b', entry?.data)
    const body = await (await fetch(`http://127.0.0.1:${port}/b`)).text()
    expect(body).toContain(`"data":${text}}`)
    expect(encodeJson(entry?.data)).toBe(text)
  })

  it('reaches a key with dot segments, by REST and by subscription', async () => {
    await client.set('a/../b', 1)
    expect((await client.get('a/../b'))?.path).toBe('a/../b')
    expect(await client.get('b')).toBeUndefined()
    const subscription = client.subscribe('a/../b', { onState: () => undefined })
    await waitFor(() => subscription.state?.path === 'a/../b', { what: 'the entry' })
  })

  it('refuses with the text of the server', async () => {
    await client.set('a', { b: { c: 1 } })
    await expect(client.patch('a', { b: 1 })).rejects.toMatchObject({
      code: 'merge_conflict',
      message: 'merge: patch value must be object for key "b"',
    })
  })

  it('hears the clock of the server', async () => {
    const times: bigint[] = []
    client.clock((now) => times.push(now))
    await waitFor(() => times.length >= 3, { what: 'three ticks' })
    expect([...times].sort()).toEqual(times)
    expect(times[0]).toBeGreaterThan(1_700_000_000_000_000_000n)
  })
})

describe('a live list on a real server', () => {
  it('equals a fresh read after every kind of change', async () => {
    const states: (readonly ClientEntry[])[] = []
    const subscription = client.subscribe('items/*', { onState: (state) => states.push(state) })
    await waitFor(() => subscription.isLoaded, { what: 'the first state' })
    await client.set('items/a', { v: 1 })
    await client.push('items/*', 2n ** 60n)
    await client.set('items/a', { v: [1, 2, 3] })
    await client.patch('items/a', { w: null })
    await client.set('items/b', 'gone soon')
    await client.delete('items/b')
    await client.set('elsewhere/a', 1)
    await expectFresh(subscription)
    await client.delete('items/*')
    await waitFor(() => subscription.state?.length === 0, { what: 'the empty list' })
    expect(states[0]).toEqual([])
  })

  it('stays the same through a restart of the server and goes on afterwards', async () => {
    const kinds: string[] = []
    const subscription = client.subscribe('items/*', {
      onState: () => undefined,
      onStatus: ({ kind }) => kinds.push(kind),
    })
    await client.set('items/a', 1)
    await waitFor(() => subscription.state?.length === 1, { what: 'the entry' })
    await server.close()
    await waitFor(() => subscription.status.kind === 'offline', { what: 'the loss' })
    expect(subscription.state?.[0]?.data).toBe(1)
    server = createServer({ storage, port })
    await server.open()
    await client.set('items/b', 2)
    await waitFor(() => subscription.state?.length === 2, { what: 'the second entry' })
    await expectFresh(subscription)
    expect(kinds.slice(0, 2)).toEqual(['live', 'offline'])
    expect(subscription.status.kind).toBe('live')
  })

  async function expectFresh(subscription: { readonly state: SubscriptionState }): Promise<void> {
    await waitFor(
      async () => {
        const fresh = await client.getList('items/*')
        return encodeJson(fresh) === encodeJson(subscription.state)
      },
      { what: 'the live list to equal a fresh read' },
    )
  }
})

describe('a live entry on a real server', () => {
  it('follows writes, merges, a delete and a new life', async () => {
    const seen: unknown[] = []
    const subscription = client.subscribe('settings', {
      onState: (state) => seen.push(state?.data),
    })
    await waitFor(() => seen.length === 1, { what: 'the first state' })
    await client.set('settings', { n: 1 })
    await client.patch('settings', { m: 9007199254740993n })
    await client.delete('settings')
    await client.set('settings', [])
    await waitFor(() => seen.length === 5, { what: 'all states' })
    expect(seen).toEqual([undefined, { n: 1 }, { m: 9007199254740993n, n: 1 }, undefined, []])
    expect(subscription.state?.updated).toBe(0n)
  })
})
