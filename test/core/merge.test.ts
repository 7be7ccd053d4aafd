import { expect, test } from 'vitest'
import type { StoredRecord } from '../../src/core/entry.ts'
import { compareRecords } from '../../src/core/merge.ts'
import { fc } from '../support/property.ts'

const stamp = fc.bigInt({ min: 1n, max: 4n })
const origin = fc.constantFrom('a', 'b', 'c')
/** Few stamps and origins, so that ties of every kind are common. */
const record: fc.Arbitrary<StoredRecord> = fc.oneof(
  fc
    .record({ created: stamp, updated: stamp, origin })
    .map((fields): StoredRecord => ({ kind: 'entry', key: 'k', data: dataOf(fields), ...fields })),
  fc
    .record({ deleted: stamp, origin })
    .map((fields): StoredRecord => ({ kind: 'tombstone', key: 'k', ...fields })),
)

/** One origin makes one change per version, so content follows from version and origin. */
function dataOf(fields: { created: bigint; updated: bigint; origin: string }): string {
  const version = fields.updated > fields.created ? fields.updated : fields.created
  return `"${version}-${fields.origin}"`
}

/** What a replica that holds `a` keeps when `b` arrives. */
const mergeRecords = (a: StoredRecord, b: StoredRecord): StoredRecord =>
  compareRecords(a, b) >= 0 ? a : b

const winner = (a: StoredRecord, b: StoredRecord): string => content(mergeRecords(a, b))

function content(value: StoredRecord): string {
  return value.kind === 'tombstone' ? `deleted ${value.deleted} ${value.origin}` : value.data
}

test('merging is commutative, whatever the ties', () => {
  fc.assert(
    fc.property(record, record, (a, b) => winner(a, b) === winner(b, a)),
    { numRuns: 2000 },
  )
})

test('merging is associative', () => {
  fc.assert(
    fc.property(record, record, record, (a, b, c) => {
      return winner(mergeRecords(a, b), c) === winner(a, mergeRecords(b, c))
    }),
    { numRuns: 5000 },
  )
})

test('merging is idempotent', () => {
  fc.assert(fc.property(record, (a) => mergeRecords(a, a) === a))
})

test('the order is total: antisymmetric and transitive', () => {
  fc.assert(
    fc.property(record, record, record, (a, b, c) => {
      expect(Math.sign(compareRecords(a, b))).toBe(-Math.sign(compareRecords(b, a)) + 0)
      if (compareRecords(a, b) >= 0 && compareRecords(b, c) >= 0) {
        expect(compareRecords(a, c)).toBeGreaterThanOrEqual(0)
      }
    }),
    { numRuns: 5000 },
  )
})

test('at equal versions a delete beats a set, then the greater origin wins', () => {
  const set: StoredRecord = {
    kind: 'entry',
    key: 'k',
    created: 5n,
    updated: 0n,
    origin: 'z',
    data: '1',
  }
  const del: StoredRecord = { kind: 'tombstone', key: 'k', deleted: 5n, origin: 'a' }
  expect(mergeRecords(set, del)).toBe(del)
  expect(mergeRecords({ ...set, origin: 'a' }, set)).toBe(set)
})
