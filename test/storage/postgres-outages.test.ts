/** What `PostgresStorage` does when its server, or the way to it, goes away and comes back. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isStateError } from '../../src/core/errors.ts'
import {
  PostgresStorage,
  type PostgresStorageOptions,
} from '../../storage-adapters/postgres/postgres.ts'
import { put, rowsOf } from '../conformance/storage-case.ts'
import { usePostgres } from '../support/services.ts'
import { ServiceLink } from '../support/services-link.ts'
import { waitFor } from '../support/wait.ts'
import { ask } from './postgres-database.ts'

const QUICK = { backoff: { initialMs: 20, maxMs: 100 }, ownershipWaitMs: 20_000 }
const ROUNDS = Number(process.env.OOO_TEST_ROUNDS ?? 5)
const ENDS = ['crash', 'kill', 'stop'] as const
const opened: PostgresStorage[] = []

async function open(options: PostgresStorageOptions): Promise<PostgresStorage> {
  const storage = new PostgresStorage({ ...QUICK, ...options })
  opened.push(storage)
  await storage.open()
  return storage
}

afterEach(async () => {
  for (const storage of opened.splice(0)) await storage.close()
})

/** Whether a row is in the database, seen from beside the adapter. */
async function isStored(url: string, key: string): Promise<boolean> {
  return (await ask(url, 'SELECT FROM ooo_rows WHERE key = $1', [key])).length > 0
}

/** Resolves once the storage answers again. */
async function comeBack(storage: PostgresStorage): Promise<void> {
  const answers = (): Promise<boolean> => storage.get('any').then(() => true)
  await waitFor(answers, { deadlineMs: 60_000, what: 'the storage to answer again' })
}

/** Resolves once the storage has noticed that its server is away. */
async function loseServer(storage: PostgresStorage): Promise<void> {
  await waitFor(() =>
    storage.get('any').then(
      () => false,
      (error) => isStateError(error, 'storage_failed'),
    ),
  )
}

describe('a server that is killed and restarted under load', () => {
  const postgres = usePostgres({ control: true })

  it.each(['process', 'disk'] as const)(
    'loses nothing that was answered at level %s, and stores nothing that was refused',
    async (durability) => {
      const url = await postgres().createDatabase()
      const storage = await open({ url, recoveryWaitMs: 60_000 })
      const answered = new Set<string>()
      const refused = new Set<string>()
      const errors: unknown[] = []
      let writing = true
      const writer = async (name: string): Promise<void> => {
        for (let i = 0; writing; i += 1) {
          const key = `${name}/${i}`
          const batch = [put(key, 'x'), put(`${key}/twin`, 'x'), put(`${name}/newest`, String(i))]
          await storage.batch(batch, { durability }).then(
            () => answered.add(key),
            (error) => {
              refused.add(key)
              errors.push(error)
              // As a client would, and lest refusals alone fill the time.
              return new Promise((resolve) => setImmediate(resolve))
            },
          )
        }
      }
      const writers = ['a', 'b', 'c', 'd'].map(writer)
      for (let round = 0; round < ROUNDS; round += 1) {
        const end = ENDS[round % ENDS.length] ?? 'kill'
        const before = answered.size
        const grown = (): boolean => answered.size > before + 50
        await waitFor(grown, { deadlineMs: 60_000, what: 'writes to be answered' })
        await postgres().control[end]()
        const failed = errors.length
        await loseServer(storage)
        expect(errors.length).toBeGreaterThanOrEqual(failed)
        await postgres().control.start()
        await comeBack(storage)
      }
      writing = false
      await Promise.all(writers)
      // Those under way when the server went were waited for.
      await postgres().control.kill()
      await loseServer(storage)
      writing = true
      const late = writer('late')
      // What of the last batches may not be on disk is waited for too, for half a minute.
      await waitFor(() => refused.has('late/0'), { deadlineMs: 90_000 })
      writing = false
      await late
      await postgres().control.start()
      await comeBack(storage)
      expect(errors.filter((error) => !isStateError(error, 'storage_failed'))).toEqual([])
      const keys = new Set((await rowsOf(storage)).map(([key]) => key))
      expect([...answered].filter((key) => !keys.has(key) || !keys.has(`${key}/twin`))).toEqual([])
      expect([...refused].filter((key) => keys.has(key) || keys.has(`${key}/twin`))).toEqual([])
    },
    120_000 + ROUNDS * 60_000,
  )

  it('is waited for by an open that finds it down', async () => {
    const url = await postgres().createDatabase()
    await postgres().control.stop()
    const storage = new PostgresStorage({ ...QUICK, url })
    opened.push(storage)
    const opening = storage.open()
    await expect(new PostgresStorage({ url, openTimeoutMs: 0 }).open()).rejects.toThrow(
      /^postgres: cannot connect to 127\.0\.0\.1:\d+\/ooo_test_\w+: .*ECONNREFUSED.*; gave up after 1 attempts/,
    )
    await postgres().control.start()
    await opening
    await storage.batch([put('a', '1')])
  })

  it('is not waited for once close is called', async () => {
    const url = await postgres().createDatabase()
    await postgres().control.stop()
    try {
      const storage = new PostgresStorage({ url })
      const opening = storage.open().catch((error) => error)
      await storage.close()
      expect(isStateError(await opening, 'storage_failed')).toBe(true)
    } finally {
      await postgres().control.start()
    }
  })
})

