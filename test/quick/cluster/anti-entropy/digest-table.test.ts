import { describe, expect, test } from 'vitest'
import { DigestTable } from '../../../../cluster/anti-entropy/digest-table.ts'
import { DigestTree, leafOf } from '../../../../cluster/anti-entropy/digest-tree.ts'
import {
  coversKey,
  followedSets,
  setName,
  usualSets,
} from '../../../../cluster/anti-entropy/key-set.ts'
import { countsInDigest } from '../../../../cluster/anti-entropy/unknown-entries.ts'
import { planPlacement } from '../../../../cluster/members/placement.ts'
import { hashRecord } from '../../../../src/core/data/digest.ts'
import type { KeySet } from '../../../../src/core/wire/comparison.ts'
import type { ReplicationStore } from '../../../../src/store/replication-store.ts'
import { entry, tombstone } from '../../../cluster/fixtures.ts'
import { FakeTime } from '../../../support/fake-time.ts'
import { SeededRandom } from '../../../support/seeded-random.ts'
import { openStore } from '../../../support/store.ts'

const ITEMS: KeySet = { path: 'items/*', except: [] }
const SOME: KeySet = { path: 'items/*', except: ['items/k1'] }
const ALL: KeySet = { path: '*/*', except: [] }
const SETS = [ITEMS, SOME, ALL]
const ROOT = ['']

/** What the table must say: counted from nothing. */
async function counted(store: ReplicationStore, set: KeySet, horizon = 0n) {
  const tree = new DigestTree()
  for await (const record of (await store.scan()).records) {
    if (!coversKey(set, record.key) || !countsInDigest(record, horizon)) continue
    tree.add(leafOf(record.key), hashRecord(record))
  }
  return [tree.digest('')]
}

type Scan = ReplicationStore['scanRows']

async function tableOf(store: ReplicationStore, scanRows?: Scan): Promise<DigestTable> {
  const source = scanRows === undefined ? store : { scanRows }
  const table = new DigestTable(source, new FakeTime(), SETS)
  store.onCommit((commit) => table.committed(commit))
  return table
}

describe('the digest table', () => {
  test('counts each change once, whether it comes before, during or after the scan', async () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = new SeededRandom(seed)
      const store = await openStore()
      const write = async (): Promise<void> => {
        const key = `${random.pick(['items', 'other'])}/k${random.below(6)}`
        if (random.chance(0.3)) await store.delete(key).catch(() => undefined)
        else await store.set(key, String(random.below(9)))
      }
      for (let i = 0; i < 10; i++) await write()
      const table = await tableOf(store)
      const writes: Promise<void>[] = []
      for (let i = random.below(4); i > 0; i--) writes.push(write())
      // The scan may begin while a batch is being written, or before, or after it.
      for (let i = random.below(8); i > 0; i--) await Promise.resolve()
      const ready = table.recount(0n)
      for (let i = 0; i < 10; i++) {
        writes.push(write())
        if (random.chance(0.5)) await Promise.resolve()
      }
      await Promise.all([ready, ...writes])
      await write()
      for (const set of SETS) {
        expect(table.digests({ set, horizon: 0n }, ROOT), `seed ${seed}`).toEqual(
          await counted(store, set),
        )
      }
    }
  })

  test('counts what is committed before the place of the scan is known', async () => {
    const store = await openStore()
    await store.set('items/a', '1')
    const table = await tableOf(store, async (options) => {
      const scan = await store.scanRows(options)
      await store.set('items/a', '2')
      return scan
    })
    await table.recount(0n)
    expect(table.digests({ set: ITEMS, horizon: 0n }, ROOT)).toEqual(await counted(store, ITEMS))
  })

  test('begins anew when a scan has a record that is newer than the scan', async () => {
    const store = await openStore()
    await store.set('items/a', '1')
    let scans = 0
    const table = await tableOf(store, async (options) => {
      const { seq } = await store.scanRows(options)
      if (scans++ < 2) await store.set('items/a', '2')
      // A record that is damaged on disk is told as it is in memory by now.
      return { seq, rows: (await store.scanRows(options)).rows }
    })
    await table.recount(0n)
    expect(scans).toBe(3)
    expect(table.digests({ set: ITEMS, horizon: 0n }, ROOT)).toEqual(await counted(store, ITEMS))
  })

  test('leaves out tombstones up to the horizon, and only those', async () => {
    const store = await openStore()
    const source = { source: 'x' }
    await store.merge([entry('items/a', 1), tombstone('items/b', 50), entry('items/c', 5)], source)
    const table = await tableOf(store)
    await table.track({ set: ITEMS, horizon: 50n })
    await store.merge([tombstone('items/a', 40), tombstone('items/c', 60)], source)
    expect(table.digests({ set: ITEMS, horizon: 50n }, ROOT)).toEqual(
      await counted(store, ITEMS, 50n),
    )
    expect(table.digests({ set: ITEMS, horizon: 50n }, ROOT)).toMatchObject([{ count: 1 }])
    await store.merge([entry('items/b', 70)], source)
    expect(table.digests({ set: ITEMS, horizon: 50n }, ROOT)).toEqual(
      await counted(store, ITEMS, 50n),
    )
  })

  test('counts what it was not prepared for when that is asked for, a bounded number of sets', async () => {
    const store = await openStore()
    await store.set('a/b', '1')
    const table = await tableOf(store)
    await table.recount(0n)
    for (let i = 0; i < 200; i++) {
      const set = { path: 'a/*', except: [`a/${i}`] }
      await table.track({ set, horizon: 0n })
      expect(table.digests({ set, horizon: 0n }, ROOT)).toMatchObject([{ count: 1 }])
    }
    const known = Array.from({ length: 200 }, (_, i) => {
      try {
        const set = { path: 'a/*', except: [`a/${i}`] }
        return table.digests({ set, horizon: 0n }, ROOT).length
      } catch {
        return 0
      }
    })
    expect(known.reduce((sum, one) => sum + one, 0)).toBeLessThanOrEqual(70)
    expect(known.at(-1)).toBe(1)
  })

  test('says so when it is asked for what it has not counted, or was stopped', async () => {
    const store = await openStore()
    const table = await tableOf(store)
    expect(() => table.digests({ set: ITEMS, horizon: 0n }, ROOT)).toThrow(
      '"items/*" is not counted',
    )
    await store.set('items/a', '1')
    const counting = table.recount(0n)
    table.stop()
    await expect(counting).rejects.toThrow('stopped')
  })
})

test('a set leaves out what an earlier scope gives to another leader', () => {
  const placement = planPlacement(
    [{ path: 'items/own', local: true }, { path: 'items/x' }, { path: 'items/*' }],
    'leader',
    'nodes/*',
  )
  const sets = followedSets(placement, 'http://leader')
  expect(sets.map(setName)).toEqual(['items/x', 'items/* -items/own', 'nodes/*'])
  expect(usualSets(placement).map(setName)).toContain('items/*')
  const [, items] = sets
  if (items === undefined) throw new Error('no set')
  expect(coversKey(items, 'items/own')).toBe(false)
  expect(coversKey(items, 'items/x')).toBe(true)
})
