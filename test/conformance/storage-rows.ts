/** Rows, batches and `getMany`; part of the storage suite. */

import assert from 'node:assert/strict'
import type { BatchOperation } from '../../src/core/ports/storage-adapter.ts'
import { type ConformanceCase, del, put, rowsOf, startWriter } from './storage-case.ts'

const MIB = 1024 * 1024

/** Keys and values come back as they were. */
export const ROW_CASES: readonly ConformanceCase[] = [
  {
    name: 'rows: a row that was never written is undefined',
    run: async ({ adapter }) => {
      assert.equal(await adapter.get('absent'), undefined)
      assert.deepEqual(await rowsOf(adapter), [])
    },
  },
  {
    name: 'rows: what was put comes back, and the newest of two puts',
    run: async ({ adapter }) => {
      await adapter.batch([put('a', '1'), put('b', '2')])
      await adapter.batch([put('a', '3')])
      assert.deepEqual([await adapter.get('a'), await adapter.get('b')], ['3', '2'])
    },
  },
  {
    name: 'rows: a deleted row is gone, and deleting an absent row is done',
    run: async ({ adapter }) => {
      await adapter.batch([put('a', '1')])
      await adapter.batch([del('a'), del('never')])
      assert.equal(await adapter.get('a'), undefined)
      assert.deepEqual(await rowsOf(adapter), [])
    },
  },
  {
    name: 'rows: an empty value is not an absent row',
    run: async ({ adapter }) => {
      await adapter.batch([put('empty', '')])
      assert.equal(await adapter.get('empty'), '')
      assert.deepEqual(await adapter.getMany(['empty', 'absent']), ['', undefined])
      assert.deepEqual(await rowsOf(adapter), [['empty', '']])
    },
  },
  {
    name: 'rows: any text is kept as it is',
    run: async ({ adapter }) => {
      const texts = [
        '\u0001\n\r\t"\\/ žluťoučký 日本語 ‮ \u2028 👩‍👩‍👧 𝒳 \ufeff \uffff',
        ' \n',
        'null',
        '007',
        '1e400',
        '{"b":1.0,"a":12345678901234567890}',
      ]
      await adapter.batch(texts.map((text, i) => put(`text/${i}`, text)))
      const keys = texts.map((_, i) => `text/${i}`)
      assert.deepEqual(await adapter.getMany(keys), texts)
      const rows = await rowsOf(adapter)
      assert.deepEqual(
        rows.map((row) => row[1]),
        texts,
      )
    },
  },
  {
    name: 'rows: keys that look alike or mean something elsewhere stay apart',
    run: async ({ adapter }) => {
      const keys = ['__proto__', 'constructor', '0', '00', '1e0', 'a', 'A', 'a ', ' a', 'a/', 'a//']
      keys.push('%', '_', '*', '?', "'", '"', '\\', '\\a', "';--", '$1', '../a', 'NUL', 'null')
      await adapter.batch(keys.map((key) => put(key, `<${key}>`)))
      assert.deepEqual(
        await adapter.getMany(keys),
        keys.map((key) => `<${key}>`),
      )
      for (const key of keys) assert.equal(await adapter.get(key), `<${key}>`)
      await adapter.batch([del('_'), del('%')])
      assert.equal((await rowsOf(adapter)).length, keys.length - 2)
    },
  },
  {
    name: 'rows: a key of 1,100 characters is kept, and found by its last one',
    run: async ({ adapter }) => {
      const stem = '/key'.repeat(275).slice(0, 1099)
      await adapter.batch([put(`${stem}a`, '1'), put(`${stem}b`, '2')])
      assert.deepEqual(await adapter.getMany([`${stem}b`, stem]), ['2', undefined])
      assert.deepEqual(await rowsOf(adapter, { gt: `${stem}a` }), [[`${stem}b`, '2']])
    },
  },
  {
    name: 'rows: a value of 16 MiB is kept',
    run: async ({ adapter }) => {
      // Nine bytes each time.
      const value = 'é0123456'.repeat(Math.floor((16 * MIB) / 9))
      await adapter.batch([put('big', value), put('small', '1')])
      assert.ok((await adapter.get('big')) === value, 'the value read differs')
      const rows = await rowsOf(adapter)
      assert.deepEqual(
        rows.map(([key, text]) => [key, text.length]),
        [
          ['big', value.length],
          ['small', 1],
        ],
      )
      assert.ok(rows[0]?.[1] === value, 'the value scanned differs')
    },
  },
]

