import { describe, expect, test } from 'vitest'
import { StateError } from '../../../src/core/errors.ts'
import type {
  BatchOperation,
  BatchOptions,
  Durability,
  StorageCapabilities,
} from '../../../src/core/ports/storage-adapter.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { FakeTime } from '../../support/fake-time.ts'
import { openStore, type TestStoreOptions } from '../../support/store.ts'

/** A disk whose writes wait to be let through, and can be made to fail. */
class GatedStorage extends MemoryStorage {
  override readonly capabilities: StorageCapabilities = {
    durability: ['process', 'disk'],
    persistent: true,
  }
  readonly levels: (Durability | undefined)[] = []
  failing = false
  #gate: Promise<void> = Promise.resolve()
  #release: () => void = () => undefined

  hold(): void {
    this.#gate = new Promise((resolve) => {
      this.#release = resolve
    })
  }

  release(): void {
    this.#release()
  }

  override async batch(
    operations: readonly BatchOperation[],
    options?: BatchOptions,
  ): Promise<void> {
    await this.#gate
    if (this.failing) throw new StateError('storage_full', 'storage: no space left')
    this.levels.push(options?.durability)
    return super.batch(operations, { durability: 'process' })
  }
}

const MODES: [name: string, options: TestStoreOptions][] = [
  ['everything in memory', {}],
  ['no cache', { cacheBytes: 0 }],
]

describe.each(MODES)('durability per write, %s', (_name, options) => {
  test('memory is answered, announced and readable before the disk has it', async () => {
    const adapter = new GatedStorage()
    const store = await openStore({ ...options, adapter })
    const heard: number[] = []
    store.onCommit(({ seq }) => heard.push(seq))
    adapter.hold()
    await store.set('k/a', '1', { durability: 'memory' })
    expect(heard).toEqual([1])
    expect((await store.get('k/a'))?.data).toBe('1')
    expect(await adapter.get('e/k/a')).toBeUndefined()
    adapter.release()
    expect((await store.list('k/*')).map(({ data }) => data)).toEqual(['1'])
    await store.close()
    await adapter.open()
    expect(await adapter.get('e/k/a')).toContain('1')
  })

  test('process and disk are answered only once they are written, at that level', async () => {
    const adapter = new GatedStorage()
    const store = await openStore({ ...options, adapter })
    adapter.levels.length = 0
    for (const durability of ['process', 'disk'] as const) {
      adapter.hold()
      let isAnswered = false
      const write = store.set('a', '1', { durability }).then(() => {
        isAnswered = true
      })
      expect(await store.keys()).toEqual(durability === 'process' ? [] : ['a'])
      expect(isAnswered).toBe(false)
      adapter.release()
      await write
    }
    expect(adapter.levels).toEqual(['process', 'disk'])
  })

  test('writes of one batch take the strongest level among them', async () => {
    const adapter = new GatedStorage()
    const store = await openStore({ ...options, adapter })
    adapter.levels.length = 0
    const levels = ['memory', 'disk', 'process'] as const
    await Promise.all(levels.map((durability) => store.set(durability, '1', { durability })))
    expect(adapter.levels).toEqual(['disk'])
  })

  test('what was answered early and could not be written goes with the next write', async () => {
    const adapter = new GatedStorage()
    const store = await openStore({ ...options, adapter })
    adapter.failing = true
    await store.set('early', '1', { durability: 'memory' })
    await expect(store.set('late', '1')).rejects.toMatchObject({ code: 'storage_full' })
    // While the disk fails, nothing more is answered early.
    await expect(store.set('x', '1', { durability: 'memory' })).rejects.toMatchObject({
      code: 'storage_full',
    })
    expect((await store.get('early'))?.data).toBe('1')
    expect(await store.keys()).toEqual(['early'])
    adapter.failing = false
    await store.set('next', '1')
    expect(await store.keys()).toEqual(['early', 'next'])
    await store.close()
    const again = await openStore({ ...options, adapter })
    expect(await again.keys()).toEqual(['early', 'next'])
    expect(again.damageFindings).toEqual([])
  })

  test('and is tried again by itself', async () => {
    const adapter = new GatedStorage()
    const time = new FakeTime()
    const store = await openStore({ ...options, adapter, time })
    adapter.failing = true
    await store.set('early', '1', { durability: 'memory' })
    await time.advanceAsync(1500)
    adapter.failing = false
    expect(await adapter.get('e/early')).toBeUndefined()
    await time.advanceAsync(1500)
    expect(await adapter.get('e/early')).toContain('1')
  })

  test('a level the storage has not is refused, naming those it has', async () => {
    const store = await openStore({ ...options, adapter: new MemoryStorage() })
    await expect(store.set('a', '1', { durability: 'disk' })).rejects.toMatchObject({
      code: 'invalid_option',
      message: expect.stringContaining('one of: memory'),
    })
  })
})

describe('a refusal because of an earlier write of the same batch', () => {
  test('is told once that write is on disk, since a crash before would make it untrue', async () => {
    const adapter = new GatedStorage()
    const store = await openStore({ adapter })
    await store.set('a', '1')
    adapter.hold()
    const first = store.delete('a')
    let isTold = false
    const second = store.delete('a').catch((error: StateError) => {
      isTold = true
      return error.code
    })
    for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate)
    expect(isTold).toBe(false)
    adapter.release()
    await first
    expect(await second).toBe('not_found')
  })

  test('is not told when that write fails: both failed for the same reason', async () => {
    const adapter = new GatedStorage()
    const store = await openStore({ adapter })
    await store.set('a', '1')
    adapter.failing = true
    const answers = await Promise.allSettled([
      store.delete('a'),
      store.delete('a'),
      store.set('b', '1', { precondition: { kind: 'absent' } }),
      store.set('b', '2', { precondition: { kind: 'absent' } }),
    ])
    for (const answer of answers) {
      expect(answer).toMatchObject({ status: 'rejected', reason: { code: 'storage_full' } })
    }
    expect(await store.keys()).toEqual(['a'])
  })

  test('and one that depends on no write is told although the disk fails', async () => {
    const adapter = new GatedStorage()
    const store = await openStore({ adapter })
    adapter.failing = true
    await expect(store.delete('a')).rejects.toMatchObject({ code: 'not_found' })
  })
})

test('a store is settled when no write is under way, nor one that came meanwhile', async () => {
  const adapter = new GatedStorage()
  const store = await openStore({ adapter })
  await store.settled()
  adapter.hold()
  const first = store.set('a', '1')
  const answered: string[] = []
  const settled = store.settled().then(() => answered.push('settled'))
  await new Promise(setImmediate)
  const second = store.set('b', '1').then(() => answered.push('second'))
  await new Promise(setImmediate)
  expect(answered).toEqual([])
  adapter.release()
  await Promise.all([first, second, settled])
  expect(answered).toEqual(['second', 'settled'])
})

test('a write that changes nothing promises what it found at its level: it is synced', async () => {
  const adapter = new GatedStorage()
  const store = await openStore({ adapter })
  await store.set('k/a', '1')
  await store.delete('k/*')
  adapter.levels.length = 0
  expect(await store.delete('k/*', { durability: 'disk' })).toMatchObject({ deleted: 0 })
  expect(adapter.levels).toEqual(['disk'])
  await store.delete('k/*', { durability: 'disk' })
  expect(adapter.levels).toEqual(['disk'])
})
