/** The connection under everything that uses PostgreSQL: pool, listener, migrations. */
import { afterEach, describe, expect, it } from 'vitest'
import { PostgresPool } from '../../postgres/connection/connection.ts'
import { type Migration, migrate } from '../../postgres/connection/migrations.ts'
import type { PostgresOptions } from '../../postgres/connection/options.ts'
import { isStateError, StateError } from '../../src/core/errors.ts'
import { usePostgres } from '../support/services.ts'
import { ServiceLink } from '../support/services-link.ts'
import { waitFor } from '../support/wait.ts'
import { ask } from './postgres-database.ts'

const postgres = usePostgres()
const pools: PostgresPool[] = []
const links: ServiceLink[] = []

afterEach(async () => {
  for (const pool of pools.splice(0)) await pool.close()
  for (const link of links.splice(0)) await link.close()
})

async function open(options: Partial<PostgresOptions> = {}): Promise<PostgresPool> {
  const pool = new PostgresPool({
    url: postgres().url,
    backoff: { initialMs: 20, maxMs: 50 },
    ...options,
  })
  pools.push(pool)
  await pool.open()
  return pool
}

async function linked(): Promise<ServiceLink> {
  const link = await ServiceLink.to(postgres().url)
  links.push(link)
  return link
}

const failsWith =
  (code: StateError['code'], text: RegExp = /./) =>
  (error: unknown): boolean =>
    isStateError(error, code) && text.test(error.message)

describe('options', () => {
  it.each([
    [{ url: 'mysql://a/b' }, 'url is not of the form'],
    [{ url: 'postgres://u:s3cret@a:port/b' }, 'url is not of the form'],
    [{ url: 'postgres://a/b?sslrootcert=/none.pem' }, 'none.pem'],
    [{ url: 'postgres://a/b', maxConnections: 0 }, 'maxConnections is 0; it must be'],
    [{ url: 'postgres://a/b', statementTimeoutMs: 1.5 }, 'statementTimeoutMs is 1.5; it must be'],
    [{ url: 'postgres://a/b', backoff: { maxMs: -1 } }, 'backoff.maxMs is -1'],
  ])('refuses %j', (options, text) => {
    const make = (): PostgresPool => new PostgresPool(options)
    expect(make).toThrow(text)
    expect(make).not.toThrow('s3cret')
  })

  it('names the server in messages without the user and the password', () => {
    const target = (url: string): string => new PostgresPool({ url }).target
    expect(target('postgres://u:s3cret@db.example/app')).toBe('db.example:5432/app')
    expect(target('postgresql://u@[::1]:6432/app?sslmode=require')).toBe('[::1]:6432/app')
  })
})

describe('opening', () => {
  it('ends at once where trying again can not help, and says why without the password', async () => {
    const url = new URL(postgres().url)
    url.pathname = '/no_such_database'
    url.password = 's3cret'
    const pool = new PostgresPool({ url: url.href })
    pools.push(pool)
    const error: unknown = await pool.open().catch((reason) => reason)
    expect(error).toSatisfy(failsWith('storage_failed', /no_such_database.*does not exist.*3D000/))
    expect(String(error)).not.toContain('s3cret')
  })

  it('tries again until the server answers, and tells of each attempt', async () => {
    const link = await linked()
    link.refuse()
    const told: string[] = []
    const onRetry = (error: StateError): void => {
      told.push(error.code)
      if (told.length === 3) link.heal()
    }
    const pool = await open({ url: link.url, onRetry })
    expect(told).toEqual(['storage_failed', 'storage_failed', 'storage_failed'])
    expect((await pool.query('SELECT 1')).count).toBe(1)
  })

  it('gives up after its time, naming the attempts', async () => {
    const link = await linked()
    link.refuse()
    await expect(open({ url: link.url, openTimeoutMs: 100 })).rejects.toSatisfy(
      failsWith('storage_failed', /gave up after \d+ attempts within 100 ms$/),
    )
  })
})

