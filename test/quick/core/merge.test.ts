import { expect, test } from 'vitest'
import type { StoredRecord } from '../../../src/core/data/entry.ts'
import { marksOf, nameOf, withMarks, withWas } from '../../../src/core/data/entry.ts'
import { addLaterMarks, addMarks, isCovered, unionMarks } from '../../../src/core/data/marks.ts'
import { compareRecords, compareUnder, mergeRecords } from '../../../src/core/data/merge.ts'
import { fc } from '../../support/property.ts'

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
const merged = (a: StoredRecord, b: StoredRecord): StoredRecord => mergeRecords(a, b).record

const winner = (a: StoredRecord, b: StoredRecord): string => content(merged(a, b))

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
      return winner(merged(a, b), c) === winner(a, merged(b, c))
    }),
    { numRuns: 5000 },
  )
})

test('merging is idempotent', () => {
  fc.assert(fc.property(record, (a) => merged(a, a) === a))
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
  expect(merged(set, del)).toBe(del)
  expect(merged({ ...set, origin: 'a' }, set)).toBe(set)
})

/** Marks of nodes, also of later generations of what they write under. */
const mark = fc.record({
  origin: fc.constantFrom('a', 'a-r1', 'b', 'b-r2', 'c'),
  version: stamp,
})
const marks = fc
  .tuple(fc.array(mark, { maxLength: 3 }), fc.array(mark, { maxLength: 2 }))
  .map(([changes, later]) => addLaterMarks(addMarks(undefined, changes), later))
const lateOrigin = fc.constantFrom('a', 'a-r1', 'b', 'b-r1', 'c')
const marked = fc
  .record({ record, origin: lateOrigin, marks, was: fc.option(mark) })
  .map(({ record: plain, origin, marks: known, was }): StoredRecord => {
    const made = { ...plain, origin }
    const one = made.kind === 'entry' ? { ...made, data: dataOf(made) } : made
    const named = was === null ? one : withWas(one, `${was.version}@${was.origin}`)
    return withMarks(named, known)
  })
const state = (value: StoredRecord): string => `${content(value)} ${marksOf(value) ?? ''}`

test('merging records with marks is commutative and idempotent', () => {
  fc.assert(
    fc.property(marked, marked, (a, b) => {
      expect(state(merged(a, b))).toBe(state(merged(b, a)))
      expect(state(merged(merged(a, b), b))).toBe(state(merged(a, b)))
    }),
    { numRuns: 5000 },
  )
})

test('marks alone merge associatively, and a record that they cover loses to any other', () => {
  fc.assert(
    fc.property(marks, marks, marks, marked, marked, (a, b, c, one, other) => {
      expect(unionMarks(unionMarks(a, b), c)).toBe(unionMarks(a, unionMarks(b, c)))
      const known = unionMarks(marksOf(one), marksOf(other))
      const [isOld, isOtherOld] = [one, other].map((record) => isCovered(known, nameOf(record)))
      if (isOld === isOtherOld) return
      expect(content(merged(one, other))).toBe(content(isOld === true ? other : one))
    }),
    { numRuns: 5000 },
  )
})

test('with the marks of all known, merging is associative', () => {
  fc.assert(
    fc.property(marked, marked, marked, (a, b, c) => {
      const known = [a, b, c].map(marksOf).reduce(unionMarks)
      const [x, y, z] = [a, b, c].map((record) => withMarks(record, known)) as [
        StoredRecord,
        StoredRecord,
        StoredRecord,
      ]
      expect(state(merged(merged(x, y), z))).toBe(state(merged(x, merged(y, z))))
      expect(Math.sign(compareUnder(known, x, y))).toBe(-Math.sign(compareUnder(known, y, x)) + 0)
    }),
    { numRuns: 5000 },
  )
})

/** Nodes that hold these, and tell each other what they hold, in this order and then until all is told. */
function exchanged(states: readonly StoredRecord[], order: readonly [number, number][]): string[] {
  const nodes = [...states]
  const tell = (from: number, to: number): void => {
    const [given, held] = [nodes[from], nodes[to]]
    if (given !== undefined && held !== undefined) nodes[to] = merged(held, given)
  }
  for (const [from, to] of order) tell(from, to)
  for (let round = 0; round < nodes.length + 1; round++) {
    for (const from of nodes.keys()) for (const to of nodes.keys()) tell(from, to)
  }
  return nodes.map(state)
}

const meetings = fc.array(fc.tuple(fc.nat({ max: 3 }), fc.nat({ max: 3 })), { maxLength: 12 })

test('nodes that have told each other all they hold are equal', () => {
  fc.assert(
    fc.property(fc.array(marked, { minLength: 2, maxLength: 4 }), meetings, (states, order) => {
      expect(new Set(exchanged(states, order)).size).toBe(1)
    }),
    { numRuns: 5000 },
  )
})

test('a write made after a restamp stays, whoever meets whom, though older copies have greater stamps', () => {
  const first: StoredRecord = {
    kind: 'entry',
    key: 'k',
    created: 10n,
    updated: 190n,
    origin: 'r',
    data: '"first"',
  }
  const known = addMarks(undefined, [{ origin: 'r', version: 190n }])
  const restamped = withMarks({ ...first, updated: 106n, origin: 'r-r1' }, known)
  const later = fc.constantFrom<StoredRecord>(
    withMarks({ ...first, updated: 120n, origin: 'c', data: '"later"' }, known),
    withMarks({ kind: 'tombstone', key: 'k', deleted: 107n, origin: 'r-r1' }, known),
  )
  fc.assert(
    fc.property(later, meetings, (last, order) => {
      // Of those with the first stamp each holds another of three writes under it.
      const copies = [190n, 180n].map((updated): StoredRecord => ({ ...first, updated }))
      const ends = exchanged([...copies, restamped, last], order)
      expect(ends).toEqual(Array(4).fill(state(last)))
    }),
    { numRuns: 2000 },
  )
})
