/** What `PostgresStorage` does beyond the storage suite. */
import { afterEach, describe, expect, it } from 'vitest'
import { isStateError } from '../../src/core/errors.ts'
import type { Row } from '../../src/core/ports/storage-adapter.ts'
import {
  PostgresStorage,
  type PostgresStorageOptions,
} from '../../storage-adapters/postgres/postgres.ts'
import { del, put, rowsOf } from '../conformance/storage-case.ts'
import { usePostgres } from '../support/services.ts'
import { waitFor, waitForValue } from '../support/wait.ts'
import { ask } from './postgres-database.ts'

const postgres = usePostgres()
const opened: PostgresStorage[] = []

afterEach(async () => {
  for (const storage of opened.splice(0)) await storage.close()
})

async function open(
  options: Partial<PostgresStorageOptions> = {},
): Promise<{ storage: PostgresStorage; url: string }> {
  const url = options.url ?? (await postgres().createDatabase())
  const storage = new PostgresStorage({ ...options, url })
  opened.push(storage)
  await storage.open()
  return { storage, url }
}

/** Connections of the storage to its database, by what they do. */
async function connections(url: string): Promise<string[]> {
  const rows = await ask<{ state: string }>(
    url,
    "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'ooo-cluster' ORDER BY 1",
  )
  return rows.map(({ state }) => state)
}

const many = (count: number, value: string) =>
  Array.from({ length: count }, (_, i) => put(`k${String(i).padStart(6, '0')}`, value))

describe('options', () => {
  it.each([
    [{ namespace: '' }, 'namespace has 0 characters'],
    [{ namespace: 'x'.repeat(201) }, 'namespace has 201 characters'],
    [{ maxScans: 20 }, 'maxScans is 20; it must be a whole number from 1 to 19'],
    [{ maxQueuedBatches: -1 }, 'maxQueuedBatches is -1'],
    [{ url: 'http://a' }, 'url is not of the form'],
  ])('refuses %j', (options, text) => {
    expect(() => new PostgresStorage({ url: 'postgres://a/b', ...options })).toThrow(text)
  })
})

describe('batches', () => {
  it('that wait go together, and one that the server refuses takes no other with it', async () => {
    const { storage, url } = await open()
    const results = await Promise.allSettled([
      storage.batch([put('a', '1')]),
      storage.batch([put('b', 'no\u0000text')]),
      storage.batch([del('a'), put('c', '1')]),
    ])
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(await rowsOf(storage)).toEqual([['c', '1']])
    const before = await ask<{ batch: string }>(url, 'SELECT batch FROM ooo_namespaces')
    await Promise.all(Array.from({ length: 500 }, (_, i) => storage.batch([put(`g${i}`, 'x')])))
    const after = await ask<{ batch: string }>(url, 'SELECT batch FROM ooo_namespaces')
    expect(Number(after[0]?.batch) - Number(before[0]?.batch)).toBeLessThan(20)
  })

  it('are refused with overloaded when too many or too great ones wait', async () => {
    const { storage } = await open({ maxQueuedBatches: 2, maxQueuedBytes: 100 })
    const outcomes = async (values: readonly string[]): Promise<string[]> => {
      const batches = values.map((value) => storage.batch([put('k', value)]))
      const settled = await Promise.allSettled(batches)
      return settled.map((result) =>
        result.status === 'fulfilled'
          ? 'ok'
          : isStateError(result.reason)
            ? result.reason.code
            : '?',
      )
    }
    expect(await outcomes(['1', '2', '3', '4'])).toEqual(['ok', 'ok', 'ok', 'overloaded'])
    expect(await outcomes(['x'.repeat(200), '1'])).toEqual(['ok', 'overloaded'])
    expect(await outcomes(['x'.repeat(60), 'x'.repeat(60)])).toEqual(['ok', 'overloaded'])
    expect(await storage.get('k')).toBe('x'.repeat(60))
  })

  it('of many megabytes are stored whole, or not at all', async () => {
    const { storage, url } = await open()
    const value = 'x'.repeat(1_000_000)
    await storage.batch(many(40, value))
    await ask(url, "ALTER TABLE ooo_rows ADD CHECK (key <> 'k000039' OR value NOT LIKE 'y%')")
    await expect(storage.batch(many(40, `y${value}`))).rejects.toThrow('violates check constraint')
    expect((await rowsOf(storage)).every(([, kept]) => kept === value)).toBe(true)
    await storage.batch([del('k000039'), put('k000000', 'small')])
    expect(await storage.getMany(['k000039', 'k000000'])).toEqual([undefined, 'small'])
  })
})