describe('a server that loses the end of its log', () => {
  // Without the writer's help, what is not synced stays in the server's memory.
  const postgres = usePostgres({ settings: { wal_writer_delay: '10s' } })
  let url = ''
  let link: ServiceLink
  beforeEach(async () => {
    url = await postgres().createDatabase()
    link = await ServiceLink.to(url)
  })
  afterEach(() => link.close())

  /** The batches that the database holds after a crash during which the storage can not reach it. */
  async function crash(): Promise<number> {
    link.refuse()
    await postgres().control.crash()
    await postgres().control.start()
    const rows = await ask<{ n: number }>(
      url,
      "SELECT count(*)::int AS n FROM ooo_rows WHERE key LIKE 'k%'",
    )
    return rows[0]?.n ?? 0
  }

  it('gets the batches of level process again that it had answered', async () => {
    const storage = await open({ url: link.url })
    let isLost = false
    let written = 0
    // Now and then the server syncs for reasons of its own, right before the crash: then once more.
    for (let round = 0; round < 5 && !isLost; round += 1) {
      for (let i = 0; i < 20; i += 1) {
        await storage.batch([put(`k${written}`, ''), put('last', `${written}`)])
        written += 1
      }
      isLost = (await crash()) < written
      link.heal()
      await comeBack(storage)
      expect(await storage.get('last')).toBe(`${written - 1}`)
      expect(await rowsOf(storage, { gte: 'k', lt: 'l' })).toHaveLength(written)
    }
    expect(isLost).toBe(true)
    await storage.batch([put('after', '1')])
    expect(await storage.get('after')).toBe('1')
  })

  it('has every batch of level disk by itself, and those before it', async () => {
    const storage = await open({ url: link.url })
    await storage.batch([put('k0', 'process')])
    await storage.batch([put('k1', 'disk')], { durability: 'disk' })
    expect(await crash()).toBe(2)
    link.heal()
    await comeBack(storage)
  })

  it('has all batches a moment later, and after close', async () => {
    const storage = await open({ url: link.url })
    await storage.batch([put('k0', 'process')])
    const synced = async (): Promise<boolean> => {
      const [row] = await ask<{ behind: string }>(
        url,
        'SELECT pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn() AS behind',
      )
      return row?.behind === '0'
    }
    await waitFor(synced, { deadlineMs: 60_000, what: 'the server to sync its log' })
    expect(await crash()).toBe(1)
    link.heal()
    await comeBack(storage)
    await storage.batch([put('k1', 'process')])
    await storage.close()
    expect(await crash()).toBe(2)
  })
})

