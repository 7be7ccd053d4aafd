/** Random batches and scans of a storage adapter compared with a plain map; part of the storage suite. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { BatchOperation, Row, RowRange } from '../../src/storage-adapter.ts'
import { rowsOf, type StorageFactory } from './storage-case.ts'

type Step =
  | { readonly kind: 'batch'; readonly operations: readonly BatchOperation[] }
  | { readonly kind: 'scan'; readonly range: RowRange }
  | { readonly kind: 'begin'; readonly range: RowRange }
  | { readonly kind: 'reopen' }

const key: fc.Arbitrary<string> = fc.string({
  unit: fc.constantFrom('a', 'b', 'c', '/', '-', '0', '~'),
  minLength: 1,
  maxLength: 4,
})

const operation: fc.Arbitrary<BatchOperation> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ type: fc.constant('put' as const), key, value: value() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('del' as const), key }) },
)

const range: fc.Arbitrary<RowRange> = fc.record(
  { gt: key, gte: key, lt: key, lte: key, reverse: fc.boolean(), limit: fc.nat({ max: 12 }) },
  { requiredKeys: [] },
)

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('batch' as const),
      operations: fc.array(operation, { maxLength: 300, size: 'medium' }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('scan' as const), range }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('begin' as const), range }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen' as const) }) },
)

/** Runs random walks; a failure prints its seed and the shortest walk that fails. */
export function describeModel(factory: StorageFactory): void {
  describe('model', () => {
    it('behaves as an ordered map under random batches, scans, snapshots and reopening', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 25 }), (steps) => walk(factory, steps)),
        { numRuns: 80 },
      )
    })
  })
}

async function walk(factory: StorageFactory, steps: readonly Step[]): Promise<void> {
  const { adapter, cleanup } = await factory.create()
  await adapter.open()
  try {
    const model = new Map<string, string>()
    let begun: { rows: AsyncIterable<Row>; expected: Row[] }[] = []
    const finish = async (): Promise<void> => {
      for (const scan of begun) {
        const rows: Row[] = []
        for await (const row of scan.rows) rows.push(row)
        expect(rows).toEqual(scan.expected)
      }
      begun = []
    }
    for (const next of steps) {
      if (next.kind === 'batch') {
        await adapter.batch(next.operations)
        apply(model, next.operations)
        for (const { key } of next.operations) expect(await adapter.get(key)).toBe(model.get(key))
      } else if (next.kind === 'scan') {
        expect(await rowsOf(adapter, next.range)).toEqual(select(model, next.range))
      } else if (next.kind === 'begin') {
        begun.push({ rows: adapter.iterate(next.range), expected: select(model, next.range) })
      } else {
        await finish()
        await adapter.close()
        await adapter.open()
      }
    }
    await finish()
    expect(await rowsOf(adapter)).toEqual(select(model, {}))
  } finally {
    await adapter.close()
    await cleanup()
  }
}

function apply(model: Map<string, string>, operations: readonly BatchOperation[]): void {
  for (const item of operations) {
    if (item.type === 'put') model.set(item.key, item.value)
    else model.delete(item.key)
  }
}

function select(model: ReadonlyMap<string, string>, range: RowRange): Row[] {
  const rows = [...model.entries()]
    .filter(
      ([key]) =>
        (range.gt === undefined || key > range.gt) &&
        (range.gte === undefined || key >= range.gte) &&
        (range.lt === undefined || key < range.lt) &&
        (range.lte === undefined || key <= range.lte),
    )
    .sort(([a], [b]) => (a < b ? -1 : 1))
  if (range.reverse === true) rows.reverse()
  return rows.slice(0, range.limit ?? rows.length)
}

function value(): fc.Arbitrary<string> {
  return fc.oneof(fc.json(), fc.string({ unit: 'grapheme' }))
}