describe('scans', () => {
  it('order bytewise in a database whose own order is another', async (context) => {
    const url = await postgres().createDatabase()
    const name = `${new URL(url).pathname.slice(1)}_icu`
    const [server] = await ask<{ version: number }>(
      url,
      "SELECT current_setting('server_version_num')::int AS version",
    )
    context.skip((server?.version ?? 0) < 150_000, 'needs the ICU orders of PostgreSQL 15')
    await ask(
      url,
      `CREATE DATABASE ${name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'`,
    )
    const other = new URL(url)
    other.pathname = `/${name}`
    const { storage } = await open({ url: other.href })
    await storage.batch(
      ['a', 'B', 'b', 'A', '~', '/', 'a/b', 'a b', 'aB'].map((key) => put(key, '')),
    )
    const keys = (await rowsOf(storage)).map(([key]) => key)
    expect(keys).toEqual([...keys].sort())
    expect(keys).toHaveLength(9)
    const above = (await rowsOf(storage, { gt: 'B', lte: 'a' })).map(([key]) => key)
    expect(above).toEqual(['a'])
    await storage.close()
    await ask(url, `DROP DATABASE ${name}`)
  })

  it('hold a connection only while they have more than a page, and free it when left', async () => {
    const { storage, url } = await open({ maxScans: 2 })
    await storage.batch(many(3_000, 'x'))
    const inTransaction = async (): Promise<number> =>
      (await connections(url)).filter((state) => state.startsWith('idle in')).length
    const scans = [1, 2].map(() => storage.iterate()[Symbol.asyncIterator]())
    for (const scan of scans) await scan.next()
    await waitForValue(inTransaction, 2)
    await expect(rowsOf(storage)).rejects.toSatisfy((error) => isStateError(error, 'overloaded'))
    expect(storage.stats).toMatchObject({ scans: 2, refusedScans: 1 })
    for (const scan of scans) await scan.return?.()
    await waitForValue(inTransaction, 0)
    expect(storage.stats).toMatchObject({ scans: 0, recoveries: 0, batches: 0 })
    const unread = storage.iterate()[Symbol.asyncIterator]()
    await unread.return?.()
    await waitForValue(inTransaction, 0)
    expect(await rowsOf(storage)).toHaveLength(3_000)
    expect(await rowsOf(storage, { limit: 5 })).toHaveLength(5)
  })

  it('are ended when nobody reads on', async () => {
    const { storage, url } = await open({ scanIdleMs: 50 })
    await storage.batch(many(3_000, 'x'))
    const scan = storage.iterate()[Symbol.asyncIterator]()
    await scan.next()
    const free = async (): Promise<boolean> =>
      (await connections(url)).every((state) => state === 'idle')
    await waitFor(free)
    const drain = async (): Promise<void> => {
      while (!(await scan.next()).done);
    }
    await expect(drain()).rejects.toThrow('a scan was ended, not read on for 50 ms')
  })

  it('read great values a few at a time', async () => {
    const { storage } = await open()
    const value = 'v'.repeat(3_000_000)
    for (let i = 0; i < 30; i += 1) await storage.batch([put(`b${10 + i}`, value)])
    await storage.batch(many(2_000, 'small'))
    const seen: Row[] = []
    for await (const [key, text] of storage.iterate({ reverse: true }))
      seen.push([key, `${text.length}`])
    expect(seen).toHaveLength(2_030)
    expect(seen.at(-1)).toEqual(['b10', '3000000'])
  })
})

it('leaves no connection behind when it is closed', async () => {
  const { storage, url } = await open()
  await storage.batch(many(3_000, 'x'))
  await storage.iterate()[Symbol.asyncIterator]().next()
  await storage.close()
  await waitFor(async () => (await connections(url)).length === 0)
})