/** Batches apply whole, in order. */
export const BATCH_CASES: readonly ConformanceCase[] = [
  {
    name: 'batches: the operations of a batch apply in their order',
    run: async ({ adapter }) => {
      await adapter.batch([put('a', '1'), del('a'), put('b', '1'), put('b', '2'), del('c')])
      await adapter.batch([del('d'), put('d', '1'), put('c', '1'), del('c'), put('c', '2')])
      assert.deepEqual(await rowsOf(adapter), [
        ['b', '2'],
        ['c', '2'],
        ['d', '1'],
      ])
    },
  },
  {
    name: 'batches: an empty batch is accepted',
    run: async ({ adapter }) => {
      await adapter.batch([])
      assert.deepEqual(await rowsOf(adapter), [])
    },
  },
  {
    name: 'batches: 10,000 operations make one batch',
    run: async ({ adapter }) => {
      const keys = Array.from({ length: 5_000 }, (_, i) => `k${String(i).padStart(5, '0')}`)
      await adapter.batch(keys.map((key) => put(key, 'old')))
      // Each row is touched twice in one batch: of even numbers the put wins, of odd the delete.
      const operations = keys.flatMap((key, i) =>
        i % 2 === 0 ? [del(key), put(key, 'new')] : [put(key, 'new'), del(key)],
      )
      await adapter.batch(operations)
      const expected = keys.filter((_, i) => i % 2 === 0).map((key) => [key, 'new'])
      assert.deepEqual(await rowsOf(adapter), expected)
    },
  },
  {
    name: 'batches: of 10,000 operations on one key the last one holds',
    run: async ({ adapter }) => {
      const operations = Array.from({ length: 10_000 }, (_, i) => put('key', String(i)))
      await adapter.batch(operations)
      assert.equal(await adapter.get('key'), '9999')
      await adapter.batch([...operations.slice(1), del('key')])
      assert.deepEqual(await rowsOf(adapter), [])
    },
  },
  {
    name: 'batches: 32 MiB make one batch',
    run: async ({ adapter }) => {
      const value = '01234567'.repeat(MIB / 2 - 1)
      const keys = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
      await adapter.batch(keys.map((key) => put(key, value)))
      const lengths = (await rowsOf(adapter)).map((row) => row[1].length)
      assert.deepEqual(lengths, Array(keys.length).fill(value.length))
    },
  },
  {
    name: 'batches: they apply in the order of the calls when none is awaited in between',
    run: async ({ adapter }) => {
      const batches: Promise<void>[] = []
      for (let i = 0; i < 300; i += 1) {
        // Sizes differ, so that a later batch could overtake an earlier one.
        const filler = Array.from({ length: (i * 37) % 50 }, (_, j) => put(`f/${j}`, `${i}`))
        batches.push(adapter.batch([...filler, put('key', `${i}`), put(`row${i % 7}`, `${i}`)]))
      }
      await Promise.all(batches)
      const keys = ['key', ...Array.from({ length: 7 }, (_, i) => `row${i}`)]
      const wanted = ['299', '294', '295', '296', '297', '298', '299', '293']
      assert.deepEqual(await adapter.getMany(keys), wanted)
    },
  },
  {
    name: 'batches: every read that is called after a batch resolved sees it',
    run: async ({ adapter }) => {
      for (let i = 0; i < 50; i += 1) {
        await adapter.batch([put('a', String(i)), put(`k/${i}`, 'x')])
        const [value, many, rows] = await Promise.all([
          adapter.get('a'),
          adapter.getMany([`k/${i}`, 'a']),
          rowsOf(adapter),
        ])
        assert.deepEqual([value, ...many, rows.length], [String(i), 'x', String(i), i + 2])
      }
    },
  },
  {
    name: 'batches: what the caller later does to its array changes nothing',
    run: async ({ adapter }) => {
      const operations = [put('a', '1'), put('b', '2')]
      const first = adapter.batch([put('x', 'x')])
      const second = adapter.batch(operations)
      operations.length = 0
      operations.push(put('c', '3'))
      await Promise.all([first, second])
      assert.deepEqual(await adapter.getMany(['a', 'b', 'c']), ['1', '2', undefined])
    },
  },
]

/** Many rows at once. */
export const GET_MANY_CASES: readonly ConformanceCase[] = [
  {
    name: 'getMany: answers in the order asked, absent and repeated keys included',
    run: async ({ adapter }) => {
      await adapter.batch([put('a', '1'), put('b', '2'), put('c', '3')])
      const values = await adapter.getMany(['c', 'none', 'a', 'c', 'aa', 'a'])
      assert.deepEqual(values, ['3', undefined, '1', '3', undefined, '1'])
    },
  },
  {
    name: 'getMany: no keys give no values',
    run: async ({ adapter }) => {
      assert.deepEqual(await adapter.getMany([]), [])
    },
  },
  {
    name: 'getMany: takes 5,000 keys',
    run: async ({ adapter }) => {
      const keys = Array.from({ length: 5_000 }, (_, i) => `k${(i * 7_919) % 5_000}`)
      const operations: BatchOperation[] = keys.map((key) => put(key, `<${key}>`))
      await adapter.batch(operations.filter((_, i) => i % 3 !== 0))
      const expected = keys.map((key, i) => (i % 3 !== 0 ? `<${key}>` : undefined))
      assert.deepEqual(await adapter.getMany(keys), expected)
    },
  },
  {
    name: 'getMany: shows one point of the order of batches written beside it',
    run: async ({ adapter }) => {
      const filler = Array.from({ length: 200 }, (_, i) => `n/${i}`)
      const keys = ['a', ...filler, 'z']
      await adapter.batch(keys.map((key) => put(key, '0')))
      const writer = startWriter(100, (i) => adapter.batch(keys.map((key) => put(key, `${i}`))))
      do {
        const before = writer.written()
        const values = new Set(await adapter.getMany(keys))
        assert.equal(values.size, 1, `one read saw several batches: ${[...values].join(', ')}`)
        assert.ok(Number([...values][0]) >= before, `${[...values][0]} read after ${before}`)
      } while (await writer.running())
      await writer.done
    },
  },
]
