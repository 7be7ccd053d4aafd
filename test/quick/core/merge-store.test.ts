import { describe, expect, test } from 'vitest'
import type { StoredRecord } from '../../../src/core/data/entry.ts'
import { compareRecords } from '../../../src/core/data/merge.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import { fc } from '../../support/property.ts'
import { openStore } from '../../support/store.ts'

const stamp = fc.bigInt({ min: 1n, max: 4n })
const place = fc.record({ key: fc.constantFrom('a', 'b'), origin: fc.constantFrom('n1', 'n2') })
/** Few keys, stamps and origins, so that ties of every kind are common. */
const record: fc.Arbitrary<StoredRecord> = fc.oneof(
  fc.tuple(place, stamp, stamp).map(([where, created, updated]): StoredRecord => {
    const version = updated > created ? updated : created
    return { kind: 'entry', ...where, created, updated, data: `"${version}-${where.origin}"` }
  }),
  fc
    .tuple(place, stamp)
    .map(([where, deleted]): StoredRecord => ({ kind: 'tombstone', ...where, deleted })),
)
const records = fc.array(record, { maxLength: 8 })
/** How many records go into each batch. */
const cuts = fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 8 })

async function mergeInBatches(
  store: ReplicationStore,
  all: readonly StoredRecord[],
  sizes: number[],
) {
  let at = 0
  for (const size of [...sizes, all.length]) {
    await store.merge(all.slice(at, at + size), { source: 'peer' })
    at += size
  }
}

/** What two stores agree on; the creation of an entry does not count, its version does. */
async function contents(store: ReplicationStore): Promise<string[]> {
  const { records: held } = await store.scan()
  const told: string[] = []
  for await (const one of held) {
    told.push(
      one.kind === 'tombstone'
        ? `${one.key} deleted ${one.deleted} ${one.origin}`
        : `${one.key} ${one.data}`,
    )
  }
  return told
}

async function inStore<T>(use: (store: ReplicationStore) => Promise<T>): Promise<T> {
  const store = await openStore()
  try {
    return await use(store)
  } finally {
    await store.close()
  }
}

describe('merging records into a store', () => {
  test('gives the same in whatever order and batches they come', async () => {
    await fc.assert(
      fc.asyncProperty(records, cuts, fc.infiniteStream(fc.nat()), async (all, sizes, picks) => {
        const shuffled = [...all]
        const order = picks[Symbol.iterator]()
        for (let i = shuffled.length - 1; i > 0; i--) {
          const j = Number(order.next().value) % (i + 1)
          const [a, b] = [shuffled[i], shuffled[j]]
          if (a !== undefined && b !== undefined) [shuffled[i], shuffled[j]] = [b, a]
        }
        const inOrder = await inStore(async (store) => {
          await mergeInBatches(store, all, [])
          return contents(store)
        })
        const inDisorder = await inStore(async (store) => {
          await mergeInBatches(store, shuffled, sizes)
          return contents(store)
        })
        expect(inDisorder).toEqual(inOrder)
      }),
      { numRuns: 300 },
    )
  })

  test('keeps the greatest of each key, and says what became of each record', async () => {
    await fc.assert(
      fc.asyncProperty(records, async (all) => {
        await inStore(async (store) => {
          const held = new Map<string, StoredRecord>()
          for (const one of all) {
            const [outcome] = await store.merge([one], { source: 'peer' })
            const before = held.get(one.key)
            const order = before === undefined ? -1 : compareRecords(before, one)
            expect(outcome).toBe(order < 0 ? 'applied' : order === 0 ? 'equal' : 'superseded')
            if (order < 0) held.set(one.key, one)
          }
          const { records: kept } = await store.scan()
          for await (const one of kept)
            expect(compareRecords(one, held.get(one.key) ?? one)).toBe(0)
        })
      }),
      { numRuns: 300 },
    )
  })

  test('changes nothing when they come again', async () => {
    await fc.assert(
      fc.asyncProperty(records, async (all) => {
        await inStore(async (store) => {
          await store.merge(all, { source: 'peer' })
          const { head } = store
          const outcomes = await store.merge(all, { source: 'peer' })
          expect(outcomes).not.toContain('applied')
          expect(store.head).toBe(head)
        })
      }),
      { numRuns: 200 },
    )
  })

  test('makes later local writes win over everything merged', async () => {
    await fc.assert(
      fc.asyncProperty(records, async (all) => {
        await inStore(async (store) => {
          await store.merge(all, { source: 'peer' })
          const { version } = await store.set('a', '"mine"')
          const outcomes = await store.merge(all, { source: 'peer' })
          expect(outcomes).not.toContain('applied')
          expect((await store.get('a'))?.data).toBe('"mine"')
          expect(version).toBeGreaterThan(4n)
        })
      }),
      { numRuns: 100 },
    )
  })
})
