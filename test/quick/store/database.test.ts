import { describe, expect, it } from 'vitest'
import { LATEST_STAMP } from '../../../src/core/data/clock.ts'
import type { Commit } from '../../../src/core/data/entry.ts'
import { versionOf } from '../../../src/core/data/entry.ts'
import { decodeFollowerMessage, encodeMessage } from '../../../src/core/wire/protocol.ts'
import type { Database } from '../../../src/store/database.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import { openDatabase } from '../../support/database.ts'
import { FakeTime } from '../../support/fake-time.ts'
import { SeededRandom } from '../../support/seeded-random.ts'

const MAX = 2n ** 63n - 1n

describe('an operation refuses by name', () => {
  const cases: [string, string, (database: Database) => unknown][] = [
    ['invalid_glob', 'storage: glob pattern not allowed', (db) => db.get('l/*')],
    ['invalid_glob', 'storage: glob pattern not allowed', (db) => db.set('l/*', '1')],
    ['invalid_glob', 'storage: glob pattern not allowed', (db) => db.update('l/*', () => '1')],
    ['invalid_glob', 'storage: glob pattern not allowed', (db) => db.setAndUnlock('l/*', '1', 't')],
    ['invalid_glob', "storage: can't lock a glob pattern path", (db) => db.getAndLock('l/*')],
    ['invalid_glob', 'storage: invalid pattern, glob required', (db) => db.list('a')],
    ['invalid_glob', 'storage: invalid pattern, glob required', (db) => db.keysRange('a', 0n, 1n)],
    ['invalid_glob', 'storage: glob pattern required', (db) => db.push('a', '1')],
    ['invalid_key', 'ooo: key is not valid', (db) => db.get('/a')],
    ['invalid_key', 'ooo: key is not valid', (db) => db.keys(['a', 'b//c'])],
    ['invalid_json', 'invalid JSON: Unexpected end', (db) => db.set('a', '')],
    ['invalid_option', 'storage: invalid limit', (db) => db.list('*', { limit: 0 })],
    ['invalid_option', 'an integer from 1, not 1.5', (db) => db.list('*', { limit: 1.5 })],
    ['invalid_option', 'storage: invalid range', (db) => db.list('*', { from: 2n, to: 1n })],
    ['invalid_option', 'storage: invalid range', (db) => db.list('*', { from: -1n })],
    ['invalid_option', `from 0 to ${MAX}`, (db) => db.list('*', { to: MAX + 1n })],
    ['invalid_option', 'to (1) must not be less than from (2)', (db) => db.keysRange('*', 2n, 1n)],
    ['invalid_option', 'newest or oldest', (db) => db.list('*', { order: 'up' as 'newest' })],
    ['lock_lost', 'can\'t unlock: key "a" is not locked', (db) => db.setAndUnlock('a', '1', 't')],
    ['not_found', 'storage: not found', (db) => db.delete('a')],
    ['not_found', 'storage: not found', (db) => db.deleteSilent('a')],
    ['not_found', 'storage: not found', (db) => db.getAndLock('a')],
  ]

  it.each(cases)('%s: %s', async (code, text, operation) => {
    const { database, store } = await openDatabase()
    const refusal = await Promise.resolve(operation(database)).catch((error: unknown) => error)
    expect(refusal).toMatchObject({ code })
    expect(String(refusal)).toContain(text)
    expect(store.head).toBe(0)
    expect(database.metrics().locks.held).toBe(0)
  })

  it('while its store is not open', async () => {
    const { database, store } = await openDatabase()
    await store.close()
    await expect(database.get('a')).rejects.toMatchObject({ code: 'not_open' })
    await expect(database.set('a', '1')).rejects.toMatchObject({ code: 'not_open' })
  })
})

