/** Ranges, order and the life of scans; part of the storage suite. */

import assert from 'node:assert/strict'
import type { Row, RowRange, StorageAdapter } from '../../src/core/ports/storage-adapter.ts'
import { type ConformanceCase, drain, put, rowsOf, startWriter } from './storage-case.ts'

/** Rows of a model in a range, by the words of the contract. */
export function selectRows(model: ReadonlyMap<string, string>, range: RowRange): Row[] {
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

const LETTERS: readonly Row[] = ['d', 'a', 'c', 'e', 'b'].map((key) => [key, key.toUpperCase()])

async function putLetters(adapter: StorageAdapter): Promise<void> {
  await adapter.batch(LETTERS.map(([key, value]) => put(key, value)))
}

const RANGES: readonly (readonly [range: RowRange, expected: string])[] = [
  [{}, 'a b c d e'],
  [{ gt: 'b' }, 'c d e'],
  [{ gte: 'b' }, 'b c d e'],
  [{ lt: 'd' }, 'a b c'],
  [{ lte: 'd' }, 'a b c d'],
  [{ gt: 'b', lt: 'd' }, 'c'],
  [{ gte: 'bb', lte: 'dd' }, 'c d'],
  [{ gt: 'd', lt: 'b' }, ''],
  [{ gte: 'c', lte: 'c' }, 'c'],
  [{ gt: 'c', gte: 'c' }, 'd e'],
  [{ gt: 'a', gte: 'c' }, 'c d e'],
  [{ lt: 'c', lte: 'c' }, 'a b'],
  [{ lt: 'e', lte: 'c' }, 'a b c'],
  [{ reverse: true }, 'e d c b a'],
  [{ reverse: true, gt: 'b' }, 'e d c'],
  [{ reverse: true, gte: 'b', lt: 'd' }, 'c b'],
  [{ reverse: true, lte: 'cc' }, 'c b a'],
  [{ limit: 0 }, ''],
  [{ limit: 2 }, 'a b'],
  [{ limit: 99 }, 'a b c d e'],
  [{ gt: 'b', limit: 1 }, 'c'],
  [{ reverse: true, limit: 2 }, 'e d'],
  [{ reverse: true, lt: 'd', limit: 2 }, 'c b'],
]

/** Lower or upper bounds alone, on rows, between them and beyond them. */
function bounds(open: 'gt' | 'lt', closed: 'gte' | 'lte'): RowRange[] {
  const places = ['', 'a', 'bb', 'd', 'z']
  return [{}, ...places.flatMap((place) => [{ [open]: place }, { [closed]: place }])]
}

/** Which rows a scan gives, and in which order. */
export const RANGE_CASES: readonly ConformanceCase[] = [
  {
    name: 'scans: rows come bytewise by key, a prefix before its continuations',
    run: async ({ adapter }) => {
      // Every character a key may have, alone and behind another.
      const characters = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i))
      const keys = characters.flatMap((character) => [character, `m${character}`])
      const shuffled = keys.map((_, i) => keys[(i * 77) % keys.length] ?? '')
      await adapter.batch(shuffled.map((key) => put(key, 'x')))
      const expected = [...new Set(shuffled)].sort((a, b) => (a < b ? -1 : 1))
      assert.deepEqual(
        (await rowsOf(adapter)).map((row) => row[0]),
        expected,
      )
    },
  },
  ...RANGES.map(
    ([range, expected]): ConformanceCase => ({
      name: `scans: ${JSON.stringify(range)} gives "${expected}"`,
      run: async ({ adapter }) => {
        await putLetters(adapter)
        const rows = await rowsOf(adapter, range)
        assert.equal(rows.map((row) => row[0]).join(' '), expected)
        for (const [key, value] of rows) assert.equal(value, key.toUpperCase())
      },
    }),
  ),
  {
    name: 'scans: every pair of bounds, both ways, with and without a limit',
    run: async ({ adapter }) => {
      await putLetters(adapter)
      const model = new Map(LETTERS)
      for (const lower of bounds('gt', 'gte')) {
        for (const upper of bounds('lt', 'lte')) {
          for (const turn of [{}, { limit: 2 }, { reverse: true }, { reverse: true, limit: 2 }]) {
            const range = { ...lower, ...upper, ...turn }
            const wanted = selectRows(model, range)
            assert.deepEqual(await rowsOf(adapter, range), wanted, JSON.stringify(range))
          }
        }
      }
    },
  },
  {
    name: 'scans: a limit that is not a whole number from 0 is refused',
    run: async ({ adapter }) => {
      for (const limit of [-1, 1.5, Number.NaN]) {
        const rows = adapter.iterate({ limit })
        await assert.rejects(drain(rows), { code: 'invalid_option' }, `limit ${limit}`)
      }
    },
  },
  {
    name: 'scans: each of 20,000 rows comes once, both ways',
    run: async ({ adapter }) => {
      const wanted = Array.from({ length: 20_000 }, (_, i) => `n${String(i).padStart(6, '0')}`)
      for (let i = 0; i < wanted.length; i += 5_000) {
        await adapter.batch(wanted.slice(i, i + 5_000).map((key) => put(key, key)))
      }
      await adapter.batch([put('m', ''), put('o', '')])
      const range = { gte: 'n', lt: 'o' }
      const up = (await rowsOf(adapter, range)).map((row) => row[0])
      const down = (await rowsOf(adapter, { ...range, reverse: true })).map((row) => row[0])
      assert.deepEqual(up, wanted)
      assert.deepEqual(down.reverse(), wanted)
    },
  },
  {
    name: 'scans: rows of very different sizes all come',
    run: async ({ adapter }) => {
      const sizes = Array.from({ length: 60 }, (_, i) => (i % 9 === 0 ? 300_000 + i : i))
      const key = (i: number): string => `k${String(i).padStart(3, '0')}`
      await adapter.batch(sizes.map((size, i) => put(key(i), 'x'.repeat(size))))
      const rows = await rowsOf(adapter)
      assert.deepEqual(
        rows.map((row) => [row[0], row[1].length]),
        sizes.map((size, i) => [key(i), size]),
      )
    },
  },
]

