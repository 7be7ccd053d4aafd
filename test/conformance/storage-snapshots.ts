/** What scans see of batches written beside them; part of the storage suite. */

import assert from 'node:assert/strict'
import type { Row } from '../../src/core/ports/storage-adapter.ts'
import { type ConformanceCase, del, drain, put, rowsOf, startWriter } from './storage-case.ts'

export const SNAPSHOT_CASES: readonly ConformanceCase[] = [
  {
    name: 'snapshots: a scan does not see batches called after it, even before its first row',
    run: async ({ adapter }) => {
      await adapter.batch([put('a', '1'), put('b', '1'), put('c', '1')])
      const rows = adapter.iterate()
      await adapter.batch([put('a', '2'), del('b'), put('d', '2')])
      assert.deepEqual(await drain(rows), [
        ['a', '1'],
        ['b', '1'],
        ['c', '1'],
      ])
      assert.deepEqual(await rowsOf(adapter), [
        ['a', '2'],
        ['c', '1'],
        ['d', '2'],
      ])
    },
  },
  {
    name: 'snapshots: rows deleted or changed ahead of a scan still come as they were',
    run: async ({ adapter }) => {
      const keys = Array.from({ length: 3_000 }, (_, i) => `k${String(i).padStart(5, '0')}`)
      for (const reverse of [false, true]) {
        await adapter.batch(keys.map((key) => put(key, 'before')))
        const scan = adapter.iterate({ reverse })[Symbol.asyncIterator]()
        const seen: Row[] = []
        const step = async (): Promise<boolean> => {
          const { done, value } = await scan.next()
          if (done !== true) seen.push(value)
          return done !== true
        }
        for (let i = 0; i < 10; i += 1) await step()
        await adapter.batch(
          keys.map((key, i) => (i % 2 === 0 ? del(key) : put(key, `after ${'x'.repeat(100)}`))),
        )
        await adapter.batch(keys.map((key) => put(`${key}+`, 'new')))
        while (await step());
        const expected = keys.map((key): Row => [key, 'before'])
        assert.deepEqual(seen, reverse ? expected.reverse() : expected)
        await adapter.batch(keys.flatMap((key) => [del(key), del(`${key}+`)]))
      }
    },
  },
  {
    name: 'snapshots: scans begun at different times each see their own time',
    run: async ({ adapter }) => {
      const scans: AsyncIterable<Row>[] = []
      for (let i = 0; i < 16; i += 1) {
        await adapter.batch([put('counter', String(i)), put(`row/${i}`, '')])
        scans.push(adapter.iterate())
      }
      const seen = await Promise.all(scans.map(drain))
      for (const [i, rows] of seen.entries()) {
        assert.deepEqual(rows[0], ['counter', String(i)])
        assert.equal(rows.length, i + 2)
      }
    },
  },
  {
    name: 'snapshots: a scan called among batches sees a first part of them in call order',
    run: async ({ adapter }) => {
      for (let round = 0; round < 6; round += 1) {
        const batches: Promise<void>[] = []
        const scans: Promise<{ called: number; rows: Row[] }>[] = []
        for (let i = 0; i < 40; i += 1) {
          const name = `${round}/${String(i).padStart(2, '0')}`
          batches.push(adapter.batch([put(name, 'x'), put('newest', name)]))
          if (i % 8 !== 7) continue
          const scan = drain(adapter.iterate())
          scans.push(scan.then((rows) => ({ called: round * 40 + i + 1, rows })))
        }
        const [seen] = await Promise.all([Promise.all(scans), Promise.all(batches)])
        for (const { called, rows } of seen) {
          const names = rows.flatMap(([key]) => (key === 'newest' ? [] : [key]))
          const newest = rows.find(([key]) => key === 'newest')?.[1]
          assert.equal(newest, names.at(-1), 'a batch is there in part')
          assert.ok(names.length >= round * 40, 'a batch that had resolved is not there')
          assert.ok(names.length <= called, 'a batch called after the scan is there')
          const expected = Array.from({ length: names.length }, (_, i) => i).map(
            (i) => `${Math.floor(i / 40)}/${String(i % 40).padStart(2, '0')}`,
          )
          assert.deepEqual(names, expected, 'a batch is missing among those seen')
        }
      }
    },
  },
  {
    name: 'snapshots: a scan never shows half of a batch while batches are written beside it',
    run: async ({ adapter }) => {
      const names = ['a', 'm', 'z']
      const filler = Array.from({ length: 3_000 }, (_, i) => put(`n/${i}`, 'x'))
      await adapter.batch([...filler, ...names.map((name) => put(name, '0'))])
      const writer = startWriter(150, (i) => adapter.batch(names.map((name) => put(name, `${i}`))))
      do {
        const before = writer.written()
        const rows = new Map(await rowsOf(adapter))
        const values = new Set(names.map((name) => rows.get(name)))
        assert.equal(values.size, 1, `one scan saw several batches: ${[...values].join(', ')}`)
        assert.ok(Number([...values][0]) >= before, 'a batch that had resolved is not there')
      } while (await writer.running())
      await writer.done
    },
  },
]