describe('setWithMeta', () => {
  it('makes records that the replication stream takes', async () => {
    const { database, store } = await openDatabase()
    await database.setWithMeta('a', '1', { created: 5n, updated: 7n })
    await database.setWithMeta('a', '2', { created: 5n, updated: 7n })
    const record = await store.get('a')
    const records = record === undefined ? [] : [record]
    const sent = encodeMessage({ t: 'push', n: 1, records })
    expect(decodeFollowerMessage(sent)).toMatchObject({ records: [{ key: 'a', data: '2' }] })
  })

  it('takes the stamps as they are, over whatever is there, and later writes go on from them', async () => {
    const { database } = await openDatabase()
    await database.set('a', '1')
    await database.setWithMeta('a', '2', { created: 5n, updated: 7n })
    expect(await database.get('a')).toMatchObject({ created: 5n, updated: 7n, data: '2' })
    await database.setWithMeta('a', '3', { created: 0n, updated: 0n })
    expect(await database.get('a')).toMatchObject({ created: 0n, updated: 0n, data: '3' })
    const { version } = await database.set('a', '4')
    expect(await database.get('a')).toMatchObject({ created: 0n, updated: version, data: '4' })
  })

  it('refuses stamps that can not be', async () => {
    const { database } = await openDatabase()
    const attempt = (created: unknown, updated: unknown = 0n): Promise<unknown> =>
      database.setWithMeta('a', '1', { created, updated } as { created: bigint; updated: bigint })
    for (const stamp of [-1n, LATEST_STAMP + 1n, 12, '12', undefined]) {
      await expect(attempt(stamp)).rejects.toThrow(
        `storage: created must be a bigint from 0 to ${LATEST_STAMP} (nanoseconds), not ${String(stamp)}`,
      )
      if (stamp === undefined) continue
      await expect(attempt(0n, stamp)).rejects.toThrow('storage: updated must be')
    }
    expect(await database.get('a')).toBeUndefined()
  })

  it('refuses a stamp far in the future, and later stamps exceed one that is near', async () => {
    const { database, time } = await openDatabase()
    const near = time.wallNs() + 60_000_000_000n
    const attempt = database.setWithMeta('a', '1', { created: near + 1_000_000n, updated: 0n })
    await expect(attempt).rejects.toMatchObject({ code: 'clock_drift' })
    await expect(attempt).rejects.toThrow('is 60001 ms in the future, the limit is 60000 ms')
    await database.setWithMeta('a', '1', { created: near, updated: 0n })
    expect((await database.set('a', '2')).version).toBeGreaterThan(near)
    // It is the machine's clock that counts, not one that such writes have moved already.
    const again = database.setWithMeta('a', '3', { created: near + 1_000_000n, updated: 0n })
    await expect(again).rejects.toMatchObject({ code: 'clock_drift' })
  })

  it('is a record like any other elsewhere: nodes that exchange everything agree', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = new SeededRandom(seed)
      const time = new FakeTime()
      const nodes = await Promise.all([openDatabase({ time }), openDatabase({ time })])
      const stamps = [1n, 2n, 3n].map((n) => time.wallNs() - n)
      for (let n = 0; n < 25; n++) {
        const { database } = random.pick(nodes)
        const key = random.pick(['a', 'b'])
        const meta = { created: random.pick(stamps), updated: random.pick([0n, ...stamps]) }
        if (random.chance(0.7)) await database.setWithMeta(key, `${n}`, meta)
        else if (random.chance(0.5)) await database.set(key, `${n}`)
        else await database.delete('*')
        if (random.chance(0.2)) await exchange(nodes[0].store, nodes[1].store)
      }
      await exchange(nodes[0].store, nodes[1].store)
      await exchange(nodes[0].store, nodes[1].store)
      const states = await Promise.all(nodes.map(async ({ store }) => shown(store)))
      expect([seed, states[0]]).toEqual([seed, states[1]])
    }
  })
})

/** Gives each store everything that the other holds. */
async function exchange(a: ReplicationStore, b: ReplicationStore): Promise<void> {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    const { rows } = await from.log(0, 1000)
    await to.merge(
      rows.map(({ record }) => record),
      { source: from.id },
    )
  }
}

async function shown(store: ReplicationStore): Promise<string[]> {
  const { rows } = await store.log(0, 1000)
  return rows
    .map(
      ({ record }) =>
        `${record.key} ${versionOf(record)} ${JSON.stringify(record.kind === 'entry' ? record.data : '')}`,
    )
    .sort()
}

describe('a delete', () => {
  function hear(store: ReplicationStore): Commit[] {
    const commits: Commit[] = []
    store.onCommit((commit) => commits.push(commit))
    return commits
  }

  it('of a glob is one commit, also when it matches nothing', async () => {
    const { database, store } = await openDatabase()
    for (const key of ['l/a', 'l/b', 'm']) await database.set(key, '1')
    const commits = hear(store)
    expect(await database.delete('l/*')).toMatchObject({ deleted: 2 })
    expect(await database.delete('l/*')).toMatchObject({ deleted: 0 })
    expect(commits.map(({ changes }) => changes.map(({ after }) => after.kind))).toEqual([
      ['tombstone', 'tombstone'],
    ])
  })

  it('that is silent leaves its tombstone and says on its commit that nobody is to be told', async () => {
    const { database, store } = await openDatabase()
    await database.set('a', '1')
    const commits = hear(store)
    expect(await database.deleteSilent('a')).toMatchObject({ deleted: 1 })
    expect(await database.get('a')).toBeUndefined()
    expect(commits.map(({ silent }) => silent)).toEqual([true])
    const { rows } = await store.log(0, 10)
    expect(rows.map(({ record }) => record.kind)).toEqual(['tombstone'])
    await database.set('a', '2')
    expect(commits.at(-1)?.silent).toBeUndefined()
  })

  it('of everything takes keys of every depth in one commit, and leaves tombstones', async () => {
    const { database, store } = await openDatabase()
    for (const key of ['a', 'l/a', 'l/a/x/y/z']) await database.set(key, '1')
    const commits = hear(store)
    expect(await database.clear()).toMatchObject({ deleted: 3 })
    expect(await database.clear()).toMatchObject({ deleted: 0 })
    expect(commits).toHaveLength(1)
    expect(await database.keys()).toEqual([])
    const { rows } = await store.log(0, 10)
    expect(rows.map(({ record }) => record.kind)).toEqual(Array(3).fill('tombstone'))
  })
})

