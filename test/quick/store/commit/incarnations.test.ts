import { describe, expect, it } from 'vitest'
import { HybridClock } from '../../../../src/core/data/clock.ts'
import { metaRow } from '../../../../src/store/format/rows.ts'
import {
  INCARNATIONS_ROW,
  incarnationsOf,
  MAX_INCARNATIONS,
} from '../../../../src/store/recovery/incarnations.ts'
import { giveNewIdentity } from '../../../../src/store/recovery/new-identity.ts'
import { ReplicationStore } from '../../../../src/store/replication-store.ts'
import { MemoryStorage } from '../../../../storage-adapters/memory/memory.ts'
import { FakeTime } from '../../../support/fake-time.ts'

let ids = 0
const newId = (): string => `id${ids++}`

/** Opens, uses and closes a node's store. */
async function run<T>(
  adapter: MemoryStorage,
  use: (store: ReplicationStore) => T | Promise<T>,
): Promise<T> {
  await adapter.open()
  const store = new ReplicationStore({ adapter, clock: new HybridClock(new FakeTime()), newId })
  store.setLeaderOf(() => 'http://leader:8800')
  await store.open()
  try {
    return await use(store)
  } finally {
    await store.close()
  }
}

describe('incarnations of a node', () => {
  it('each names those before it, up to a bound', async () => {
    const adapter = new MemoryStorage()
    let before: readonly string[] = []
    for (let i = 0; i < MAX_INCARNATIONS + 3; i++) {
      const told = await run(adapter, incarnationsOf)
      expect(told.slice(1)).toEqual(before.slice(0, MAX_INCARNATIONS - 1))
      expect(before).not.toContain(told[0])
      before = told
    }
    expect(before).toHaveLength(MAX_INCARNATIONS)
  })

  it('is synced when the store is open: a power cut must not take it back', async () => {
    const levels: unknown[] = []
    class Disk extends MemoryStorage {
      override readonly capabilities = {
        durability: ['memory', 'process', 'disk'],
        persistent: true,
      } as const
      override batch(...[rows, options]: Parameters<MemoryStorage['batch']>): Promise<void> {
        if (rows.some(({ key }) => key === metaRow(INCARNATIONS_ROW))) levels.push(options)
        return super.batch(rows)
      }
    }
    await run(new Disk(), () => undefined)
    expect(levels).toEqual([{ durability: 'disk' }])
  })

  it('begin anew in a storage that is damaged, which may have lost the newest', async () => {
    const adapter = new MemoryStorage()
    await run(adapter, () => undefined)
    await adapter.open()
    await adapter.batch([{ type: 'put', key: metaRow('placement'), value: 'no checksum' }])
    expect(await run(adapter, incarnationsOf)).toHaveLength(1)
  })
})

describe('a new identity', () => {
  it('keeps the records and what is pending, and changes under whom the node writes', async () => {
    const adapter = new MemoryStorage()
    const held = await run(adapter, async (store) => {
      await store.set('items/a', '1')
      await store.saveMeta(new Map([['voting', 'yes']]))
      return store.id
    })
    await adapter.open()
    const change = { voting: (value: string) => `not ${value}`, absent: () => 'x' }
    const { before, id } = await giveNewIdentity(adapter, { newId, change })
    await adapter.close()
    expect(before).toBe(held)
    await run(adapter, async (store) => {
      expect(store.id).toBe(id)
      expect(store.meta('voting')).toBe('not yes')
      expect(store.meta('absent')).toBeUndefined()
      expect(incarnationsOf(store)).toHaveLength(1)
      expect(store.pendingCount('http://leader:8800')).toBe(1)
      expect(store.damageFindings).toEqual([])
      expect((await store.set('items/b', '2')).origin).toBe(id)
      const [first, second] = await store.pending('http://leader:8800', 10, new Set())
      expect([first?.record.origin, second?.record.origin]).toEqual([before, id])
    })
  })

  it('is refused for a format that has to be brought up to date first', async () => {
    const adapter = new MemoryStorage()
    await adapter.open()
    await adapter.batch([{ type: 'put', key: metaRow('format'), value: '1' }])
    const given = giveNewIdentity(adapter, { newId, change: {} })
    await expect(given).rejects.toMatchObject({ code: 'format_unsupported' })
  })
})