describe('a connection that breaks', () => {
  const postgres = usePostgres()
  let url = ''
  let link: ServiceLink
  beforeEach(async () => {
    url = await postgres().createDatabase()
    link = await ServiceLink.to(url)
  })
  afterEach(() => link.close())

  it('goes unnoticed when it was not in use', async () => {
    const storage = await open({ url: link.url })
    await storage.batch([put('a', '1')])
    for (let i = 0; i < 5; i += 1) {
      link.cut()
      await storage.batch([put('a', String(i))])
      link.cut()
      expect(await storage.get('a')).toBe(String(i))
    }
  })

  it('does not hide that a batch was stored whose answer it lost', async () => {
    const storage = await open({ url: link.url })
    link.swallow()
    const batch = storage.batch([put('a', '1')])
    await waitFor(() => isStored(url, 'a'))
    link.heal()
    link.cut()
    await batch
    expect(await storage.get('a')).toBe('1')
    await storage.batch([put('b', '1')])
  })

  it('does not hide that a batch was not stored: it is sent again', async () => {
    const storage = await open({ url: link.url })
    const batch = storage.batch([put('a', '1')])
    link.refuse()
    link.heal()
    await batch
    expect(await isStored(url, 'a')).toBe(true)
  })

  it('refuses a batch when the server stays away, and goes on when it was not stored', async () => {
    const storage = await open({ url: link.url, recoveryWaitMs: 100 })
    link.refuse()
    const failed = (error: unknown): boolean => isStateError(error, 'storage_failed')
    await expect(storage.batch([put('a', '1')])).rejects.toSatisfy(failed)
    await expect(storage.get('a')).rejects.toSatisfy(failed)
    await expect(storage.getMany(['a'])).rejects.toSatisfy(failed)
    await expect(rowsOf(storage)).rejects.toSatisfy(failed)
    link.heal()
    await comeBack(storage)
    expect(await rowsOf(storage)).toEqual([])
    await storage.batch([put('b', '1')])
    expect(await rowsOf(storage)).toEqual([['b', '1']])
  })

  it('ends the opening when a batch was refused for want of an answer but proves to be stored', async () => {
    const storage = await open({ url: link.url, recoveryWaitMs: 100 })
    link.swallow()
    const batch = storage.batch([put('a', '1')])
    batch.catch(() => undefined)
    await waitFor(() => isStored(url, 'a'))
    link.refuse()
    await expect(batch).rejects.toThrow('the server was lost while a batch was written')
    link.heal()
    await waitFor(() =>
      storage.get('a').then(
        () => false,
        (e) => /open the storage again/.test(e),
      ),
    )
    await expect(storage.batch([put('b', '1')])).rejects.toThrow('open the storage again')
    await storage.close()
    await storage.open()
    expect(await storage.get('a')).toBe('1')
  })

  it('can not keep close waiting when the server has become silent', async () => {
    const storage = await open({ url: link.url })
    await storage.batch([put('a', '1')])
    await storage.get('a')
    link.swallow()
    await storage.close()
    await expect(storage.get('a')).rejects.toSatisfy((error) => isStateError(error, 'not_open'))
  })

  it('can not keep close waiting', async () => {
    const storage = await open({ url: link.url, recoveryWaitMs: 60_000 })
    link.swallow()
    const batch = storage.batch([put('a', '1')])
    batch.catch(() => undefined)
    await waitFor(() => isStored(url, 'a'))
    link.refuse()
    await storage.close()
    await expect(batch).rejects.toSatisfy((error) => isStateError(error, 'storage_failed'))
  })
})

