/**
 * The suite that every storage adapter passes: each guarantee of `src/storage-adapter.ts`, on rows
 * of any adapter. Differences are read from the adapter's capabilities, never from its name.
 */

import { beforeEach, describe, expect, it } from 'vitest'
import { isStateError } from '../../src/core/errors.ts'
import type { Durability, Row, RowRange } from '../../src/storage-adapter.ts'
import { del, put, rowsOf, type StorageFactory, useStorage } from './storage-case.ts'
import { describeLifecycle } from './storage-lifecycle.ts'
import { describeModel } from './storage-model.ts'

/** Runs the suite on what `factory` makes. */
export function describeStorage(factory: StorageFactory): void {
  describe(`storage: ${factory.name}`, () => {
    describeRows(factory)
    describeScans(factory)
    describeSnapshots(factory)
    describeDurability(factory)
    describeLifecycle(factory)
    describeModel(factory)
  })
}

function describeRows(factory: StorageFactory): void {
  describe('rows', () => {
    const storage = useStorage(factory)

    it('answers undefined for a row that was never written', async () => {
      expect(await storage().get('absent')).toBeUndefined()
    })

    it('gives back what was put, and the newest of two puts', async () => {
      await storage().batch([put('a', '1'), put('b', '2')])
      await storage().batch([put('a', '3')])
      expect(await storage().get('a')).toBe('3')
      expect(await storage().get('b')).toBe('2')
    })

    it('deletes a row, and takes the delete of an absent row as done', async () => {
      await storage().batch([put('a', '1')])
      await storage().batch([del('a'), del('never')])
      expect(await storage().get('a')).toBeUndefined()
      expect(await rowsOf(storage())).toEqual([])
    })

    it('applies the operations of one batch in their order', async () => {
      await storage().batch([put('a', '1'), del('a'), put('b', '1'), put('b', '2'), del('c')])
      expect(await rowsOf(storage())).toEqual([['b', '2']])
    })

    it('accepts an empty batch', async () => {
      await storage().batch([])
      expect(await rowsOf(storage())).toEqual([])
    })

    it('keeps an empty value apart from an absent row', async () => {
      await storage().batch([put('empty', '')])
      expect(await storage().get('empty')).toBe('')
    })

    it('keeps any text as it is: controls, quotes, several scripts, astral characters', async () => {
      const text = '\u0000\n"\\/ žluťoučký 日本語 ‮ \u2028 👩‍👩‍👧 𝒳 \ufeff'
      await storage().batch([put('text', text)])
      expect(await storage().get('text')).toBe(text)
      expect(await rowsOf(storage())).toEqual([['text', text]])
    })

    it('keeps a value of 5 MB', async () => {
      const value = 'é0123456789'.repeat(500_000).slice(0, 5_000_000)
      await storage().batch([put('big', value), put('small', '1')])
      expect((await storage().get('big')) === value).toBe(true)
      const rows = await rowsOf(storage())
      expect(rows.map((row) => [row[0], row[1].length])).toEqual([
        ['big', value.length],
        ['small', 1],
      ])
    })

    it('applies batches in the order of the calls when none is awaited in between', async () => {
      const batches: Promise<void>[] = []
      for (let i = 0; i < 300; i += 1) {
        batches.push(storage().batch([put('key', String(i)), put(`row${i % 7}`, String(i))]))
      }
      await Promise.all(batches)
      expect(await storage().get('key')).toBe('299')
      expect(await storage().get(`row${298 % 7}`)).toBe('298')
    })

    it('shows a batch to every read that is issued after it resolved', async () => {
      for (let i = 0; i < 50; i += 1) {
        await storage().batch([put('a', String(i)), put(`k/${i}`, 'x')])
        const [value, rows] = await Promise.all([storage().get('a'), rowsOf(storage())])
        expect(value).toBe(String(i))
        expect(rows).toHaveLength(i + 2)
      }
    })

    it('is not changed by what the caller later does to the batch', async () => {
      const operations = [put('a', '1'), put('b', '2')]
      const first = storage().batch([put('x', 'x')])
      const second = storage().batch(operations)
      operations.length = 1
      await Promise.all([first, second])
      expect(await storage().get('b')).toBe('2')
    })
  })
}

