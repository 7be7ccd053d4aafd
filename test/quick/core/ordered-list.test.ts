import { describe, expect, it } from 'vitest'
import { OrderedList } from '../../../src/core/data/ordered-list.ts'
import { fc } from '../../support/property.ts'

const ascending = (a: number, b: number): number => a - b

type Step = { readonly kind: 'insert' | 'delete' | 'rank'; readonly value: number }

const step = (max: number): fc.Arbitrary<Step> =>
  fc.record({
    kind: fc.constantFrom<Step['kind']>('insert', 'insert', 'delete', 'rank'),
    value: fc.integer({ min: 0, max }),
  })

/** Runs the steps on the list and on a plain sorted array, comparing every answer. */
function agree(list: OrderedList<number>, model: number[], steps: readonly Step[]): void {
  for (const { kind, value } of steps) {
    const rank = model.indexOf(value)
    if (kind === 'rank') {
      expect(list.rankOf(value)).toBe(rank)
    } else if (kind === 'delete') {
      expect(list.delete(value)).toBe(rank)
      if (rank !== -1) model.splice(rank, 1)
    } else if (rank === -1) {
      model.push(value)
      model.sort(ascending)
      expect(list.insert(value)).toBe(model.indexOf(value))
    }
  }
  expect(list.size).toBe(model.length)
  expect(list.toArray()).toEqual(model)
  expect([...list]).toEqual(model)
  for (const n of [0, 1, 3, model.length, model.length + 5]) {
    expect(list.first(n)).toEqual(model.slice(0, n))
    expect(list.last(n)).toEqual(n === 0 ? [] : model.slice(-n))
  }
  for (const rank of [-1, 0, model.length >> 1, model.length - 1, model.length]) {
    expect(list.at(rank)).toBe(rank < 0 ? undefined : model[rank])
  }
}

describe('OrderedList', () => {
  it('answers like a plain sorted array for any program of inserts and deletes', () => {
    fc.assert(
      fc.property(fc.array(step(60), { maxLength: 300 }), (steps) => {
        agree(new OrderedList(ascending), [], steps)
      }),
    )
  })

  it('keeps ranks right while blocks split and join', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 3000 }),
        fc.array(step(6000), { maxLength: 500 }),
        fc.integer({ min: 1, max: 7 }),
        (size, steps, stride) => {
          const model = Array.from({ length: size }, (_, i) => i * 2)
          const list = new OrderedList(ascending, model)
          agree(list, model, steps)
          const gone = model.filter((_, i) => i % 8 >= stride)
          agree(
            list,
            model,
            gone.map((value) => ({ kind: 'delete', value })),
          )
        },
      ),
      { numRuns: 25 },
    )
  })

  it('splits a block that grows past its limit', () => {
    const list = new OrderedList<number>(ascending)
    for (let i = 4999; i >= 0; i--) expect(list.insert(i)).toBe(0)
    for (let i = 0; i < 5000; i += 7) {
      expect(list.rankOf(i)).toBe(i)
      expect(list.at(i)).toBe(i)
    }
  })

  it('is empty again after every item was deleted', () => {
    const list = new OrderedList<number>(ascending, [1, 2, 3])
    for (const item of [2, 1, 3]) list.delete(item)
    expect(list.size).toBe(0)
    expect(list.toArray()).toEqual([])
    expect(list.insert(9)).toBe(0)
  })

  it('does not change the array it was built from', () => {
    const source = [1, 2, 3]
    new OrderedList(ascending, source).insert(0)
    expect(source).toEqual([1, 2, 3])
  })
})
