import { describe, expect, test } from 'vitest'
import type { Commit } from '../../../src/core/data/entry.ts'
import { versionOf } from '../../../src/core/data/entry.ts'
import { StateError } from '../../../src/core/errors.ts'
import { matchKey } from '../../../src/core/keys/key.ts'
import type { BatchOperation } from '../../../src/core/ports/storage-adapter.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { fc } from '../../support/property.ts'
import { ManualTime, openStore } from '../../support/store.ts'

describe('stamps', () => {
  test('a new key has updated 0; an overwrite keeps created and moves updated', async () => {
    const store = await openStore()
    await store.set('a', '1')
    const first = await store.get('a')
    await store.set('a', '2')
    const second = await store.get('a')
    expect(first?.updated).toBe(0n)
    expect(second?.created).toBe(first?.created)
    expect(second && second.updated > second.created).toBe(true)
  })

  test('a key written again after its delete has a new created and updated 0', async () => {
    const store = await openStore()
    await store.set('a', '1')
    const first = await store.get('a')
    await store.delete('a')
    await store.set('a', '1')
    const again = await store.get('a')
    expect(again && first && again.created > first.created).toBe(true)
    expect(again?.updated).toBe(0n)
  })

  test('a push makes an index of lower-case hex just before its created stamp', async () => {
    const store = await openStore()
    const { index, key } = await store.push('items/*', '1')
    const entry = await store.get(key)
    expect(key).toBe(`items/${index}`)
    expect(BigInt(`0x${index}`)).toBe((entry?.created ?? 0n) - 1n)
  })

  test('stamps go up although the wall clock steps back over a restart', async () => {
    const adapter = new MemoryStorage()
    const time = new ManualTime()
    const before = await openStore({ adapter, time })
    await before.set('a', '1')
    await before.set('a', '2')
    const version = versionOf(
      (await before.get('a')) ?? { kind: 'tombstone', key: '', deleted: 0n, origin: '' },
    )
    await before.close()
    time.ns -= 3_600_000_000_000n
    const after = await openStore({ adapter, time })
    const { version: next } = await after.set('b', '1')
    expect(next > version).toBe(true)
  })
})

describe('reading', () => {
  test('lists are newest first; oldest reverses; a limit cuts', async () => {
    const store = await openStore()
    for (const key of ['t/a', 't/b', 't/c', 'u/x', 't/a/deep']) await store.set(key, '1')
    expect(keysOf(await store.list('t/*'))).toEqual(['t/c', 't/b', 't/a'])
    expect(keysOf(await store.list('t/*', { order: 'oldest', limit: 2 }))).toEqual(['t/a', 't/b'])
    expect(keysOf(await store.list('t/*', { limit: 1 }))).toEqual(['t/c'])
    expect(keysOf(await store.list('*/*/deep'))).toEqual(['t/a/deep'])
    expect(keysOf(await store.list('t/a*'))).toEqual(['t/a'])
  })

  test('a glob delete removes what matches and nothing deeper', async () => {
    const store = await openStore()
    for (const key of ['t/a', 't/b', 't/a/b', 'u/x']) await store.set(key, '1')
    expect(await store.delete('t/*')).toMatchObject({ deleted: 2 })
    expect(await store.keys()).toEqual(['t/a/b', 'u/x'])
    expect(await store.delete('t/*')).toMatchObject({ deleted: 0 })
  })

  test('a glob delete covers a write of the same turn that came before it', async () => {
    const store = await openStore()
    const done = [store.set('t/a', '1'), store.delete('t/*'), store.set('t/b', '1')]
    await Promise.all(done)
    expect(await store.keys()).toEqual(['t/b'])
  })
})

describe('refusals', () => {
  test.each([
    ['set', (store: ReplicationStore) => store.set('a b', '1'), 'invalid_key'],
    ['set on a glob', (store: ReplicationStore) => store.set('a/*', '1'), 'invalid_glob'],
    ['push on a key', (store: ReplicationStore) => store.push('a', '1'), 'invalid_glob'],
    ['empty data', (store: ReplicationStore) => store.set('a', ''), 'invalid_json'],
    ['delete of an absent key', (store: ReplicationStore) => store.delete('a'), 'not_found'],
    [
      'update of an absent key',
      (store: ReplicationStore) => store.update('a', () => '1'),
      'not_found',
    ],
  ])('%s is refused with its code', async (_name, act, code) => {
    const store = await openStore()
    await expect(act(store)).rejects.toMatchObject({ code })
  })

  test('what an update throws fails that write alone', async () => {
    const store = await openStore()
    await store.set('a', '1')
    const failing = store.update('a', () => {
      throw new StateError('merge_conflict', 'no')
    })
    const passing = store.set('b', '1')
    await expect(failing).rejects.toMatchObject({ code: 'merge_conflict' })
    await passing
    expect((await store.get('a'))?.data).toBe('1')
  })

  test('writes are refused beyond the waiting limit, and earlier ones still land', async () => {
    const store = await openStore({ maxWaitingOperations: 2 })
    const results = await Promise.allSettled(['a', 'b', 'c'].map((key) => store.set(key, '1')))
    expect(results.map((result) => result.status)).toEqual(['fulfilled', 'fulfilled', 'rejected'])
    expect(await store.keys()).toEqual(['a', 'b'])
  })

  test('before open and after close every write is refused', async () => {
    const store = await openStore()
    await store.close()
    await expect(store.set('a', '1')).rejects.toMatchObject({ code: 'not_open' })
    await expect(store.get('a')).rejects.toMatchObject({ code: 'not_open' })
  })
})