function describeScans(factory: StorageFactory): void {
  describe('scans', () => {
    const storage = useStorage(factory)
    const keys = async (range: RowRange): Promise<string> =>
      (await rowsOf(storage(), range)).map((row) => row[0]).join(' ')

    beforeEach(async () => {
      await storage().batch(['d', 'a', 'c', 'e', 'b'].map((key) => put(key, key.toUpperCase())))
    })

    it('gives all rows in ascending order without bounds', async () => {
      expect((await rowsOf(storage())).flat().join('')).toBe('aAbBcCdDeE')
    })

    it('orders keys bytewise, with a prefix before its continuations', async () => {
      await storage().batch([put('b/1', ''), put('b!', ''), put('B', ''), put('b~', '')])
      expect(await keys({})).toBe('B a b b! b/1 b~ c d e')
    })

    const cases: [range: RowRange, expected: string][] = [
      [{ gt: 'b' }, 'c d e'],
      [{ gte: 'b' }, 'b c d e'],
      [{ lt: 'd' }, 'a b c'],
      [{ lte: 'd' }, 'a b c d'],
      [{ gt: 'b', lt: 'd' }, 'c'],
      [{ gte: 'b', lte: 'd' }, 'b c d'],
      [{ gte: 'bb', lte: 'dd' }, 'c d'],
      [{ gt: 'e' }, ''],
      [{ lt: 'a' }, ''],
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
      [{ reverse: true, lt: 'a' }, ''],
      [{ limit: 0 }, ''],
      [{ limit: 2 }, 'a b'],
      [{ limit: 99 }, 'a b c d e'],
      [{ gt: 'b', limit: 1 }, 'c'],
      [{ reverse: true, limit: 2 }, 'e d'],
      [{ reverse: true, lt: 'd', limit: 2 }, 'c b'],
    ]
    for (const [range, expected] of cases) {
      it(`${JSON.stringify(range)} gives "${expected}"`, async () => {
        expect(await keys(range)).toBe(expected)
      })
    }

    it('refuses a limit that is not a whole number from 0', async () => {
      for (const limit of [-1, 1.5, Number.NaN]) {
        await expect(rowsOf(storage(), { limit })).rejects.toSatisfy((error) =>
          isStateError(error, 'invalid_option'),
        )
      }
    })

    it('can be left early, and other scans go on', async () => {
      const other = storage().iterate()[Symbol.asyncIterator]()
      expect((await other.next()).value).toEqual(['a', 'A'])
      for await (const row of storage().iterate()) {
        if (row[0] === 'b') break
      }
      expect((await other.next()).value).toEqual(['b', 'B'])
      await other.return?.()
    })

    it('gives each of 20,000 rows once, both ways', async () => {
      const wanted: string[] = []
      for (let i = 0; i < 20_000; i += 1) wanted.push(`n${String(i).padStart(6, '0')}`)
      await storage().batch(wanted.map((key) => put(key, key)))
      const range = { gte: 'n', lt: 'o' }
      const up = (await rowsOf(storage(), range)).map((row) => row[0])
      const down = (await rowsOf(storage(), { ...range, reverse: true })).map((row) => row[0])
      expect(up).toEqual(wanted)
      expect(down.reverse()).toEqual(wanted)
    })
  })
}

function describeSnapshots(factory: StorageFactory): void {
  describe('snapshots', () => {
    const storage = useStorage(factory)

    it('a scan does not see batches committed after its call, even before its first row', async () => {
      await storage().batch([put('a', '1'), put('b', '1'), put('c', '1')])
      const rows = storage().iterate()
      await storage().batch([put('a', '2'), del('b'), put('d', '2')])
      const seen: Row[] = []
      for await (const row of rows) seen.push(row)
      expect(seen).toEqual([
        ['a', '1'],
        ['b', '1'],
        ['c', '1'],
      ])
      expect(await rowsOf(storage())).toEqual([
        ['a', '2'],
        ['c', '1'],
        ['d', '2'],
      ])
    })

    it('scans begun at different times each see their own time', async () => {
      const scans: AsyncIterable<Row>[] = []
      for (let i = 0; i < 20; i += 1) {
        await storage().batch([put('counter', String(i)), put(`row/${i}`, '')])
        scans.push(storage().iterate())
      }
      for (const [i, scan] of scans.entries()) {
        const rows: Row[] = []
        for await (const row of scan) rows.push(row)
        expect(rows[0]).toEqual(['counter', String(i)])
        expect(rows).toHaveLength(i + 2)
      }
    })

    it('a scan never shows half of a batch while batches are written beside it', async () => {
      const names = ['a', 'm', 'z']
      const filler = Array.from({ length: 3_000 }, (_, i) => put(`n/${i}`, 'x'))
      await storage().batch([...filler, ...names.map((name) => put(name, '0'))])
      let done = false
      const writer = (async (): Promise<void> => {
        for (let i = 1; i <= 200; i += 1) {
          await storage().batch(names.map((name) => put(name, String(i))))
        }
        done = true
      })()
      do {
        const rows = new Map(await rowsOf(storage()))
        const values = new Set(names.map((name) => rows.get(name)))
        expect(values.size).toBe(1)
      } while (!done)
      await writer
    })
  })
}

function describeDurability(factory: StorageFactory): void {
  describe('durability', () => {
    const storage = useStorage(factory)
    const levels: readonly Durability[] = ['memory', 'process', 'disk']

    it('honours the levels it declares and refuses the others, writing nothing', async () => {
      const declared = storage().capabilities.durability
      expect(declared.length).toBeGreaterThan(0)
      for (const durability of levels) {
        const writing = storage().batch([put(durability, '1')], { durability })
        if (declared.includes(durability)) {
          await writing
          expect(await storage().get(durability)).toBe('1')
        } else {
          await expect(writing).rejects.toSatisfy((error) => isStateError(error, 'invalid_option'))
          expect(await storage().get(durability)).toBeUndefined()
        }
      }
    })
  })
}
