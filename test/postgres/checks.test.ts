/** The check of records at the doors of named tables: the API, the SQL functions, and plain SQL. */
import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { cluster } from '../../cluster/index.ts'
import { PostgresTables, sharedTables } from '../../postgres/index.ts'
import { LATEST_STAMP } from '../../src/core/data/clock.ts'
import { standInOrigin } from '../../src/core/data/stand-in-origin.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'
import { serve, type TestServer } from '../server/serve.ts'
import { usePostgres } from '../support/services.ts'
import { waitFor } from '../support/wait.ts'
import { openTables } from './table-fixtures.ts'

const postgres = usePostgres()

async function sql(url: string, text: string, values: unknown[] = []): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(text, values)
  } finally {
    await client.end()
  }
}

const SET = 'SELECT ooo_set($1, $2, $3, $4)'
const MERGE =
  "SELECT ooo_merge('t', ARRAY['a'], ARRAY[$1::bigint], ARRAY[0::bigint], ARRAY[$1::bigint], ARRAY[$2], ARRAY['1'])"

describe('the table API and its SQL functions', () => {
  it.each(['my.app', 'a b', 'a\nb', 'a\n', '', 'o'.repeat(65)])(
    'refuse the origin %j',
    async (origin) => {
      const url = await postgres().createDatabase()
      expect(() => new PostgresTables({ url, origin })).toThrow(/origin .* is not 1 to 64/)
      const tables = await openTables(url)
      await tables.createTable('t')
      await expect(sql(url, SET, ['t', ['a'], ['1'], origin])).rejects.toThrow(/ooo_t_t_org/)
      await expect(sql(url, MERGE, [5, origin])).rejects.toThrow(/ooo_t_t_org/)
      await tables.set('t', 'a', '1')
      await expect(sql(url, "SELECT ooo_delete('t', 'a', $1)", [origin])).rejects.toThrow(/_org/)
      expect(await tables.keys('t')).toEqual(['a'])
    },
  )

  it('take stamps to the year 2200, as nodes do', async () => {
    const url = await postgres().createDatabase()
    const tables = await openTables(url)
    await tables.createTable('t')
    await expect(sql(url, MERGE, [String(LATEST_STAMP + 1n), 'peer'])).rejects.toThrow(/_stm/)
    await expect(sql(url, MERGE, ['-1', 'peer'])).rejects.toThrow(/_stm/)
    await sql(url, MERGE, [String(LATEST_STAMP), 'peer'])
    const record = { kind: 'entry', key: 'b', updated: 0n, origin: 'peer', data: '1' } as const
    const late = { ...record, created: LATEST_STAMP + 1n }
    await expect(tables.merge('t', [late])).rejects.toMatchObject({ code: 'invalid_option' })
    expect(await tables.merge('t', [{ ...record, created: LATEST_STAMP }])).toBe(1)
  })

  it('take keys of 1,024 bytes and 32 segments, and no more', async () => {
    const url = await postgres().createDatabase()
    const tables = await openTables(url)
    await tables.createTable('t')
    const longest = `d/${'k'.repeat(1022)}`
    const deepest = Array(32).fill('s').join('/')
    for (const key of [longest, deepest]) await sql(url, SET, ['t', [key], ['1'], 'sql'])
    expect((await tables.keys('t')).sort()).toEqual([longest, deepest].sort())
    for (const key of [`${longest}k`, `${deepest}/s`]) {
      await expect(sql(url, SET, ['t', [key], ['1'], 'sql'])).rejects.toThrow(/_key/)
      await expect(tables.set('t', key, '1')).rejects.toMatchObject({ code: 'invalid_key' })
    }
  })

  it('take values up to the limit of the table, which a program may raise', async () => {
    const url = await postgres().createDatabase()
    const tables = await openTables(url)
    await tables.createTable('t')
    const great = JSON.stringify('x'.repeat(10 * 1024 * 1024))
    await expect(sql(url, SET, ['t', ['a'], [great], 'sql'])).rejects.toThrow(/_val/)
    await expect(tables.set('t', 'a', great)).rejects.toMatchObject({ code: 'too_large' })
    const deep = '['.repeat(513) + ']'.repeat(513)
    await expect(tables.set('t', 'a', deep)).rejects.toMatchObject({ code: 'invalid_json' })
    const wider = await openTables(url, { maxValueBytes: 11 * 1024 * 1024 })
    await wider.createTable('t')
    await wider.set('t', 'a', great)
    expect((await tables.get('t', 'a'))[0]?.value.length).toBe(great.length)
  })
})

