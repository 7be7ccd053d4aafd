/** Durability, persistence, ownership and failures of the engine; part of the storage suite. */

import assert from 'node:assert/strict'
import type { Durability, ErrorCode } from '../../src/core/ports/storage-adapter.ts'
import {
  assertRejects,
  type ConformanceCase,
  del,
  put,
  rowsOf,
  type StorageCase,
} from './storage-case.ts'

const LEVELS: readonly Durability[] = ['memory', 'process', 'disk']
const FAILURES: readonly ErrorCode[] = ['storage_failed', 'storage_full']

/** Levels that a killed process must not undo, as far as this adapter offers them. */
function crashLevels({ adapter }: StorageCase): Durability[] {
  return adapter.capabilities.durability.filter((level) => level !== 'memory')
}

function unlessCrash(storage: StorageCase): string | undefined {
  if (!storage.adapter.capabilities.persistent) return 'the rows end with their process'
  return storage.crash === undefined ? 'the factory cannot kill the adapter (crash)' : undefined
}

function unlessPersistent({ adapter }: StorageCase): string | undefined {
  return adapter.capabilities.persistent ? undefined : 'the rows end with the adapter object'
}

export const DURABILITY_CASES: readonly ConformanceCase[] = [
  {
    name: 'durability: the levels offered are declared weakest first, each once',
    run: async ({ adapter }) => {
      const { durability } = adapter.capabilities
      const known = LEVELS.filter((level) => durability.includes(level))
      assert.ok(known.length > 0, 'no level is declared')
      assert.deepEqual(durability, known)
    },
  },
  {
    name: 'durability: each level is honoured when declared, else refused with nothing written',
    run: async ({ adapter }) => {
      for (const durability of LEVELS) {
        const last = await adapter.get('last')
        const operations = [put(durability, '1'), put('last', durability)]
        const writing = adapter.batch(operations, { durability })
        if (adapter.capabilities.durability.includes(durability)) {
          await writing
          assert.deepEqual(await adapter.getMany([durability, 'last']), ['1', durability])
        } else {
          await assertRejects(writing, 'invalid_option', `durability ${durability}`)
          assert.deepEqual(await adapter.getMany([durability, 'last']), [undefined, last])
        }
      }
      await adapter.close()
      await adapter.open()
      const rows = (await rowsOf(adapter)).map((row) => row[0])
      assert.deepEqual(rows, [...adapter.capabilities.durability, 'last'].sort())
    },
  },
  {
    name: 'durability: rows outlive the object when the adapter is persistent',
    skip: unlessPersistent,
    run: async (storage, { keep }) => {
      assert.ok(storage.reopen, 'the factory of a persistent adapter must have reopen')
      await storage.adapter.batch([put('a', '1'), put('b', '2')])
      await storage.adapter.batch([del('a')])
      await storage.adapter.close()
      const second = keep(storage.reopen())
      await second.open()
      assert.deepEqual(await rowsOf(second), [['b', '2']])
      await second.close()
      await storage.adapter.open()
      assert.deepEqual(await rowsOf(storage.adapter), [['b', '2']])
    },
  },
  {
    name: 'durability: rows end with the object when the adapter is not persistent',
    skip: ({ adapter }) =>
      adapter.capabilities.persistent ? 'the rows are persistent' : undefined,
    run: async ({ adapter }, { create, keep }) => {
      await adapter.batch([put('a', '1')])
      const other = keep((await create()).adapter)
      await other.open()
      assert.deepEqual(await rowsOf(other), [])
    },
  },
  {
    name: 'durability: two storages of the factory share nothing',
    run: async ({ adapter }, { create, keep }) => {
      const other = keep((await create()).adapter)
      await other.open()
      await adapter.batch([put('a', '1')])
      await other.batch([put('b', '1')])
      assert.deepEqual(await rowsOf(adapter), [['a', '1']])
      assert.deepEqual(await rowsOf(other), [['b', '1']])
    },
  },
  ...(['process', 'disk'] as const).map(
    (durability): ConformanceCase => ({
      name: `durability: a killed process loses no batch that resolved, level ${durability}`,
      skip: (storage) =>
        unlessCrash(storage) ??
        (crashLevels(storage).includes(durability) ? undefined : 'the level is not offered'),
      run: async (storage, { keep }) => {
        for (let i = 0; i < 60; i += 1) {
          await storage.adapter.batch(
            [put(`k${i}`, 'x'), del(`k${i - 1}`), put('newest', `${i}`)],
            {
              durability,
            },
          )
        }
        const next = keep(await crashed(storage))
        await next.open()
        assert.deepEqual(await rowsOf(next), [
          ['k59', 'x'],
          ['newest', '59'],
        ])
        await next.batch([put('after', '1')])
        assert.equal(await next.get('after'), '1')
      },
    }),
  ),
  {
    name: 'durability: a killed process leaves a first part of the batches, none of them torn',
    skip: unlessCrash,
    run: async (storage, { keep }) => {
      let resolved = 0
      const filler = 'x'.repeat(2_000)
      for (let i = 1; i <= 200; i += 1) {
        const names = ['a', 'm', 'z']
        const operations = names.map((name) => put(name, `${i} ${filler}`))
        const writing = storage.adapter.batch([...operations, put(`row/${i}`, 'x')])
        // What was under way may never be answered.
        writing.then(
          () => {
            resolved = i
          },
          () => undefined,
        )
        if (i === 100) await writing
      }
      const least = resolved
      const next = keep(await crashed(storage))
      await next.open()
      const values = (await next.getMany(['a', 'm', 'z'])).map((value) => value?.split(' ')[0])
      assert.equal(new Set(values).size, 1, `a batch is there in part: ${values.join(', ')}`)
      const newest = Number(values[0])
      assert.ok(newest >= least, `${newest} found, ${least} had resolved`)
      const rows = await rowsOf(next, { gte: 'row/', lt: 'row0' })
      assert.equal(rows.length, newest, 'a batch is missing before a later one')
    },
  },
]

