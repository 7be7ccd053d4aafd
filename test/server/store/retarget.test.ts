/** Another node leads, without the store being opened again. */
import { describe, expect, it } from 'vitest'
import type { Entry } from '../../../src/core/data/entry.ts'
import { outboxRowsAfter } from '../../../src/store/format/rows.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { HeldStorage } from '../../cluster/nodes.ts'
import { openStore } from '../../support/store.ts'
import { waitFor } from '../../support/wait.ts'

const NONE: ReadonlySet<number> = new Set()

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
    store.retarget(() => {
      lead.by = by
    })
  return { store, lead, move, adapter }
}

const pendingKeys = async (store: ReplicationStore, leader: string): Promise<string[]> =>
  (await store.pending(leader, 100, NONE)).map(({ record }) => record.key)

describe.each(forms)('with %s', (_name, cacheBytes) => {
  it('what one leader was owed is owed to the next, in order, and nothing to the first', async () => {
    const { store, move } = await open(cacheBytes, 'http://a')
    for (const key of ['t/2', 't/1', 'own/x', 't/3']) await store.set(key, '1')
    await store.set('t/2', '2')
    await move('http://b')
    expect(store.pendingCount('http://a')).toBe(0)
    expect(await pendingKeys(store, 'http://a')).toEqual([])
    expect(store.pendingCount('http://b')).toBe(3)
    expect(await pendingKeys(store, 'http://b')).toEqual(['t/1', 't/3', 't/2'])
    const sent = (await store.pending('http://b', 2, NONE)).map(({ seq, record }) => ({
      seq,
      key: record.key,
    }))
    await store.acknowledge('http://b', sent, new Map())
    expect(await pendingKeys(store, 'http://b')).toEqual(['t/2'])
    await store.close()
  })

  it('a node that leads owes nothing, and owes again what it kept when it follows again', async () => {
    const { store, move } = await open(cacheBytes, 'http://a')
    await store.set('t/1', '1')
    await store.set('t/2', '1')
    await move(undefined)
    expect(store.pendingCount('http://a')).toBe(0)
    expect((await store.keyState('t/1'))?.pendingFor).toBeUndefined()
    await store.set('t/2', '3')
    await store.set('t/3', '1')
    expect((await store.keyState('t/3'))?.pendingFor).toBeUndefined()
    await move('http://b')
    // What was written while leading is owed to nobody; what was not, has never arrived anywhere.
    expect(await pendingKeys(store, 'http://b')).toEqual(['t/1'])
    expect(store.pendingCount('http://b')).toBe(1)
    await store.set('t/3', '2')
    expect(await pendingKeys(store, 'http://b')).toEqual(['t/1', 't/3'])
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
    expect(await pendingKeys(again, 'http://c')).toEqual(['t/2', 't/1'])
    expect(again.damageFindings).toEqual([])
    await again.close()
  })

  it('the outbox on disk does not grow with changes of leader', async () => {
    const { store, move, adapter } = await open(cacheBytes, 'http://a')
    for (let round = 0; round < 5; round++) {
      await store.set('t/1', String(round))
      await move(undefined)
      await store.set('t/1', '"led"')
      await move('http://b')
    }
    const rows: string[] = []
    for await (const [row] of adapter.iterate(outboxRowsAfter(0))) rows.push(row)
    expect(rows).toEqual([])
    await store.close()
  })

  it('what lost before its leader had it is shown to the next leader, also after a term as leader', async () => {
    const { store, move } = await open(cacheBytes, 'http://a')
    await store.set('t/1', '"lost"')
    const ours = await store.get('t/1')
    const created = (ours?.created ?? 0n) + 1n
    const winner: Entry = {
      ...{ kind: 'entry', key: 't/1', data: '1' },
      ...{ created, updated: 0n, origin: 'o' },
    }
    await store.merge([winner], { source: 'a', leader: 'http://a' })
    const lost = async (leader: string): Promise<unknown[]> =>
      (await store.pending(leader, 10, NONE)).map(({ record, isLost }) => [record.key, isLost])
    expect(await lost('http://a')).toEqual([['t/1', true]])
    await move(undefined)
    expect(await lost('http://a')).toEqual([])
    await move('http://b')
    expect(await lost('http://b')).toEqual([['t/1', true]])
    await store.close()
  })

  it('a write under way belongs to the leader of before or of after, never to both or none', async () => {
    const { store, move } = await open(cacheBytes, 'http://a')
    const writes = Array.from({ length: 50 }, (_, i) => store.set(`t/${i}`, '1'))
    const moved = move('http://b')
    const late = Array.from({ length: 50 }, (_, i) => store.set(`t/l${i}`, '1'))
    await Promise.all([...writes, moved, ...late])
    expect([store.pendingCount('http://a'), store.pendingCount('http://b')]).toEqual([0, 100])
    expect((await pendingKeys(store, 'http://b')).length).toBe(100)
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

it('a record whose only whole copy is in the cache outlives a change of leader', async () => {
  const storage = new HeldStorage()
  const { store, move } = await open(10_000, 'http://a', storage)
  await store.set('t/1', '1')
  await store.set('own/1', '1')
  const rows = ['e/t/1', 'e/own/1']
  const whole = await storage.getMany(rows)
  await storage.batch(rows.map((key) => ({ type: 'put', key, value: 'damaged' })))
  const scan = await store.scanRows()
  // What is found is to be written again after this batch, and the leader changes before that.
  storage.hold('t/held')
  const held = store.set('t/held', '1')
  await waitFor(() => storage.heldBatches === 1)
  const told: string[] = []
  for await (const { record } of scan.rows) told.push(record.key)
  expect(told).toEqual(['own/1', 't/1'])
  const moved = move('http://b')
  storage.release()
  await Promise.all([held, moved])
  await waitFor(async () => (await storage.getMany(rows)).join() === whole.join())
  expect(store.damaged()).toEqual([])
  expect((await store.get('own/1'))?.data).toBe('1')
  expect(await pendingKeys(store, 'http://b')).toEqual(['t/1', 't/held'])
  expect((await store.keyState('own/1'))?.pendingFor).toBeUndefined()
  await store.close()
})

/** Gives the second page of a long reading when told to. */
class SlowStorage extends MemoryStorage {
  #gate: Promise<void> | undefined
  asked = 0

  /** @returns what lets it be read. */
  hold(): () => void {
    let open = (): void => undefined
    this.#gate = new Promise((resolve) => {
      open = resolve
    })
    return open
  }

  override async getMany(keys: readonly string[]): Promise<(string | undefined)[]> {
    const gate = keys.length >= 1000 ? this.#gate : undefined
    if (gate !== undefined && ++this.asked === 2) await gate
    return super.getMany(keys)
  }
}

it('pending changes that are being counted again, for damage, when another leads are counted for that one', async () => {
  const storage = new SlowStorage()
  const { store, move } = await open(0, 'http://a', storage)
  await store.batch(
    Array.from({ length: 2000 }, (_, i) => ({ op: 'set', key: `t/${i}`, json: '1' }) as const),
  )
  await store.set('own/1', '1')
  await storage.batch([{ type: 'put', key: 'e/own/1', value: 'damaged' }])
  const go = storage.hold()
  await expect(store.get('own/1')).rejects.toMatchObject({ code: 'corrupt_record' })
  await waitFor(() => storage.asked === 2)
  const moved = move('http://b')
  // Time enough for another counting to overtake this one.
  for (let i = 0; i < 5; i++) await store.list('t/*')
  go()
  await moved
  await store.set('t/last', '1')
  expect(store.pendingCount('http://b')).toBe(2001)
  expect(store.pendingCount('http://a')).toBe(0)
  await store.close()
})
