/** Batches and conditions at the store: rows, commits, pending changes. */

import { describe, expect, test } from 'vitest'
import type { Commit, Entry } from '../../../../src/core/data/entry.ts'
import { versionOf } from '../../../../src/core/data/entry.ts'
import { holds, type Precondition } from '../../../../src/core/data/precondition.ts'
import { MemoryStorage } from '../../../../storage-adapters/memory/memory.ts'
import { fc } from '../../../support/property.ts'
import { openStore } from '../../../support/store.ts'

describe('a batch', () => {
  test('is one commit with one change per key, each from the state before it', async () => {
    const store = await openStore()
    await store.set('gone', '1')
    const commits: Commit[] = []
    store.onCommit((commit) => commits.push(commit))
    await store.batch([
      { op: 'set', key: 'a', json: '1' },
      { op: 'set', key: 'a', json: '2' },
      { op: 'update', key: 'a', change: ({ data }) => `[${data}]` },
      { op: 'delete', key: 'gone' },
      { op: 'set', key: 'b', json: '1' },
      { op: 'delete', key: 'b' },
    ])
    expect(commits).toHaveLength(1)
    const changes = commits[0]?.changes.map(({ key, before, after }) => [
      key,
      before?.data,
      after.kind === 'entry' ? after.data : after.kind,
    ])
    expect(changes).toEqual([
      ['a', undefined, '[2]'],
      ['gone', '1', 'tombstone'],
      ['b', undefined, 'tombstone'],
    ])
    const entry = await store.get('a')
    expect(entry && entry.updated > entry.created).toBe(true)
  })

  test('is all there after a restart, and owed to the leaders of its keys', async () => {
    const adapter = new MemoryStorage()
    const before = await openStore({ adapter, name: 'n' })
    before.setLeaderOf((key) => (key.startsWith('l/') ? 'http://leader' : undefined))
    await before.batch([
      { op: 'set', key: 'l/a', json: '1' },
      { op: 'push', key: 'l/*', json: '2' },
      { op: 'set', key: 'own', json: '3' },
      { op: 'set', key: 'l/a', json: '4' },
    ])
    expect(before.pendingCount('http://leader')).toBe(2)
    const pending = await before.pending('http://leader', 10, new Set())
    const [first, second] = pending.map(({ record }) => record)
    // In the order in which they were made: a leader takes what comes out of turn for a repetition.
    expect(first).toMatchObject({ data: '2' })
    expect(second).toMatchObject({ key: 'l/a', data: '4' })
    const keys = await before.keys()
    await before.close()
    const after = await openStore({ adapter, name: 'n' })
    expect(await after.keys()).toEqual(keys)
    expect((await after.get('l/a'))?.data).toBe('4')
  })

  test('gives the version that its last write of a key has', async () => {
    const store = await openStore()
    const results = await store.batch([
      { op: 'set', key: 'a', json: '1' },
      { op: 'set', key: 'b', json: '1' },
      { op: 'update', key: 'a', change: () => '2' },
    ])
    const entry = await store.get('a')
    expect(results[2]?.version).toBe(entry && versionOf(entry))
    expect(results.map(({ key }) => key)).toEqual(['a', 'b', 'a'])
  })

  test('waits in line with other writes, and its failure is its own', async () => {
    const store = await openStore()
    const [a, batch, b] = await Promise.allSettled([
      store.set('a', '1'),
      store.batch([
        { op: 'set', key: 'b', json: '1', precondition: { kind: 'present' } },
        { op: 'delete', key: 'a' },
      ]),
      store.set('b', '2', { precondition: { kind: 'absent' } }),
    ])
    expect([a.status, batch.status, b.status]).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(await store.keys()).toEqual(['a', 'b'])
  })
})

describe('preconditions', () => {
  test('of writes made together see each other in order', async () => {
    const store = await openStore()
    const create = { precondition: { kind: 'absent' } } as const
    const outcomes = await Promise.allSettled(
      ['1', '2', '3'].map((json) => store.set('a', json, create)),
    )
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected'])
    expect((await store.get('a'))?.data).toBe('1')
  })

  test('count a deleted key as absent', async () => {
    const store = await openStore()
    const { version } = await store.set('a', '1')
    await store.delete('a')
    const old = store.set('a', '2', { precondition: { kind: 'version', version } })
    await expect(old).rejects.toMatchObject({ code: 'precondition_failed' })
    await store.set('a', '3', { precondition: { kind: 'absent' } })
    expect((await store.get('a'))?.data).toBe('3')
  })

  test('and their opposites never both hold', () => {
    const versions = fc.array(fc.bigInt(1n, 3n), { maxLength: 3 })
    const stamp = fc.option(fc.bigInt(1n, 3n), { nil: undefined })
    fc.assert(
      fc.property(stamp, versions, (version, list) => {
        const entry = version === undefined ? undefined : entryAt(version)
        const check = (condition: Precondition): boolean => holds(condition, entry)
        expect(check({ kind: 'absent' })).toBe(!check({ kind: 'present' }))
        expect(check({ kind: 'any-of', versions: list })).toBe(
          !check({ kind: 'none-of', versions: list }),
        )
        expect(check({ kind: 'all', conditions: [{ kind: 'absent' }, { kind: 'present' }] })).toBe(
          false,
        )
        expect(check({ kind: 'all', conditions: [] })).toBe(true)
      }),
    )
  })
})

function entryAt(created: bigint): Entry {
  return { kind: 'entry', key: 'a', created, updated: 0n, origin: 'o', data: '1' }
}
