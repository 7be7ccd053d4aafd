import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { cluster } from '../../cluster/index.ts'
import { PostgresPool, type SharedTablesPlugin, sharedTables } from '../../postgres/index.ts'
import type { StorageAdapter } from '../../src/core/ports/storage-adapter.ts'
import type { ServerPlugin } from '../../src/server/contract/plugin.ts'
import { createSystemTime } from '../../src/server/process/system-time.ts'
import { LevelStorage } from '../../storage-adapters/leveldb/leveldb.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'
import { afterTest, serve, type TestServer } from '../server/serve.ts'
import { usePostgres } from '../support/services.ts'
import { waitFor } from '../support/wait.ts'
import { openTables } from './table-fixtures.ts'

const postgres = usePostgres({ control: true })

interface SharedNode {
  readonly node: TestServer
  readonly plugin: SharedTablesPlugin
}

interface NodeOptions {
  readonly storage?: StorageAdapter
  readonly plugins?: readonly ServerPlugin[]
  readonly scopes?: Readonly<Record<string, string>>
  readonly aheadMs?: number
}

async function startNode(url: string, options: NodeOptions = {}): Promise<SharedNode> {
  const { storage = new MemoryStorage(), plugins = [], aheadMs = 0 } = options
  const scopes = options.scopes ?? { 'orders/*': 'orders' }
  const plugin = sharedTables({ url, scopes, retry: { initialMs: 10, maxMs: 100 } })
  const system = createSystemTime()
  const time = {
    wallNs: () => system.wallNs() + BigInt(aheadMs) * 1_000_000n,
    monotonicNs: () => system.monotonicNs(),
    after: (delayMs: number, callback: () => void) => system.after(delayMs, callback),
  }
  const node = await serve({ storage, time, plugins: [...plugins, plugin] })
  return { node, plugin }
}

const live = ({ plugin }: SharedNode): Promise<unknown> =>
  waitFor(() => plugin.status().every(({ state, outbox }) => state === 'live' && outbox === 0), {
    what: 'the shared tables to be live with nothing owed',
    deadlineMs: 60_000,
  })

/** The body of a list without the nodes' own view of stamps in it. */
const list = async ({ node }: SharedNode, path = 'orders/*'): Promise<string> =>
  (await node.get(`/${path}`)).body

async function converged(nodes: readonly SharedNode[], path = 'orders/*'): Promise<string> {
  for (const node of nodes) await live(node)
  return waitFor(
    async () => {
      const bodies = new Set(await Promise.all(nodes.map((node) => list(node, path))))
      return bodies.size === 1 ? [...bodies][0] : undefined
    },
    { what: 'all nodes to hold the same', deadlineMs: 60_000 },
  )
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'ooo-shared-'))
  afterTest(() => rmSync(path, { recursive: true, force: true }))
  return path
}

