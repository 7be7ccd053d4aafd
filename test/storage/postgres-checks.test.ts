/** What a database can not hold, or refuses for a while, seen through a store and a server. */
import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import type { Entry } from '../../src/core/data/entry.ts'
import { createServer } from '../../src/server/server.ts'
import { PostgresStorage } from '../../storage-adapters/postgres/postgres.ts'
import { request } from '../support/http.ts'
import { usePostgres } from '../support/services.ts'
import { openStore } from '../support/store.ts'
import { waitFor } from '../support/wait.ts'
import { ask } from './postgres-database.ts'

const closers: (() => unknown)[] = []

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** A key that does not compress, so that an index of the database can not hold it. */
const longKey = (bytes: number): string => randomBytes(bytes).toString('hex').slice(0, bytes)

function entry(key: string): Entry {
  return { kind: 'entry', key, created: 5n, updated: 0n, origin: 'peer', data: '1' }
}

describe('a key that an index can not hold', () => {
  const postgres = usePostgres()

  it('is refused alone at a server, and nothing of the database is told', async () => {
    const server = createServer({
      storage: new PostgresStorage({ url: await postgres().createDatabase() }),
      port: 0,
    })
    closers.push(() => server.close())
    await server.open()
    const url = server.address?.url ?? ''
    const paths = Array.from({ length: 200 }, (_, i) => (i % 20 === 7 ? longKey(3000) : `k/${i}`))
    const answers = await Promise.all(
      paths.map((path) => request('POST', `${url}/${path}`, { body: '1' })),
    )
    const refused = answers.filter(({ status }) => status !== 200)
    expect(refused.length).toBe(10)
    for (const { status, body } of refused) {
      expect([status, body]).toEqual([400, expect.stringMatching(/3000 bytes, the limit is 1024/)])
    }
    expect(await server.store.keys()).toHaveLength(190)
  })

  it('does not stop a follower whose leader holds it: that record is left out, and named', async () => {
    const adapter = new PostgresStorage({ url: await postgres().createDatabase() })
    const store = await openStore({ adapter, leaderOf: () => 'leader' })
    closers.push(() => store.close())
    const long = longKey(3000)
    const records = [entry('a'), entry(long), entry('b')]
    const meta = new Map([['cursor', '7']])
    const outcomes = await store.merge(records, { source: 'leader', leader: 'leader', meta })
    expect(outcomes).toEqual(['applied', 'refused', 'applied'])
    expect(store.meta('cursor')).toBe('7')
    expect([...store.refused.reasons.values()].join()).toMatch(
      /3000 bytes, the storage of this node/,
    )
  })

  it('of the greatest length that is written is held, also in the time index', async () => {
    const url = await postgres().createDatabase()
    const adapter = new PostgresStorage({ url })
    const store = await openStore({ adapter, cacheBytes: 0 })
    const key = longKey(1024)
    await store.set(key, '1')
    await store.close()
    const again = await openStore({ adapter, cacheBytes: 0 })
    closers.push(() => again.close())
    expect((await again.get(key))?.data).toBe('1')
    await again.delete(key)
    expect(await again.get(key)).toBeUndefined()
  })
})

describe('a database that takes no writes', () => {
  const postgres = usePostgres()

  it('is 503 with a time to come back, and no name of it is told', async () => {
    const database = await postgres().createDatabase()
    const server = createServer({ storage: new PostgresStorage({ url: database }), port: 0 })
    closers.push(() => server.close())
    await server.open()
    const url = server.address?.url ?? ''
    const name = new URL(database).pathname.slice(1)
    const setReadOnly = (value: string): Promise<object[]> =>
      ask(database, `ALTER DATABASE "${name}" SET default_transaction_read_only = ${value}`)
    await setReadOnly('on')
    await ask(
      database,
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()',
      [name],
    )
    const answer = await waitFor(async () => {
      const found = await request('POST', `${url}/a`, { body: '1' })
      return /25006/.test(found.body) ? found : undefined
    })
    expect(answer.status).toBe(503)
    expect(answer.headers['retry-after']).toBe('1')
    expect(answer.body).not.toMatch(new RegExp(`${name}|127\\.0\\.0\\.1|localhost`))
  })
})
