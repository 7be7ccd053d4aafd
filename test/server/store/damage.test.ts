import { describe, expect, test } from 'vitest'
import { Damage } from '../../../src/store/integrity/damage.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { openStore, type TestStoreOptions } from '../../support/store.ts'
import { waitFor } from '../../support/wait.ts'

const MODES: [name: string, options: TestStoreOptions][] = [
  ['everything in memory', {}],
  ['no cache', { cacheBytes: 0 }],
]

/** A storage with five keys, one of them deleted, closed. */
async function filled(
  options: TestStoreOptions,
): Promise<{ adapter: MemoryStorage; epoch: string }> {
  const adapter = new MemoryStorage()
  const store = await openStore({ ...options, adapter })
  for (const key of ['l/a', 'l/b', 'l/c', 'x']) await store.set(key, '{"n":1}')
  await store.set('l/b', '{"n":2}')
  await store.delete('x')
  const { epoch } = store
  await store.close()
  await adapter.open()
  return { adapter, epoch }
}

async function flip(adapter: MemoryStorage, row: string): Promise<void> {
  const value = (await adapter.get(row)) ?? ''
  const last = value.charCodeAt(value.length - 1)
  const flipped = value.slice(0, -1) + String.fromCharCode(last ^ 1)
  await adapter.batch([{ type: 'put', key: row, value: flipped }])
}

/** With a cache bound, checks run in the background. */
async function found(store: ReplicationStore, count: number): Promise<void> {
  await waitFor(() => store.damaged().length === count)
}

describe.each(MODES)('damage, %s', (_name, options) => {
  test('a record that does not fit its checksum is named, refused, and healed by a write', async () => {
    const { adapter } = await filled(options)
    await flip(adapter, 'e/l/b')
    const store = await openStore({ ...options, adapter })
    await found(store, 1)
    expect(store.damaged()).toEqual(['l/b'])
    await expect(store.get('l/b')).rejects.toMatchObject({
      code: 'corrupt_record',
      message: expect.stringContaining('"l/b"'),
    })
    expect((await store.list('l/*')).map(({ key }) => key)).toEqual(['l/c', 'l/a'])
    expect(store.damagedCount('l/*')).toBe(1)
    await store.set('l/b', '{"n":3}')
    expect((await store.get('l/b'))?.data).toBe('{"n":3}')
    expect(store.damaged()).toEqual([])
    await store.close()
    const again = await openStore({ ...options, adapter })
    expect(again.damaged()).toEqual([])
    expect((await again.get('l/b'))?.data).toBe('{"n":3}')
  })

  test('a record that vanished is missed, and named by the change log', async () => {
    const { adapter } = await filled(options)
    await adapter.batch([{ type: 'del', key: 'e/l/a' }])
    const store = await openStore({ ...options, adapter })
    await found(store, 1)
    expect(store.damaged()).toEqual(['l/a'])
    await expect(store.get('l/a')).rejects.toMatchObject({ code: 'corrupt_record' })
  })

  test('a record that went back to an older version is not served', async () => {
    const adapter = new MemoryStorage()
    const before = await openStore({ ...options, adapter })
    await before.set('k', '"old"')
    const old = (await adapter.get('e/k')) ?? ''
    await before.set('k', '"new"')
    await before.close()
    await adapter.open()
    await adapter.batch([{ type: 'put', key: 'e/k', value: old }])
    const store = await openStore({ ...options, adapter })
    await found(store, 1)
    await expect(store.get('k')).rejects.toMatchObject({ code: 'corrupt_record' })
  })

  test('a tombstone that vanished does not bring the key back to life', async () => {
    const { adapter } = await filled(options)
    await adapter.batch([{ type: 'del', key: 'e/x' }])
    const store = await openStore({ ...options, adapter })
    await found(store, 1)
    await expect(store.get('x')).rejects.toMatchObject({ code: 'corrupt_record' })
  })

  test('damage is remembered over restarts and begins the epochs anew once', async () => {
    const { adapter, epoch } = await filled(options)
    await flip(adapter, 'e/l/c')
    const store = await openStore({ ...options, adapter })
    await found(store, 1)
    await waitFor(() => !store.canResume({ epoch, seq: 1 }))
    const second = store.epoch
    await store.close()
    const again = await openStore({ ...options, adapter })
    await found(again, 1)
    expect(again.canResume({ epoch: second, seq: 1 })).toBe(true)
    expect(again.damaged()).toEqual(['l/c'])
  })

  test('a peer that merges the record heals it', async () => {
    const { adapter } = await filled(options)
    await flip(adapter, 'e/l/a')
    const store = await openStore({ ...options, adapter })
    await found(store, 1)
    const peer = await openStore({ name: 'peer' })
    await peer.set('l/a', '{"n":9}')
    const record = await peer.get('l/a')
    await store.merge(record === undefined ? [] : [record], { source: 'peer' })
    expect((await store.get('l/a'))?.data).toBe('{"n":9}')
    expect(store.damaged()).toEqual([])
  })

  test('damaged rows of the node itself are told, and what can be made again is', async () => {
    const { adapter } = await filled(options)
    await flip(adapter, 'm/head')
    await flip(adapter, 'm/epochs')
    const store = await openStore({ ...options, adapter })
    expect(store.damageFindings.join()).toContain('m/head')
    expect(store.damageFindings.join()).toContain('m/epochs')
    await store.set('l/d', '1')
    await store.close()
    const again = await openStore({ ...options, adapter })
    expect(again.damageFindings).toEqual([])
    expect(await again.keys()).toEqual(['l/a', 'l/b', 'l/c', 'l/d'])
    expect((await again.log(0, 100)).rows).toHaveLength(5)
  })

  test('a row missing in the change log is put back, so that followers hear of its record', async () => {
    const { adapter } = await filled(options)
    await flip(adapter, 'l/0000000000000003')
    await adapter.batch([{ type: 'del', key: 'e/l/a' }])
    const store = await openStore({ ...options, adapter })
    await found(store, 1)
    await waitFor(async () => (await store.log(0, 100)).rows.length === 3)
    const { rows } = await store.log(0, 100)
    expect(rows.map(({ record }) => record.key)).toEqual(['l/c', 'l/b', 'x'])
  })
})