describe('the pool', () => {
  it('refuses work before open and after close', async () => {
    const pool = new PostgresPool({ url: postgres().url })
    await expect(pool.query('SELECT 1')).rejects.toSatisfy(failsWith('not_open'))
    await pool.open()
    await pool.close()
    await pool.close()
    await expect(pool.query('SELECT 1')).rejects.toSatisfy(failsWith('not_open'))
    await expect(pool.open()).rejects.toSatisfy(failsWith('not_open'))
  })

  it('holds its bounds: connections, and requests that wait for one', async () => {
    const pool = await open({ maxConnections: 2, maxWaiting: 3 })
    const held = [await pool.session(), await pool.session()]
    const waiting = [1, 2, 3].map((n) => pool.query<{ n: number }>('SELECT $1::int AS n', [n]))
    await expect(pool.query('SELECT 4')).rejects.toSatisfy(failsWith('overloaded', /at most 3 may/))
    expect(pool.stats).toMatchObject({ total: 2, waiting: 3, refused: 1 })
    for (const session of held) session.release()
    expect((await Promise.all(waiting)).map(({ rows }) => rows[0]?.n)).toEqual([1, 2, 3])
  })

  it('ends a statement that takes too long', async () => {
    const pool = await open({ statementTimeoutMs: 1000 })
    await expect(pool.query('SELECT pg_sleep(20)')).rejects.toSatisfy(
      failsWith('storage_failed', /statement timeout \(57014\)/),
    )
    expect((await pool.query('SELECT 1')).count).toBe(1)
  })

  it('says disk full as storage_full', async () => {
    const pool = await open()
    const full = "DO $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$"
    await expect(pool.query(full)).rejects.toSatisfy(failsWith('storage_full'))
  })

  it('keeps or undoes a transaction as a whole', async () => {
    const pool = await open({ url: await postgres().createDatabase() })
    await pool.query('CREATE TABLE t (n int)')
    const insert = (then: () => void) =>
      pool.transaction(async (transaction) => {
        await transaction.query('INSERT INTO t VALUES ($1)', [1])
        then()
      })
    await insert(() => undefined)
    await expect(
      insert(() => {
        throw new StateError('invalid_json', 'stop')
      }),
    ).rejects.toSatisfy(failsWith('invalid_json'))
    expect((await pool.query('SELECT FROM t')).count).toBe(1)
    expect(pool.stats).toMatchObject({ waiting: 0, total: 1, idle: 1 })
  })

  it('runs a transaction again that lost against another one', async () => {
    const pool = await open({ url: await postgres().createDatabase() })
    await pool.query('CREATE TABLE t (n int)')
    await pool.query('INSERT INTO t VALUES (0)')
    let runs = 0
    let bothHaveRead: () => void = () => undefined
    const read = new Promise<void>((resolve) => {
      bothHaveRead = resolve
    })
    const add = () =>
      pool.transaction(
        async (transaction) => {
          const { rows } = await transaction.query<{ n: number }>('SELECT n FROM t')
          runs += 1
          if (runs === 2) bothHaveRead()
          await read
          await transaction.query('UPDATE t SET n = $1', [(rows[0]?.n ?? 0) + 1])
        },
        { isolation: 'serializable' },
      )
    await Promise.all([add(), add()])
    expect((await pool.query<{ n: number }>('SELECT n FROM t')).rows).toEqual([{ n: 2 }])
    expect(runs).toBe(3)
  })
})

describe('a listener', () => {
  it('hears notifications, and says after each loss that it may have missed some', async () => {
    const link = await linked()
    const pool = await open({ url: link.url })
    const heard: string[] = []
    const listener = pool.listen(['one', 'Two "x"'], {
      onNotification: (channel, payload) => heard.push(`${channel}: ${payload}`),
      onListening: () => heard.push('listening'),
      onLost: (error) => heard.push(error.code),
    })
    const notify = (channel: string, payload: string) =>
      ask(postgres().url, 'SELECT pg_notify($1, $2)', [channel, payload])
    await waitFor(() => heard.length === 1)
    await notify('one', 'a')
    await notify('Two "x"', 'b')
    await notify('other', 'c')
    await waitFor(() => heard.length === 3)
    link.cut()
    await waitFor(() => listener.reconnects === 1)
    await notify('one', 'd')
    await waitFor(() => heard.includes('one: d'))
    expect(heard).toEqual([
      'listening',
      'one: a',
      'Two "x": b',
      'storage_failed',
      'listening',
      'one: d',
    ])
    await pool.close()
    await notify('one', 'e')
    expect(heard).toHaveLength(6)
  })

  it('refuses a channel whose name the server would cut', async () => {
    const pool = await open()
    const handlers = { onNotification: () => undefined, onListening: () => undefined }
    expect(() => pool.listen(['é'.repeat(32)], handlers)).toThrow('1 to 63 bytes, this one has 64')
  })
})

describe('migrations', () => {
  const first: Migration = { version: 1, statements: ['CREATE TABLE t (n int)'] }
  const second: Migration = {
    version: 2,
    statements: ['ALTER TABLE t ADD m int', 'INSERT INTO t VALUES (1, 2)'],
  }

  it('run once each, however many nodes start at once', async () => {
    const url = await postgres().createDatabase()
    const nodes = await Promise.all(Array.from({ length: 8 }, () => open({ url })))
    const taken = await Promise.all(nodes.map((pool) => migrate(pool, 'test', [first, second])))
    expect(taken.reduce((sum, steps) => sum + steps, 0)).toBe(2)
    expect(await ask(url, 'SELECT n, m FROM t')).toEqual([{ n: 1, m: 2 }])
    for (const pool of nodes) expect(await migrate(pool, 'test', [first, second])).toBe(0)
  })

  it('leave nothing of a step that fails, and go on from there later', async () => {
    const pool = await open({ url: await postgres().createDatabase() })
    const broken = { version: 2, statements: ['INSERT INTO t VALUES (5)', 'SELECT 1 / 0'] }
    await expect(migrate(pool, 'test', [first, broken])).rejects.toThrow('division by zero')
    expect((await pool.query('SELECT FROM t')).count).toBe(0)
    expect(await migrate(pool, 'test', [first, second])).toBe(1)
    expect(await migrate(pool, 'other', [])).toBe(0)
  })

  it('refuse tables of a newer release and leave them alone', async () => {
    const pool = await open({ url: await postgres().createDatabase() })
    await migrate(pool, 'test', [first, second])
    await expect(migrate(pool, 'test', [first])).rejects.toSatisfy(
      failsWith('format_unsupported', /"test" have version 2.*newer release.*up to 1/),
    )
    expect((await pool.query('SELECT FROM t')).count).toBe(1)
  })
})