async function crashed(storage: StorageCase): ReturnType<NonNullable<StorageCase['crash']>> {
  assert.ok(storage.crash)
  return storage.crash()
}

export const OWNER_CASES: readonly ConformanceCase[] = [
  {
    name: 'owner: a second adapter is refused with in_use, and served once the first has closed',
    skip: (storage) =>
      unlessPersistent(storage) ??
      (storage.createSecond === undefined
        ? 'the factory cannot make a second adapter (createSecond)'
        : undefined),
    run: async (storage, { keep }) => {
      assert.ok(storage.createSecond)
      await storage.adapter.batch([put('a', '1')])
      const second = keep(storage.createSecond())
      for (let i = 0; i < 2; i += 1) {
        await assertRejects(second.open(), 'in_use', 'open of a second adapter')
        await assertRejects(second.get('a'), 'not_open', 'get of an adapter that failed to open')
        await assertRejects(second.batch([put('b', '2')]), 'not_open', 'batch of the same')
      }
      await storage.adapter.batch([put('c', '3')])
      assert.equal((await rowsOf(storage.adapter)).length, 2)
      await storage.adapter.close()
      await second.open()
      assert.equal((await rowsOf(second)).length, 2)
      await assertRejects(storage.adapter.open(), 'in_use', 'open of the first adapter')
    },
  },
]

/** Cases whose factory can make the engine fail. */
function unlessDisturb({ disturb }: StorageCase): string | undefined {
  return disturb === undefined ? 'the factory cannot make the engine fail (disturb)' : undefined
}

export const FAILURE_CASES: readonly ConformanceCase[] = [
  {
    name: 'failures: a batch the engine refuses rejects with code and cause, and leaves nothing',
    skip: unlessDisturb,
    run: async (storage) => {
      assert.ok(storage.disturb)
      const { adapter } = storage
      await adapter.batch([put('a', '1'), put('b', '1')])
      const heal = await storage.disturb()
      try {
        for (let i = 0; i < 3; i += 1) {
          const operations = [put('a', '2'), del('b'), put(`new/${i}`, '2')]
          const error = await assertRejects(adapter.batch(operations), FAILURES, 'batch')
          assert.notEqual(error.cause, undefined, 'the error of the engine is not its cause')
          // Reads may fail too, but what they answer is true.
          const value = await adapter.get('b').catch((reason: unknown) => reason)
          if (value !== '1') await assertRejects(Promise.reject(value), FAILURES, 'get')
        }
      } finally {
        await heal()
      }
      const expected = [
        ['a', '1'],
        ['b', '1'],
      ]
      assert.deepEqual(await rowsOf(adapter), expected)
      await adapter.close()
      await adapter.open()
      assert.deepEqual(await rowsOf(adapter), expected)
    },
  },
  {
    name: 'failures: once the reason has passed, the adapter works without being opened again',
    skip: unlessDisturb,
    run: async (storage) => {
      assert.ok(storage.disturb)
      const { adapter } = storage
      const heal = await storage.disturb()
      try {
        await assertRejects(adapter.batch([put('a', '1')]), FAILURES, 'batch')
      } finally {
        await heal()
      }
      await adapter.batch([put('b', '2')])
      assert.deepEqual(await rowsOf(adapter), [['b', '2']])
    },
  },
]
