/** What every method of a storage adapter does in each state of its life; part of the storage suite. */

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isStateError } from '../../src/core/errors.ts'
import type { StorageAdapter } from '../../src/storage-adapter.ts'
import { put, rowsOf, type StorageCase, type StorageFactory } from './storage-case.ts'

const METHODS: Readonly<Record<string, (adapter: StorageAdapter) => Promise<unknown>>> = {
  get: (adapter) => adapter.get('kept'),
  batch: (adapter) => adapter.batch([put('late', '1')]),
  iterate: (adapter) => rowsOf(adapter),
}

/** A state without service: how a fresh adapter comes near it, and the change begun right before the call. */
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

/** Applies every state to every method. */
export function describeLifecycle(factory: StorageFactory): void {
  describe('lifecycle', () => {
    let current: StorageCase
    beforeEach(async () => {
      current = await factory.create()
    })
    afterEach(async () => {
      await current.adapter.close()
      await current.cleanup()
    })

    for (const [state, { prepare, change }] of Object.entries(CLOSED_STATES)) {
      for (const [method, call] of Object.entries(METHODS)) {
        it(`${method} rejects with not_open: ${state}`, async () => {
          for (const step of prepare ?? []) await current.adapter[step]()
          const changing = change === undefined ? undefined : current.adapter[change]()
          const calling = call(current.adapter)
          await expect(calling).rejects.toSatisfy((error) => isStateError(error, 'not_open'))
          await changing
          await current.adapter.open()
          expect(await current.adapter.get('late')).toBeUndefined()
        })
      }
    }

    for (const [method, call] of Object.entries(METHODS)) {
      it(`${method} works once open, and after close and open`, async () => {
        await current.adapter.open()
        await call(current.adapter)
        await current.adapter.close()
        await current.adapter.open()
        await call(current.adapter)
      })
    }

    describeChanges(() => current)
    describeRunning(() => current)
  })
}

function describeChanges(current: () => StorageCase): void {
  it('open twice is open once, close twice is close once', async () => {
    const { adapter } = current()
    await Promise.all([adapter.open(), adapter.open()])
    await adapter.open()
    await adapter.batch([put('a', '1')])
    await Promise.all([adapter.close(), adapter.close()])
    await adapter.close()
  })

  it('close before any open does nothing', async () => {
    await current().adapter.close()
  })

  it('open and close called without waiting end in the state asked for last', async () => {
    const { adapter } = current()
    const changes = [adapter.open(), adapter.close(), adapter.open()]
    await Promise.all(changes)
    await adapter.batch([put('a', '1')])
    changes.push(adapter.close(), adapter.open(), adapter.close())
    await Promise.all(changes)
    await expect(adapter.get('a')).rejects.toSatisfy((error) => isStateError(error, 'not_open'))
  })

  it('an adapter opened again holds its rows', async () => {
    const { adapter } = current()
    await adapter.open()
    await adapter.batch([put('a', '1'), put('b', '2')])
    await adapter.close()
    await adapter.open()
    expect(await rowsOf(adapter)).toEqual([
      ['a', '1'],
      ['b', '2'],
    ])
  })

  it('rows outlive the object exactly when the adapter declares to be persistent', async () => {
    const { adapter } = current()
    const reopen = current().reopen
    expect(reopen !== undefined).toBe(adapter.capabilities.persistent)
    if (reopen === undefined) return
    await adapter.open()
    await adapter.batch([put('a', '1')])
    await adapter.close()
    const second = reopen()
    await second.open()
    expect(await second.get('a')).toBe('1')
    await second.close()
  })
}

function describeRunning(current: () => StorageCase): void {
  it('close lets running batches and reads finish', async () => {
    const { adapter } = current()
    await adapter.open()
    await adapter.batch([put('kept', 'x')])
    const batches = Array.from({ length: 50 }, (_, i) => adapter.batch([put(`k${i}`, 'x')]))
    const reads = Array.from({ length: 50 }, () => adapter.get('kept'))
    const closing = adapter.close()
    await Promise.all([...batches, closing])
    expect(new Set(await Promise.all(reads))).toEqual(new Set(['x']))
    await adapter.open()
    expect(await rowsOf(adapter)).toHaveLength(51)
  })

  it('a scan does not outlive close, not even when the adapter is opened again', async () => {
    const { adapter } = current()
    await adapter.open()
    await adapter.batch(Array.from({ length: 5_000 }, (_, i) => put(`k${i}`, 'x')))
    const begun = adapter.iterate()[Symbol.asyncIterator]()
    await begun.next()
    const unread = adapter.iterate()[Symbol.asyncIterator]()
    await adapter.close()
    await adapter.open()
    const drain = async (): Promise<void> => {
      while (!(await begun.next()).done);
    }
    await expect(drain()).rejects.toSatisfy((error) => isStateError(error, 'not_open'))
    await expect(unread.next()).rejects.toSatisfy((error) => isStateError(error, 'not_open'))
  })
}