describe('a lock', () => {
  it('shows what the writes before it wrote, and keeps out those after it', async () => {
    const { database, time } = await openDatabase()
    await database.set('n', '0')
    const addOne = async (): Promise<void> => {
      const { lock, entry } = await database.getAndLock('n', { waitMs: 60_000 })
      await new Promise((resolve) => setImmediate(resolve))
      await database.setAndUnlock('n', `${Number(entry.data) + 1}`, lock.token)
    }
    const all = Promise.all(Array.from({ length: 50 }, addOne))
    const write = database.set('n', '1000', { waitMs: 60_000 })
    await Promise.all([all, write])
    expect((await database.get('n'))?.data).toBe('1000')
    await Promise.all(Array.from({ length: 50 }, addOne))
    expect((await database.get('n'))?.data).toBe('1050')
    expect(time.pending).toBe(0)
  })

  it('keeps out every kind of write of the key, and none of other keys', async () => {
    const { database } = await openDatabase()
    for (const key of ['l/a', 'l/b']) await database.set(key, '{}')
    const { lock } = await database.getAndLock('l/a')
    const options = { waitMs: 0 }
    const writes = [
      () => database.set('l/a', '1', options),
      () => database.update('l/a', () => '1', options),
      () => database.setWithMeta('l/a', '1', { created: 1n, updated: 0n }, options),
      () => database.delete('l/a', options),
      () => database.delete('l/*', options),
      () => database.deleteSilent('*/*', options),
      () => database.clear(options),
      () =>
        database.batch(
          [
            { op: 'push', key: 'm/*', json: '1' },
            { op: 'delete', key: 'l/a' },
          ],
          options,
        ),
    ]
    for (const write of writes) {
      await expect(write()).rejects.toMatchObject({ code: 'locked', meaning: { status: 423 } })
    }
    await database.set('l/b', '2', options)
    await database.push('l/*', '3')
    const held = { lock: lock.token, waitMs: 0 }
    await database.set('l/a', '4', held)
    await database.batch([{ op: 'delete', key: 'l/*' }], held)
    await database.setWithMeta('l/a', '5', { created: 1n, updated: 0n }, held)
    database.unlock('l/a', lock.token)
    await database.set('l/a', '6', options)
  })

  it('is given back when the write under it fails, and when the read does', async () => {
    const { database, time } = await openDatabase()
    await database.set('a', '1')
    const { lock } = await database.getAndLock('a')
    await expect(database.setAndUnlock('a', '', lock.token)).rejects.toMatchObject({
      code: 'invalid_json',
    })
    await expect(database.getAndLock('absent', { waitMs: 0 })).rejects.toThrow('not found')
    expect(database.metrics().locks.held).toBe(0)
    expect(time.pending).toBe(0)
  })

  it('that ended while its entry was read is not handed out as if it were held', async () => {
    const { database, time } = await openDatabase()
    await database.set('a', '1')
    database.setBeforeRead(() => time.advance(1000))
    const attempt = database.getAndLock('a', { ttlMs: 1000 })
    await expect(attempt).rejects.toMatchObject({ code: 'lock_lost' })
  })

  it('that expired is refused, and what its holder wrote late is not stored', async () => {
    const { database, time } = await openDatabase()
    await database.set('a', '1')
    const { lock } = await database.getAndLock('a', { ttlMs: 1000 })
    time.advance(1000)
    await expect(database.setAndUnlock('a', '2', lock.token)).rejects.toThrow('has expired')
    await expect(database.set('a', '2', { lock: lock.token })).rejects.toThrow('has expired')
    expect((await database.get('a'))?.data).toBe('1')
    const next = await database.getAndLock('a')
    expect(next.lock.fence).toBeGreaterThan(lock.fence)
    database.extendLock('a', next.lock.token, 5000)
    time.advance(4999)
    await database.setAndUnlock('a', '3', next.lock.token)
  })

  it('does not hold up what comes from a peer', async () => {
    const { database, store } = await openDatabase()
    await database.lock('a')
    const record = {
      kind: 'entry',
      key: 'a',
      created: 9n,
      updated: 0n,
      origin: 'p',
      data: '1',
    } as const
    expect(await store.merge([record], { source: 'p' })).toEqual(['applied'])
  })
})

it('writes without locks in the way keep the order of their calls', async () => {
  const { database } = await openDatabase()
  const writes = Array.from({ length: 100 }, (_, n) => database.set('a', `${n}`))
  const versions = (await Promise.all(writes)).map(({ version }) => version)
  expect(versions).toEqual(versions.toSorted((a, b) => Number(a - b)))
  expect((await database.get('a'))?.data).toBe('99')
})
