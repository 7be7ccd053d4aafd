import { describe, expect, test } from 'vitest'
import type { ReplicationStore } from '../../../../src/store/replication-store.ts'
import { MemoryStorage } from '../../../../storage-adapters/memory/memory.ts'
import { fc } from '../../../support/property.ts'
import { ManualTime, openStore } from '../../../support/store.ts'

/** Stamps move by whole steps, so that ranges fall on and between them. */
class SteppingTime extends ManualTime {
  override wallNs(): bigint {
    this.ns += 10n
    return this.ns
  }
}

const KEYS = ['a', 't/a', 't/b', 't/c', 't/d', 't/a/b', 't/b/b', 'u/a-1', 'u/c.3', 'u2/x']
const GLOBS = ['*', 't/*', 'u/*', '*/*', 't/*/b', 't/a*', 'u*/x', 't/a', 'none/*']
const LEADER = 'http://leader'

const step = fc.oneof(
  fc.record({ do: fc.constant('set' as const), key: fc.constantFrom(...KEYS), value: fc.nat(9) }),
  fc.record({ do: fc.constant('delete' as const), key: fc.constantFrom(...KEYS, 't/*', '*/*') }),
  fc.record({ do: fc.constant('batch' as const), key: fc.constantFrom(...KEYS), value: fc.nat(9) }),
  fc.record({ do: fc.constant('settle' as const), limit: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ do: fc.constant('restart' as const) }),
)

const listOptions = fc.record(
  {
    order: fc.constantFrom('newest' as const, 'oldest' as const),
    limit: fc.integer({ min: 0, max: 4 }),
    from: fc.bigInt({ min: 0n, max: 60n }),
    to: fc.bigInt({ min: 0n, max: 60n }),
  },
  { requiredKeys: [] },
)

type Step =
  | { do: 'set' | 'batch'; key: string; value: number }
  | { do: 'delete'; key: string }
  | { do: 'settle'; limit: number }
  | { do: 'restart' }

/** A store that is closed and opened again on demand. */
class Subject {
  readonly #adapter = new MemoryStorage()
  readonly #time = new SteppingTime()
  readonly #cache: { cacheBytes?: number }
  store!: ReplicationStore

  constructor(cacheBytes: number | undefined) {
    this.#cache = cacheBytes === undefined ? {} : { cacheBytes }
  }

  async open(): Promise<void> {
    this.store = await openStore({
      adapter: this.#adapter,
      time: this.#time,
      name: 'n',
      tailRows: 3,
      leaderOf: (key) => (key.startsWith('t/') ? LEADER : undefined),
      ...this.#cache,
    })
  }

  async act(step: Step): Promise<unknown> {
    const { store } = this
    const asked = (write: Promise<unknown>): Promise<unknown> =>
      write.catch((error: { code: string }) => error.code)
    switch (step.do) {
      case 'set':
        return asked(store.set(step.key, String(step.value)))
      case 'delete':
        return asked(store.delete(step.key))
      case 'batch':
        return asked(
          store.batch([
            { op: 'set', key: step.key, json: String(step.value) },
            { op: 'delete', key: 'u/*' },
            { op: 'push', key: 't/*', json: '0' },
          ]),
        )
      case 'settle': {
        const rows = await store.pending(LEADER, step.limit, new Set())
        const sent = rows.map(({ seq, record }) => ({ seq, key: record.key }))
        await store.acknowledge(LEADER, sent, new Map())
        return sent
      }
      case 'restart':
        await store.close()
        await this.open()
        return undefined
    }
  }
}

describe('a bounded cache answers as everything in memory does', () => {
  test.each([0, 1200, 1_000_000])('with %i bytes', async (cacheBytes) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 25 }),
        fc.array(listOptions, { minLength: 3, maxLength: 3 }),
        async (steps, options) => {
          const subjects = [new Subject(undefined), new Subject(cacheBytes)]
          for (const subject of subjects) await subject.open()
          const start = new ManualTime().ns
          for (const next of steps) {
            const [expected, found] = await Promise.all(subjects.map((s) => s.act(next)))
            expect(found).toEqual(expected)
          }
          const [expected, found] = await Promise.all(
            subjects.map(({ store }) => observe(store, start, options)),
          )
          expect(found).toEqual(expected)
        },
      ),
      { numRuns: 150 },
    )
  })
})

interface Asked {
  order?: 'newest' | 'oldest'
  limit?: number
  from?: bigint
  to?: bigint
}

/** Everything a reader can ask. */
async function observe(
  store: ReplicationStore,
  start: bigint,
  options: readonly Asked[],
): Promise<unknown> {
  const lists: unknown[] = []
  for (const glob of GLOBS) {
    lists.push(await store.read(glob))
    for (const { from, to, ...rest } of options) {
      const range = {
        ...rest,
        ...(from === undefined ? {} : { from: start + from * 10n }),
        ...(to === undefined ? {} : { to: start + to * 10n }),
      }
      lists.push(await store.list(glob, range))
    }
  }
  const scan = await store.scan({ prefix: 't' })
  const records: unknown[] = []
  for await (const record of scan.records) records.push(record)
  return {
    lists,
    scan: [scan.seq, records],
    keys: [await store.keys(), await store.keys('u')],
    gets: await Promise.all(KEYS.map((key) => store.get(key))),
    log: await store.log(0, 1000),
    pending: [store.pendingCount(LEADER), await store.pending(LEADER, 100, new Set())],
  }
}

describe('the cache bound', () => {
  test('what was read is kept up to the bound, and the oldest used goes first', async () => {
    const adapter = new CountingStorage()
    const store = await openStore({ adapter, cacheBytes: 2000 })
    for (let i = 0; i < 20; i++) await store.set(`k/${i}`, '"some data"')
    adapter.fetched = []
    await store.get('k/19')
    expect(adapter.fetched).toEqual([])
    await store.get('k/0')
    expect(adapter.fetched).toEqual(['e/k/0'])
    await store.get('k/0')
    expect(adapter.fetched).toEqual(['e/k/0'])
  })

  test('the newest of a long list are found by the time index, without reading the list', async () => {
    const adapter = new CountingStorage()
    const store = await openStore({ adapter, cacheBytes: 0 })
    for (let i = 0; i < 50; i++) await store.set(`k/${i}`, String(i))
    adapter.fetched = []
    const newest = await store.list('k/*', { limit: 3 })
    expect(newest.map(({ data }) => data)).toEqual(['49', '48', '47'])
    expect(adapter.fetched).toHaveLength(3)
  })

  test('a read of a list sees whole batches only, while batches are written', async () => {
    const store = await openStore({ cacheBytes: 0, adapter: new MemoryStorage() })
    const both = (n: number) =>
      store.batch([
        { op: 'set', key: 'p/a', json: String(n) },
        { op: 'set', key: 'p/b', json: String(n) },
      ])
    await both(0)
    let writing = true
    const writes = (async () => {
      for (let n = 1; n <= 200; n++) await both(n)
      writing = false
    })()
    while (writing) {
      for (const options of [{}, { limit: 2 }]) {
        const entries = await store.list('p/*', options)
        expect(new Set(entries.map(({ data }) => data)).size).toBe(1)
      }
    }
    await writes
  })
})

/** Tells which rows were fetched one by one. */
class CountingStorage extends MemoryStorage {
  fetched: string[] = []

  override async getMany(keys: readonly string[]): Promise<(string | undefined)[]> {
    this.fetched.push(...keys)
    return super.getMany(keys)
  }
}
