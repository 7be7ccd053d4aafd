/** A storage that refuses one row for what it holds: only what wrote that row is refused. */
import { describe, expect, it } from 'vitest'
import type { Entry } from '../../../src/core/data/entry.ts'
import { StateError } from '../../../src/core/errors.ts'
import type { BatchOperation, BatchOptions } from '../../../src/core/ports/storage-adapter.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { openStore } from '../../support/store.ts'

/** Takes no row whose key or value holds `poison`. */
class PickyStorage extends MemoryStorage {
  /** Batches that were given, refused ones too. */
  batches = 0

  override async batch(
    operations: readonly BatchOperation[],
    options?: BatchOptions,
  ): Promise<void> {
    this.batches += 1
    const isBad = operations.some(
      (item) =>
        item.key.includes('poison') || (item.type === 'put' && item.value.includes('poison')),
    )
    if (isBad) throw new StateError('too_large', 'storage: a row is more than can be held')
    return super.batch(operations, options)
  }
}

function entry(key: string, origin = 'peer'): Entry {
  return { kind: 'entry', key, created: 5n, updated: 0n, origin, data: '1' }
}

describe.each([
  ['everything in memory', {}],
  ['no cache', { cacheBytes: 0 }],
])('one row that the storage refuses, %s', (_name, options) => {
  it('fails its own write, and none of the many in the same commit', async () => {
    const adapter = new PickyStorage()
    const store = await openStore({ ...options, adapter })
    const before = adapter.batches
    const keys = Array.from({ length: 500 }, (_, i) => (i === 333 ? 'poison' : `k/${i}`))
    const results = await Promise.allSettled(keys.map((key) => store.set(key, '1')))
    const refused = results.flatMap(({ status }, i) => (status === 'rejected' ? [keys[i]] : []))
    expect(refused).toEqual(['poison'])
    expect((await store.keys()).length).toBe(499)
    // Halving 500 finds one in at most nine steps of two.
    expect(adapter.batches - before).toBeLessThanOrEqual(19)
    await store.close()
    await store.open()
    expect((await store.keys()).length).toBe(499)
    await store.close()
  })

  it('is left out of a merge, whose cursor goes on', async () => {
    const adapter = new PickyStorage()
    const store = await openStore({ ...options, adapter, leaderOf: () => 'leader' })
    const keys = ['a', 'b', 'poison', 'c', 'd']
    const meta = new Map([['cursor', 'e 5']])
    const records = keys.map((key) => entry(key))
    const outcomes = await store.merge(records, { source: 'leader', leader: 'leader', meta })
    expect(outcomes).toEqual(['applied', 'applied', 'refused', 'applied', 'applied'])
    expect(await store.keys()).toEqual(['a', 'b', 'c', 'd'])
    expect(store.meta('cursor')).toBe('e 5')
    expect(store.refused.count).toBe(1)
    expect([...store.refused.reasons.keys()]).toEqual(['poison'])
    await store.close()
  })

  it('moves the cursor on when the last record, or the only one, is the bad one', async () => {
    const adapter = new PickyStorage()
    const store = await openStore({ ...options, adapter, leaderOf: () => 'leader' })
    const from = (
      place: string,
    ): { source: string; leader: string; meta: Map<string, string> } => ({
      ...{ source: 'leader', leader: 'leader' },
      meta: new Map([['cursor', place]]),
    })
    expect(await store.merge([entry('a'), entry('poison')], from('1'))).toEqual([
      'applied',
      'refused',
    ])
    expect(store.meta('cursor')).toBe('1')
    expect(await store.merge([entry('poison')], from('2'))).toEqual(['refused'])
    expect(store.meta('cursor')).toBe('2')
    await store.close()
  })
})