describe('damage found while open', () => {
  test('a read that meets a damaged record names it and tells listeners', async () => {
    const adapter = new MemoryStorage()
    const store = await openStore({ adapter, cacheBytes: 0 })
    await store.set('k', '1')
    const { epoch } = store
    let heard = 0
    store.onDamage(() => heard++)
    await flip(adapter, 'e/k')
    await expect(store.get('k')).rejects.toMatchObject({ code: 'corrupt_record' })
    await waitFor(() => heard === 1)
    expect(store.epoch).not.toBe(epoch)
    expect(store.canResume({ epoch, seq: 1 })).toBe(false)
  })

  test('a record that was written again since a scan began is not damaged by what the scan reads', async () => {
    const adapter = new MemoryStorage()
    const store = await openStore({ adapter, cacheBytes: 0 })
    await store.set('k', '1')
    await flip(adapter, 'e/k')
    const { rows } = await store.scanRows()
    await store.set('k', '2')
    for await (const { record } of rows) expect(record.key).toBe('k')
    await waitFor(async () => (await store.get('k'))?.data === '2')
    expect(store.damaged()).toEqual([])
    await store.close()
    await adapter.open()
    const again = await openStore({ adapter, cacheBytes: 0 })
    expect((await again.get('k'))?.data).toBe('2')
  })
})

test('a damaged row whose record is still in the cache is told, and written again', async () => {
  const adapter = new MemoryStorage()
  const store = await openStore({ adapter, cacheBytes: 10_000 })
  await store.set('k/a', '1')
  const written = await adapter.get('e/k/a')
  await flip(adapter, 'e/k/a')
  const { rows } = await store.scanRows()
  const told: string[] = []
  for await (const { record } of rows) told.push(record.key)
  expect(told).toEqual(['k/a'])
  await waitFor(async () => (await adapter.get('e/k/a')) === written)
  await flip(adapter, 'e/k/a')
  expect((await store.list('k/*')).length).toBe(1)
  await waitFor(async () => (await adapter.get('e/k/a')) === written)
  expect((await store.get('k/a'))?.data).toBe('1')
  expect(store.damaged()).toEqual([])
})

test('findings are kept once each, and not without end', () => {
  const damage = new Damage()
  for (let i = 0; i < 300; i++) damage.note(`finding ${i % 150}`)
  expect(damage.sentences).toHaveLength(100)
  expect(new Set(damage.sentences).size).toBe(100)
})
