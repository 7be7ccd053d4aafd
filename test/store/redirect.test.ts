/** Another node leads, without the store being opened anew. */
import { describe, expect, it } from 'vitest'
import type { Store } from '../../src/store/store.ts'
import { MemoryStorage } from '../../storage-adapters/memory.ts'
import { openStore } from '../support/store.ts'

const NOBODY: ReadonlySet<number> = new Set()

const forms = [
  ['everything in memory', undefined],
  ['a small cache', 900],
  ['no cache', 0],
] as const

/** Leads by a variable. */
async function open(cacheBytes: number | undefined, first?: string, adapter = new MemoryStorage()) {
  const lead: { by: string | undefined } = { by: first }
  const store = await openStore({
    adapter,
    leaderOf: (key) => (key.startsWith('own/') ? undefined : lead.by),
    ...(cacheBytes === undefined ? {} : { cacheBytes }),
  })
  const move = (by: string | undefined): Promise<void> =>
    store.redirect(() => {
      lead.by = by
    })
  return { store, lead, move, adapter }
}

const owedKeys = async (store: Store, leader: string): Promise<string[]> =>
  (await store.owed(leader, 100, NOBODY)).map(({ record }) => record.key)

describe.each(forms)('with %s', (_name, cacheBytes) => {
  it('what one leader was owed is owed to the next, in order, and nothing to the first', async () => {
    const { store, move } = await open(cacheBytes, 'http://a')
    for (const key of ['t/2', 't/1', 'own/x', 't/3']) await store.set(key, '1')
    await store.set('t/2', '2')
    await move('http://b')
    expect(store.owedCount('http://a')).toBe(0)
    expect(await owedKeys(store, 'http://a')).toEqual([])
    expect(store.owedCount('http://b')).toBe(3)
    expect(await owedKeys(store, 'http://b')).toEqual(['t/1', 't/3', 't/2'])
    const sent = (await store.owed('http://b', 2, NOBODY)).map(({ seq, record }) => ({
      seq,
      key: record.key,
    }))
    await store.acknowledge('http://b', sent, new Map())
    expect(await owedKeys(store, 'http://b')).toEqual(['t/2'])
    await store.close()
  })

  it('a node that leads owes nothing, and owes again what it kept when it follows again', async () => {
    const { store, move } = await open(cacheBytes, 'http://a')
    await store.set('t/1', '1')
    await store.set('t/2', '1')
    await move(undefined)
    expect(store.owedCount('http://a')).toBe(0)
    expect((await store.slot('t/1'))?.owedTo).toBeUndefined()
    await store.set('t/2', '3')
    await store.set('t/3', '1')
    expect((await store.slot('t/3'))?.owedTo).toBeUndefined()
    await move('http://b')
    // What was written while leading is owed to nobody; what was not, has never arrived anywhere.
    expect(await owedKeys(store, 'http://b')).toEqual(['t/1'])
    expect(store.owedCount('http://b')).toBe(1)
    await store.set('t/3', '2')
    expect(await owedKeys(store, 'http://b')).toEqual(['t/1', 't/3'])
    await store.close()
  })

  it('leaves on disk what an opening with the new leader finds', async () => {
    const { store, move, adapter } = await open(cacheBytes, 'http://a')
    await store.set('t/1', '1')
    await store.set('t/2', '1')
    await move('http://b')
    await store.set('t/1', '2')
    await store.close()
    const { store: again } = await open(cacheBytes, 'http://c', adapter)
    expect(await owedKeys(again, 'http://c')).toEqual(['t/2', 't/1'])
    expect(again.damageFindings).toEqual([])
    await again.close()
  })

  it('a write under way belongs to the leader of before or of after, never to both or none', async () => {
    const { store, move } = await open(cacheBytes, 'http://a')
    const writes = Array.from({ length: 50 }, (_, i) => store.set(`t/${i}`, '1'))
    const moved = move('http://b')
    const late = Array.from({ length: 50 }, (_, i) => store.set(`t/l${i}`, '1'))
    await Promise.all([...writes, moved, ...late])
    expect([store.owedCount('http://a'), store.owedCount('http://b')]).toEqual([0, 100])
    expect((await owedKeys(store, 'http://b')).length).toBe(100)
    await store.close()
  })

  it('an epoch begun while open continues the one before, up to where it began', async () => {
    const { store } = await open(cacheBytes)
    await store.set('t/1', '1')
    const before = { epoch: store.epoch, seq: store.head }
    await store.beginEpoch('7-x')
    expect(store.epoch).toBe('7-x')
    expect(store.previousEpoch).toBe(before.epoch)
    await store.set('t/2', '1')
    expect(store.canResume(before)).toBe(true)
    expect(store.canResume({ epoch: before.epoch, seq: before.seq + 1 })).toBe(false)
    expect(store.canResume({ epoch: '7-x', seq: store.head })).toBe(true)
    await store.close()
  })
})