describe('two nodes on one namespace', () => {
  const postgres = usePostgres()

  it('never both write: who was cut off and overtaken is told so', async () => {
    const url = await postgres().createDatabase()
    const link = await ServiceLink.to(url)
    try {
      const first = await open({ url: link.url, recoveryWaitMs: 60_000 })
      await first.batch([put('a', 'first')])
      await expect(open({ url, ownershipWaitMs: 50 })).rejects.toThrow(
        /^storage: the rows of "default" on 127\.0\.0\.1:\d+\/ooo_test_\w+ are used by another node, process \d+ on \S+$/,
      )
      link.refuse()
      const late = first.batch([put('a', 'late')])
      late.catch(() => undefined)
      const second = await open({ url })
      await second.batch([put('a', 'second')])
      link.heal()
      await expect(late).rejects.toSatisfy((error) => isStateError(error, 'in_use'))
      for (const work of [first.get('a'), first.batch([put('a', 'x')]), rowsOf(first)]) {
        await expect(work).rejects.toSatisfy((error) => isStateError(error, 'in_use'))
      }
      expect(await second.get('a')).toBe('second')
      await first.close()
      await second.close()
      await first.open()
      expect(await first.get('a')).toBe('second')
    } finally {
      await link.close()
    }
  })

  it('keep out a batch of one that only believes to own the rows', async () => {
    const url = await postgres().createDatabase()
    const storage = await open({ url })
    await storage.batch([put('a', '1')])
    await ask(url, "UPDATE ooo_namespaces SET owner = 'someone else'")
    const overtaken = (error: unknown): boolean => isStateError(error, 'in_use')
    await expect(storage.batch([put('a', '2'), put('b', '2')])).rejects.toSatisfy(overtaken)
    expect(await ask(url, 'SELECT key, value FROM ooo_rows')).toEqual([{ key: 'a', value: '1' }])
    await expect(storage.get('a')).rejects.toSatisfy(overtaken)
  })

  it('is told by `lost` to one that asks for nothing, when its connection comes back', async () => {
    const url = await postgres().createDatabase()
    const link = await ServiceLink.to(url)
    try {
      const first = await open({ url: link.url })
      link.refuse()
      await open({ url })
      link.heal()
      const error = await first.lost
      expect(error).toSatisfy((reason) => isStateError(reason, 'in_use'))
      expect(error?.message).toContain(`process ${process.pid} on `)
      expect(error?.meaning.status).toBe(503)
    } finally {
      await link.close()
    }
  })

  it('is told by `lost` to one that asks for nothing, when its connection never broke', async () => {
    const url = await postgres().createDatabase()
    const storage = await open({ url, ownerCheckMs: 50 })
    await ask(url, "UPDATE ooo_namespaces SET owner = 'someone else'")
    expect(await storage.lost).toSatisfy((reason) => isStateError(reason, 'in_use'))
  })

  it('is not told by `lost` to one that closed, or whose database was away', async () => {
    const url = await postgres().createDatabase()
    const link = await ServiceLink.to(url)
    try {
      const storage = await open({ url: link.url, ownerCheckMs: 50 })
      let isLost = false
      void storage.lost?.then(() => {
        isLost = true
      })
      link.refuse()
      await loseServer(storage)
      link.heal()
      await comeBack(storage)
      await storage.close()
      await (await open({ url })).batch([put('a', 'another')])
      expect(isLost).toBe(false)
      expect(storage.lost).toBeUndefined()
    } finally {
      await link.close()
    }
  })

  it('share a database under two names without seeing each other', async () => {
    const url = await postgres().createDatabase()
    const [a, b] = [await open({ url, namespace: 'a' }), await open({ url, namespace: 'b' })]
    await a.batch([put('k', 'a')])
    await b.batch([put('k', 'b')])
    expect(await rowsOf(a)).toEqual([['k', 'a']])
    expect(await rowsOf(b)).toEqual([['k', 'b']])
  })
})
