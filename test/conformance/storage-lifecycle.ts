/** What every method does in each state of an adapter's life; part of the storage suite. */

import assert from 'node:assert/strict'
import type { StorageAdapter } from '../../src/core/ports/storage-adapter.ts'
import { assertRejects, type ConformanceCase, drain, put, rowsOf } from './storage-case.ts'

const METHODS: Readonly<Record<string, (adapter: StorageAdapter) => Promise<unknown>>> = {
  get: (adapter) => adapter.get('kept'),
  getMany: (adapter) => adapter.getMany(['kept']),
  'getMany of nothing': (adapter) => adapter.getMany([]),
  batch: (adapter) => adapter.batch([put('late', '1')]),
  'batch of nothing': (adapter) => adapter.batch([]),
  // Called before the first turn of any promise, so that a throw is seen as such.
  iterate: (adapter) => drain(adapter.iterate()),
  'iterate with limit 0': (adapter) => drain(adapter.iterate({ limit: 0 })),
}

/** A state without service: how a new adapter comes near it, and the change begun right before the call. */
interface ClosedState {
  readonly prepare?: readonly ('open' | 'close')[]
  readonly change?: 'open' | 'close'
}

const CLOSED_STATES: Readonly<Record<string, ClosedState>> = {
  'before open': {},
  opening: { change: 'open' },
  closing: { prepare: ['open'], change: 'close' },
  closed: { prepare: ['open', 'close'] },
  'opening again': { prepare: ['open', 'close'], change: 'open' },
  'closing again': { prepare: ['open', 'close', 'open'], change: 'close' },
}

const stateCases = Object.entries(CLOSED_STATES).flatMap(([state, { prepare, change }]) =>
  Object.entries(METHODS).map(
    ([method, call]): ConformanceCase => ({
      name: `life: ${method} rejects with not_open, ${state}`,
      closed: true,
      run: async ({ adapter }) => {
        for (const step of prepare ?? []) await adapter[step]()
        const changing = change === undefined ? undefined : adapter[change]()
        await assertRejects(call(adapter), 'not_open', method)
        await changing
        await adapter.open()
        assert.equal(await adapter.get('late'), undefined, 'the refused batch was applied')
      },
    }),
  ),
)

const againCases = Object.entries(METHODS).map(
  ([method, call]): ConformanceCase => ({
    name: `life: ${method} works once open, and after close and open`,
    run: async ({ adapter }) => {
      await call(adapter)
      await adapter.close()
      await adapter.open()
      await call(adapter)
    },
  }),
)

const changeCases: readonly ConformanceCase[] = [
  {
    name: 'life: open twice is open once, close twice is close once',
    closed: true,
    run: async ({ adapter }) => {
      await Promise.all([adapter.open(), adapter.open()])
      await adapter.open()
      await adapter.batch([put('a', '1')])
      await Promise.all([adapter.close(), adapter.close()])
      await adapter.close()
      await assertRejects(adapter.get('a'), 'not_open', 'get')
    },
  },
  {
    name: 'life: open of an open adapter does not interrupt it',
    run: async ({ adapter }) => {
      const opening = adapter.open()
      await adapter.batch([put('a', '1')])
      assert.equal(await adapter.get('a'), '1')
      await opening
    },
  },
  {
    name: 'life: close before any open does nothing',
    closed: true,
    run: async ({ adapter }) => {
      await adapter.close()
      await adapter.open()
      assert.deepEqual(await rowsOf(adapter), [])
    },
  },
  {
    name: 'life: open and close called without waiting end in the state asked for last',
    closed: true,
    run: async ({ adapter }) => {
      const changes = [adapter.open(), adapter.close(), adapter.open()]
      await Promise.all(changes)
      await adapter.batch([put('a', '1')])
      changes.push(adapter.close(), adapter.open(), adapter.close())
      await Promise.all(changes)
      await assertRejects(adapter.get('a'), 'not_open', 'get')
      await adapter.open()
      assert.equal(await adapter.get('a'), '1')
    },
  },
  {
    name: 'life: an adapter opened again holds its rows',
    run: async ({ adapter }) => {
      await adapter.batch([put('a', '1'), put('b', '2')])
      await adapter.close()
      await adapter.open()
      assert.deepEqual(await rowsOf(adapter), [
        ['a', '1'],
        ['b', '2'],
      ])
    },
  },
  {
    name: 'life: nothing is damaged where nothing happened',
    run: async ({ adapter }) => {
      await adapter.batch([put('a', '1')])
      await adapter.close()
      await adapter.open()
      assert.equal(adapter.damage, undefined)
    },
  },
]

const runningCases: readonly ConformanceCase[] = [
  {
    name: 'life: close lets running batches and reads finish',
    run: async ({ adapter }) => {
      await adapter.batch([put('kept', 'x')])
      const batches = Array.from({ length: 50 }, (_, i) => adapter.batch([put(`k${i}`, 'x')]))
      const gets = Array.from({ length: 50 }, () => adapter.get('kept'))
      const many = Array.from({ length: 20 }, () => adapter.getMany(['none', 'kept']))
      const closing = adapter.close()
      await Promise.all([...batches, closing])
      assert.deepEqual(await Promise.all(gets), Array(50).fill('x'))
      assert.deepEqual(await Promise.all(many), Array(20).fill([undefined, 'x']))
      await adapter.open()
      assert.equal((await rowsOf(adapter)).length, 51)
    },
  },
  {
    name: 'life: a scan does not outlive close, not even when the adapter is opened again',
    run: async ({ adapter }) => {
      await adapter.batch(Array.from({ length: 5_000 }, (_, i) => put(`k${i}`, 'x')))
      const begun = adapter.iterate()[Symbol.asyncIterator]()
      await begun.next()
      const unread = adapter.iterate()
      await adapter.close()
      await adapter.open()
      const rest = async (): Promise<void> => {
        while ((await begun.next()).done !== true);
      }
      await assertRejects(rest(), 'not_open', 'a scan under way')
      await assertRejects(drain(unread), 'not_open', 'a scan that was not read')
    },
  },
]

export const LIFE_CASES: readonly ConformanceCase[] = [
  ...stateCases,
  ...againCases,
  ...changeCases,
  ...runningCases,
]