/** What scans hold, and when they let go of it. */
export const SCAN_CASES: readonly ConformanceCase[] = [
  {
    name: 'scans: can be left early while others go on',
    run: async ({ adapter }) => {
      await putLetters(adapter)
      const other = adapter.iterate()[Symbol.asyncIterator]()
      assert.deepEqual((await other.next()).value, ['a', 'A'])
      for await (const row of adapter.iterate()) {
        if (row[0] === 'b') break
      }
      assert.deepEqual((await other.next()).value, ['b', 'B'])
      await other.return?.()
    },
  },
  {
    name: 'scans: one left early lets go of what it held, however it was left',
    run: async ({ adapter }) => {
      await putLetters(adapter)
      const stop = new Error('left')
      for (let i = 0; i < 60; i += 1) {
        for await (const _ of adapter.iterate({ reverse: i % 2 === 0 })) break
        const unread = adapter.iterate()[Symbol.asyncIterator]()
        await unread.return?.()
        const thrown = (async (): Promise<void> => {
          for await (const _ of adapter.iterate()) throw stop
        })()
        await assert.rejects(thrown, stop)
      }
      assert.equal((await rowsOf(adapter)).length, 5)
      await adapter.batch([put('f', 'F')])
      assert.equal((await rowsOf(adapter)).length, 6)
    },
  },
  {
    name: 'scans: 16 go on at once, each over all rows, while batches are written',
    run: async ({ adapter }) => {
      const count = 2_000
      const keys = Array.from({ length: count }, (_, i) => `k${String(i).padStart(5, '0')}`)
      await adapter.batch(keys.map((key) => put(key, 'x')))
      const scans = Array.from({ length: 16 }, (_, i) =>
        adapter.iterate({ reverse: i % 2 === 1 })[Symbol.asyncIterator](),
      )
      const writer = startWriter(20, (i) => adapter.batch([put(`new/${i}`, 'x')]))
      const counts = scans.map(() => 0)
      for (let live = scans.length; live > 0; ) {
        const steps = await Promise.all(scans.map((scan) => scan.next()))
        live = steps.filter((step) => step.done !== true).length
        for (const [i, step] of steps.entries()) {
          if (step.done !== true) counts[i] = (counts[i] ?? 0) + 1
        }
      }
      assert.deepEqual(counts, Array(16).fill(count))
      await writer.done
    },
  },
]