describe('nodes that share a table', () => {
  it('see each other’s writes and deletes live, and those made by the table API', async () => {
    const url = await postgres().createDatabase()
    const a = await startNode(url)
    const b = await startNode(url)
    const subscriber = await b.node.subscribe('/orders/*')
    await live(b)

    await a.node.post('/orders/1', '{"total":12345678901234567890.10,"text":"\\u0000é😀"}')
    await waitFor(() => subscriber.state?.includes('12345678901234567890.10'))
    expect(await list(b)).toBe(await list(a))

    await b.node.post('/orders/1', '{"total":6}')
    await waitFor(async () => (await list(a)).includes('"total":6'))
    const tables = await openTables(url)
    await tables.set('orders', 'orders/2', '{ "by" : "sql" }')
    await waitFor(() => subscriber.state?.includes('sql'))
    await waitFor(async () => (await list(a)).includes('{"by":"sql"}'))
    await a.node.request('DELETE', '/orders/1')
    await waitFor(
      async () => (await list(b)) === (await list(a)) && !subscriber.state?.includes('orders/1'),
    )
    await tables.delete('orders', 'orders/*')
    await waitFor(() => subscriber.state === '[]')
    expect(await converged([a, b])).toBe('[]')
  })

  it('keep to their scopes and tell how they stand', async () => {
    const url = await postgres().createDatabase()
    const a = await startNode(url, { scopes: { 'orders/*': 'orders', 'stock/*/*': 'stock' } })
    const b = await startNode(url, { scopes: { 'stock/*/*': 'stock' } })
    // What is written before a table is read for the first time may be sent twice.
    for (const node of [a, b]) await live(node)
    await a.node.post('/orders/1', '1')
    await a.node.post('/stock/x/1', '2')
    await a.node.post('/other', '3')
    await converged([a, b], 'stock/*/*')
    await live(a)
    const tables = await openTables(url)
    expect(await tables.keys('orders')).toEqual(['orders/1'])
    expect(await tables.keys('stock')).toEqual(['stock/x/1'])
    expect(await list(b)).toBe('[]')
    // What it has sent itself it reads back when the table's bell rings.
    await waitFor(() => a.plugin.status().every(({ head, cursor }) => head === 1 && cursor === 1))
    const answers = await Promise.all([a.node.get('/-/tables'), a.node.get('/?api=tables')])
    for (const answer of answers) {
      expect(JSON.parse(answer.body)).toMatchObject([
        { table: 'orders', scopes: ['orders/*'], state: 'live', head: 1, outbox: 0, pushed: 1 },
        { table: 'stock', state: 'live', cursor: 1 },
      ])
    }
    expect(
      (await a.node.request('POST', '/orders/1', '2', { headers: { 'if-none-match': '*' } }))
        .status,
    ).toBe(421)
  })

  it('agree on one winner when both write the same keys at the same time', async () => {
    const url = await postgres().createDatabase()
    const nodes = await Promise.all([startNode(url), startNode(url), startNode(url)])
    await Promise.all(
      nodes.flatMap((shared, n) =>
        Array.from({ length: 60 }, async (_, i) => {
          await shared.node.post(`/orders/${i % 10}`, `"${n} ${i}"`)
          if (i % 7 === n) await shared.node.request('DELETE', `/orders/${i % 10}`)
        }),
      ),
    )
    const body = await converged(nodes)
    const tables = await openTables(url)
    const held = await tables.get('orders', 'orders/*')
    expect(JSON.parse(body)).toHaveLength(held.length)
    for (const { key, value } of held) expect(body).toContain(`"path":"${key}","data":${value}`)
  })

  it('do without the database, over restarts of their own, and lose nothing', async () => {
    const url = await postgres().createDatabase()
    const directory = folder()
    const a = await startNode(url, { storage: new LevelStorage({ directory }) })
    const b = await startNode(url)
    await a.node.post('/orders/before', '1')
    await converged([a, b])
    await postgres().control.stop()
    expect((await a.node.post('/orders/a', '"offline"')).status).toBe(200)
    expect((await b.node.post('/orders/b', '"offline"')).status).toBe(200)
    await a.node.request('DELETE', '/orders/before')
    await waitFor(() => a.plugin.status()[0]?.state === 'offline')
    expect(a.plugin.status()[0]).toMatchObject({ outbox: 2, lastError: expect.any(String) })
    await a.node.server.close()
    await a.node.server.open()
    await postgres().control.start()
    const body = await converged([a, b])
    expect(
      JSON.parse(body)
        .map(({ index }: { index: string }) => index)
        .sort(),
    ).toEqual(['a', 'b'])
  })

  it('lose nothing while the database is killed again and again under load', async () => {
    const url = await postgres().createDatabase()
    const nodes = await Promise.all([startNode(url), startNode(url)])
    const written = new Set<string>()
    let writing = true
    const writers = nodes.map(async ({ node }, n) => {
      for (let i = 0; writing; i++) {
        const key = `orders/${n}-${i}`
        expect((await node.post(`/${key}`, `${i}`)).status).toBe(200)
        written.add(key)
      }
    })
    for (let round = 0; round < 4; round++) {
      const before = written.size
      await waitFor(() => written.size > before + 40)
      await postgres().control.kill()
      const during = written.size
      await waitFor(() => written.size > during + 40)
      await postgres().control.start()
    }
    writing = false
    await Promise.all(writers)
    await converged(nodes)
    const tables = await openTables(url)
    expect(new Set(await tables.keys('orders'))).toEqual(written)
    for (const node of nodes) expect(JSON.parse(await list(node))).toHaveLength(written.size)
  }, 300_000)

  it('give a table that was lost its entries back, and its deletes', async () => {
    const url = await postgres().createDatabase()
    const [a, b] = [await startNode(url), await startNode(url)]
    for (let i = 0; i < 30; i++) await a.node.post(`/orders/${i}`, `${i}`)
    await a.node.request('DELETE', '/orders/7')
    const body = await converged([a, b])
    const tables = await openTables(url)
    await tables.dropTable('orders')
    await waitFor(async () => (await tables.keys('orders')).length === 29, { deadlineMs: 60_000 })
    await waitFor(() => a.plugin.status()[0]?.state === 'live')
    await b.node.post('/orders/new', '1')
    expect(await converged([a, b])).not.toBe(body)
    expect(await tables.keys('orders')).toHaveLength(30)
  })

  it('drop what was deleted and forgotten while they were away, but not what they wrote', async () => {
    const url = await postgres().createDatabase()
    const directory = folder()
    const away = await startNode(url, { storage: new LevelStorage({ directory }) })
    const there = await startNode(url)
    for (const key of ['keep', 'gone', 'mine']) await there.node.post(`/orders/${key}`, '1')
    await converged([away, there])
    await postgres().control.stop()
    await away.node.post('/orders/mine', '"written offline"')
    await away.node.post('/orders/added', '2')
    await away.node.server.close()
    await postgres().control.start()
    await live(there)
    for (const key of ['gone', 'mine']) await there.node.request('DELETE', `/orders/${key}`)
    await live(there)
    const tables = await openTables(url)
    expect(await tables.compact('orders', 0)).toBe(2)
    await away.node.server.open()
    await waitFor(() => away.plugin.status()[0]?.dropped === 1, { deadlineMs: 60_000 })
    const body = JSON.parse(await converged([away, there])) as { index: string }[]
    // The table forgot the newer delete of `mine`, but the other node did not.
    expect(body.map(({ index }) => index).sort()).toEqual(['added', 'keep'])
  })

  it('keep a change the table can not take, tell of it, and send the others', async () => {
    const url = await postgres().createDatabase()
    const a = await startNode(url, { aheadMs: 3_600_000 })
    const b = await startNode(url)
    const owner = new PostgresPool({ url })
    afterTest(() => owner.close())
    await owner.open()
    await live(b)
    await owner.query("SELECT ooo_limit_values('orders', 20)")
    await b.node.post('/orders/great', JSON.stringify('x'.repeat(30)))
    await b.node.post('/orders/short', '1')
    await a.node.post('/orders/early', '1')
    await waitFor(() => b.plugin.status()[0]?.refused === 1)
    await waitFor(() => a.plugin.status()[0]?.refused === 1)
    const tables = await openTables(url)
    await waitFor(async () => (await tables.keys('orders')).length === 1)
    expect(a.plugin.status()[0]).toMatchObject({
      outbox: 1,
      lastError: expect.stringContaining('ahead'),
    })
    await waitFor(() => b.plugin.status()[0]?.outbox === 1)
    expect(JSON.parse(await list(b))).toHaveLength(2)
  })

  it('write on after a stamp far ahead of all clocks', async () => {
    const url = await postgres().createDatabase()
    const [a, b] = [await startNode(url), await startNode(url)]
    await live(a)
    const tables = await openTables(url)
    for (const ms of [50_000, 100_000, 150_000]) {
      const ahead = BigInt(Date.now() + ms) * 1_000_000n
      await tables.setWithMeta('orders', 'orders/ahead', '1', ahead, 0n)
    }
    await waitFor(async () => (await list(a)).includes('ahead'))
    await a.node.post('/orders/next', '2')
    await waitFor(async () => (await list(b)).includes('next'))
    expect(JSON.parse(await converged([a, b]))).toHaveLength(2)
  })

  it('start and close without ever reaching the database', async () => {
    const url = await postgres().createDatabase()
    await postgres().control.stop()
    const pool = new PostgresPool({ url })
    const scopes = { 'orders/*': 'orders' }
    const node = await serve({
      storage: new MemoryStorage(),
      plugins: [sharedTables({ pool, scopes })],
    })
    const { node: other, plugin } = await startNode(url)
    for (const { port } of [node, other]) expect(port).toBeGreaterThan(0)
    expect((await node.post('/orders/1', '1')).status).toBe(200)
    await waitFor(() => plugin.status()[0]?.lastError !== undefined)
    await Promise.all([node.server.close(), other.server.close()])
    await pool.close()
    await postgres().control.start()
  })

  it('may be the leader of a cluster whose followers know nothing of the database', async () => {
    const url = await postgres().createDatabase()
    const replication = cluster({ keys: [{ path: 'orders/*' }] })
    const leader = await startNode(url, { plugins: [replication] })
    const follower = await serve({
      plugins: [cluster({ keys: [{ path: 'orders/*' }], clusterUrl: leader.node.url })],
    })
    const other = await startNode(url)
    await follower.post('/orders/1', '"from the follower"')
    await waitFor(async () => (await list(other)).includes('from the follower'))
    await other.node.post('/orders/2', '"from the other"')
    await waitFor(async () => (await follower.get('/orders/*')).body.includes('from the other'))
    expect((await follower.get('/orders/*')).body).toBe(await converged([leader, other]))
  })
})