/** A table as the release before left it, with a row that it took. */
async function tableOfBefore(url: string): Promise<void> {
  const tables = await openTables(url)
  await tables.createTable('orders')
  for (const name of ['org', 'stm', 'val']) {
    await sql(url, `ALTER TABLE ooo_t_orders DROP CONSTRAINT ooo_t_orders_${name}`)
  }
  await sql(url, SET, ['orders', ['orders/dot'], ['{"by":"dot"}'], 'my.app'])
  await sql(url, SET, ['orders', ['orders/line'], ['{"by":"line"}'], 'a\nb'])
  await sql(
    url,
    `INSERT INTO ooo_t_orders (key, created, updated, version, origin, seq, value)
      VALUES ('orders/late', $1, 0, $1, 'peer', 1000, '1')`,
    [String(LATEST_STAMP + 5n)],
  )
  await sql(url, "UPDATE ooo_tables SET seq = 1000 WHERE name = 'orders'")
}

describe('nodes that share a table with wrong rows of before', () => {
  it('go on in both directions: the rows come under a stand-in, or are named and left out', async () => {
    const url = await postgres().createDatabase()
    await tableOfBefore(url)
    const plugin = sharedTables({
      ...{ url, scopes: { 'orders/*': 'orders' } },
      retry: { initialMs: 10, maxMs: 100 },
    })
    const keys = [{ path: 'orders/*' }]
    const leader = await serve({
      storage: new MemoryStorage(),
      plugins: [cluster({ keys }), plugin],
    })
    const clusterUrl = leader.url.replace('http://', '')
    const follower = await serve({
      storage: new MemoryStorage(),
      plugins: [cluster({ keys, clusterUrl })],
    })
    const holds = (node: TestServer, text: string): Promise<unknown> =>
      waitFor(async () => (await node.get('/orders/*')).body.includes(text), {
        what: `${text} at ${node.url}`,
        deadlineMs: 20_000,
      })
    for (const node of [leader, follower]) {
      await holds(node, '{"by":"dot"}')
      await holds(node, '{"by":"line"}')
      expect(JSON.parse((await node.get('/orders/*')).body)).toHaveLength(2)
      expect((await node.server.store.keyState('orders/dot'))?.record.origin).toBe(
        standInOrigin('my.app'),
      )
    }
    await follower.post('/orders/new', '"from the follower"')
    const tables = await openTables(url)
    await waitFor(async () => (await tables.get('orders', 'orders/new')).length === 1)
    await tables.set('orders', 'orders/sql', '"from the table"')
    await holds(follower, 'from the table')
    expect(plugin.status()[0]).toMatchObject({
      state: 'live',
      malformed: 1,
      lastError: expect.stringMatching(/orders\/late.*2200|orders\/late.*stamp/),
    })
  })

  it('leave out a value that SQL wrote and that is nested deeper than they take, and name it', async () => {
    const url = await postgres().createDatabase()
    const tables = await openTables(url)
    await tables.createTable('orders')
    const plugin = sharedTables({ url, scopes: { 'orders/*': 'orders' } })
    const node = await serve({ storage: new MemoryStorage(), plugins: [plugin], maxJsonDepth: 3 })
    await sql(url, SET, ['orders', ['orders/deep'], ['[[[[]]]]'], 'sql'])
    await sql(url, SET, ['orders', ['orders/flat'], ['[]'], 'sql'])
    await waitFor(async () => (await node.get('/orders/flat')).status === 200)
    expect((await node.get('/orders/deep')).status).toBe(404)
    expect(plugin.status()[0]).toMatchObject({
      malformed: 1,
      lastError: expect.stringMatching(/orders\/deep.*deeper than 3/),
    })
  })
})
