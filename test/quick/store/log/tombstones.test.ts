import { describe, expect, test } from 'vitest'
import type { Commit, StoredRecord } from '../../../../src/core/data/entry.ts'
import { versionOf } from '../../../../src/core/data/entry.ts'
import type { StorageAdapter } from '../../../../src/core/ports/storage-adapter.ts'
import type { SequencedRow } from '../../../../src/store/format/rows.ts'
import type { Retention } from '../../../../src/store/log/tombstones.ts'
import { planExpireUnknown } from '../../../../src/store/plans/expire-unknown.ts'
import type { ReplicationStore } from '../../../../src/store/replication-store.ts'
import { MemoryStorage } from '../../../../storage-adapters/memory/memory.ts'
import { openStore } from '../../../support/store.ts'

const ALL = { isPassed: () => true, planned: () => undefined }

async function rowsOf(store: ReplicationStore): Promise<SequencedRow[]> {
  const rows: SequencedRow[] = []
  for await (const row of (await store.scanRows()).rows) rows.push(row)
  return rows
}

async function tombstones(store: ReplicationStore): Promise<SequencedRow[]> {
  return (await rowsOf(store)).filter(({ record }) => record.kind === 'tombstone')
}

async function rawRows(adapter: StorageAdapter, prefix: string): Promise<string[]> {
  const rows: string[] = []
  for await (const [row] of adapter.iterate({ gte: prefix, lt: `${prefix}~` })) rows.push(row)
  return rows
}

describe.each([
  ['all records in memory', undefined],
  ['a bounded cache', 0],
] as const)('removing tombstones, %s', (_name, cacheBytes) => {
  const open = (adapter: StorageAdapter, leaderOf?: (key: string) => string | undefined) =>
    openStore({
      name: 'n',
      adapter,
      ...(cacheBytes === undefined ? {} : { cacheBytes }),
      ...(leaderOf === undefined ? {} : { leaderOf }),
    })

  test('takes record and log row, tells nobody, and the store opens intact', async () => {
    const adapter = new MemoryStorage()
    const store = await open(adapter)
    for (const key of ['a', 'b', 'c']) await store.set(key, '1')
    await store.delete('a')
    await store.delete('b')
    const heard: Commit[] = []
    store.onCommit((commit) => heard.push(commit))
    const { head } = store
    expect(await store.forget(await tombstones(store), ALL)).toBe(2)
    expect(heard).toEqual([])
    expect(store.head).toBe(head)
    expect((await rowsOf(store)).map(({ record }) => record.key)).toEqual(['c'])
    expect(await rawRows(adapter, 'e/')).toEqual(['e/c'])
    expect(await rawRows(adapter, 'l/')).toHaveLength(1)
    expect((await store.log(0, 10)).rows.map(({ record }) => record.key)).toEqual(['c'])
    await store.close()
    await store.open()
    expect(store.damageFindings).toEqual([])
    expect(store.damaged()).toEqual([])
    expect(store.retention.floor).toBe(head)
    await store.set('a', '2')
    expect((await store.get('a'))?.data).toBe('2')
    await store.close()
  })

  test('tells in its turn what will have been removed, and remembers it', async () => {
    const store = await open(new MemoryStorage())
    await store.set('a', '1')
    await store.delete('a')
    const [row] = await tombstones(store)
    if (row === undefined) throw new Error('no tombstone')
    const planned: Retention[] = []
    await store.forget([row], { isPassed: () => true, planned: (it) => planned.push(it) })
    const expected = { floor: row.seq, forgotten: versionOf(row.record) }
    expect(planned).toEqual([expected])
    expect(store.retention).toEqual(expected)
  })

  test('keeps what is pending, not passed, written again, or no tombstone', async () => {
    const adapter = new MemoryStorage()
    const store = await open(adapter, (key) => (key === 'owed' ? 'http://l' : undefined))
    for (const key of ['owed', 'late', 'again', 'entry']) await store.set(key, '1')
    for (const key of ['owed', 'late', 'again']) await store.delete(key)
    const rows = await rowsOf(store)
    await store.set('again', '2')
    const late = rows.find(({ record }) => record.key === 'late')
    const removed = await store.forget(rows, {
      isPassed: (seq) => seq !== late?.seq,
      planned: () => undefined,
    })
    expect(removed).toBe(0)
    expect(await rowsOf(store)).toHaveLength(4)
    expect(store.retention).toEqual({ floor: 0, forgotten: 0n })
  })

  test('a write in the same batch as a removal stands alone', async () => {
    const adapter = new MemoryStorage()
    const store = await open(adapter)
    await store.set('a', '1')
    await store.delete('a')
    const removal = store.forget(await tombstones(store), ALL)
    const write = store.set('a', '2')
    await Promise.all([removal, write])
    expect((await store.get('a'))?.updated).toBe(0n)
    await store.close()
    await store.open()
    expect(store.damageFindings).toEqual([])
    expect(await rawRows(adapter, 'l/')).toHaveLength(1)
    await store.close()
  })
})

describe('dropping what a leader deleted and forgot', () => {
  test('the tombstone beats this entry and no later one, is owed to nobody, and is told', async () => {
    const store = await openStore({ leaderOf: () => 'http://l' })
    const entry: StoredRecord = {
      kind: 'entry',
      key: 'a',
      created: 5n,
      updated: 7n,
      origin: 'o',
      data: '1',
    }
    await store.merge([entry], { source: 'http://l', leader: 'http://l' })
    const heard: Commit[] = []
    store.onCommit((commit) => heard.push(commit))
    expect(await store.run(planExpireUnknown('http://l', await rowsOf(store)))).toBe(1)
    expect(heard[0]?.changes[0]?.after).toEqual({
      kind: 'tombstone',
      key: 'a',
      deleted: 7n,
      origin: 'o',
    })
    expect(store.pendingCount('http://l')).toBe(0)
    expect(await store.merge([entry], { source: 'x' })).toEqual(['superseded'])
    expect(await store.merge([{ ...entry, updated: 8n }], { source: 'x' })).toEqual(['applied'])
  })

  test('what is pending or has changed is not dropped', async () => {
    const store = await openStore({ leaderOf: () => 'http://l' })
    await store.set('owed', '1')
    const rows = await rowsOf(store)
    expect(await store.run(planExpireUnknown('http://l', rows))).toBe(0)
    await store.set('owed', '2')
    expect(await store.run(planExpireUnknown('http://l', rows))).toBe(0)
    expect((await store.get('owed'))?.data).toBe('2')
  })
})