/** Fails the next batch on demand, as a full disk would. */
class FailingStorage extends MemoryStorage {
  failNext = false

  override async batch(operations: readonly BatchOperation[]): Promise<void> {
    if (this.failNext) {
      this.failNext = false
      throw new StateError('storage_failed', 'disk full')
    }
    return super.batch(operations)
  }
}

describe('failures', () => {
  test('a failed batch is answered with the error, seen by nobody, and the next one works', async () => {
    const adapter = new FailingStorage()
    const store = await openStore({ adapter })
    const commits: Commit[] = []
    store.onCommit((commit) => commits.push(commit))
    adapter.failNext = true
    await expect(store.set('a', '1')).rejects.toMatchObject({ code: 'storage_failed' })
    expect(await store.get('a')).toBeUndefined()
    expect(commits).toEqual([])
    await store.set('a', '2')
    expect((await store.get('a'))?.data).toBe('2')
    expect(commits).toHaveLength(1)
  })

  test('a listener that throws fails neither the write nor the other listeners', async () => {
    const store = await openStore()
    const heard: number[] = []
    store.onCommit(() => {
      throw new Error('broken listener')
    })
    store.onCommit((commit) => heard.push(commit.seq))
    await store.set('a', '1')
    expect(heard).toEqual([1])
  })

  test('data of a newer format is refused, not misread', async () => {
    const adapter = new MemoryStorage()
    await adapter.open()
    await adapter.batch([{ type: 'put', key: 'm/format', value: '4' }])
    await expect(openStore({ adapter })).rejects.toMatchObject({ code: 'format_unsupported' })
  })
})

const KEYS = ['a', 'b', 't/a', 't/b', 't/c', 't/a/b', 'u/a-1', 'u/b_2', 'u/c.3']
const operation = fc.oneof(
  fc.record({ type: fc.constant('set' as const), key: fc.constantFrom(...KEYS), value: fc.nat() }),
  fc.record({
    type: fc.constant('delete' as const),
    key: fc.constantFrom(...KEYS, 't/*', '*', 'u/*', '*/*'),
  }),
  fc.record({
    type: fc.constant('push' as const),
    key: fc.constantFrom('t/*', 'u/*'),
    value: fc.nat(),
  }),
)

describe('against a model', () => {
  test.each([
    ['everything in memory', undefined],
    ['a small cache', 900],
    ['no cache', 0],
  ])('state, change log and a restart agree with a plain map: %s', async (_name, cacheBytes) => {
    const cache = cacheBytes === undefined ? {} : { cacheBytes }
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(operation, { maxLength: 6 }), { maxLength: 8 }),
        async (turns) => {
          const adapter = new MemoryStorage()
          const store = await openStore({
            adapter,
            tailRows: 4,
            maxBatchOperations: 4,
            ...cache,
          })
          const model = new Map<string, string>()
          for (const turn of turns) {
            const [pushes, others] = [isPush, (step: Step) => !isPush(step)].map((kind) =>
              turn.filter(kind),
            )
            await Promise.all((others ?? []).map((step) => act(store, model, step)))
            // The model learns a pushed key only from the answer, so pushes come last in a turn.
            for (const step of pushes ?? []) await act(store, model, step)
          }
          expect(await contents(store)).toEqual(sorted(model))
          expect(await replay(store)).toEqual(sorted(model))
          await store.close()
          const reopened = await openStore({ adapter, ...cache })
          expect(await contents(reopened)).toEqual(sorted(model))
          expect(await replay(reopened)).toEqual(sorted(model))
        },
      ),
      { numRuns: 200 },
    )
  })
})

type Step = { type: 'set' | 'push'; key: string; value: number } | { type: 'delete'; key: string }

const isPush = (step: Step): boolean => step.type === 'push'

async function act(store: ReplicationStore, model: Map<string, string>, step: Step): Promise<void> {
  if (step.type === 'set') {
    model.set(step.key, String(step.value))
    await store.set(step.key, String(step.value))
  } else if (step.type === 'push') {
    model.set((await store.push(step.key, String(step.value))).key, String(step.value))
  } else {
    for (const key of model.keys()) if (matchKey(step.key, key)) model.delete(key)
    await store
      .delete(step.key)
      .catch((error) => expect(error).toMatchObject({ code: 'not_found' }))
  }
}

/** What a reader of the whole change log, in pages of three, ends up with. */
async function replay(store: ReplicationStore): Promise<[string, string][]> {
  const state = new Map<string, string>()
  for (let after = 0; ; ) {
    const page = await store.log(after, 3)
    for (const { record } of page.rows) {
      if (record.kind === 'entry') state.set(record.key, record.data)
      else state.delete(record.key)
    }
    if (page.through === after) return sorted(state)
    after = page.through
  }
}

async function contents(store: ReplicationStore): Promise<[string, string][]> {
  const state = new Map<string, string>()
  for (const key of await store.keys()) state.set(key, (await store.get(key))?.data ?? '')
  return sorted(state)
}

function sorted(map: Map<string, string>): [string, string][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1))
}

function keysOf(entries: readonly { key: string }[]): string[] {
  return entries.map((entry) => entry.key)
}
