import { describe, expect, test } from 'vitest'
import type { StoredRecord } from '../../../../src/core/data/entry.ts'
import { versionOf, withMarks } from '../../../../src/core/data/entry.ts'
import type { SentRow } from '../../../../src/store/replication/replication.ts'
import type { ReplicationStore } from '../../../../src/store/replication-store.ts'
import { ManualTime, openStore } from '../../../support/store.ts'

const LEADER = 'http://l'
const YEARS_10 = 315_576_000_000_000_000n

async function pendingRows(store: ReplicationStore): Promise<SentRow[]> {
  const rows = await store.pending(LEADER, 100, new Set())
  return rows.map(({ seq, record }) => ({ seq, key: record.key }))
}

async function records(store: ReplicationStore): Promise<Map<string, StoredRecord>> {
  const found = new Map<string, StoredRecord>()
  for await (const record of (await store.scan()).records) found.set(record.key, record)
  return found
}

function stampsOf(record: StoredRecord | undefined): bigint[] {
  if (record === undefined) return []
  return record.kind === 'entry' ? [record.created, record.updated] : [record.deleted]
}

describe('restamping', () => {
  test('gives refused records stamps in leader time, in order, and goes on owing them', async () => {
    const time = new ManualTime()
    const leaderTime = time.ns
    const store = await openStore({ time, leaderOf: () => LEADER })
    await store.set('sane', '0')
    time.ns += YEARS_10
    await store.set('first', '1')
    await store.set('sane', '2')
    await store.set('gone', '3')
    await store.delete('gone')
    await store.set('first', '4')
    const [sane] = stampsOf((await records(store)).get('sane'))
    const base = leaderTime + 1000n
    expect(await store.restamp(LEADER, await pendingRows(store), base)).toBe(3)
    const after = await records(store)
    // first was created, then sane updated, gone deleted, first updated.
    expect(stampsOf(after.get('first'))).toEqual([base + 1n, base + 4n])
    expect(stampsOf(after.get('sane'))).toEqual([sane, base + 2n])
    expect(stampsOf(after.get('gone'))).toEqual([base + 3n])
    expect((await pendingRows(store)).map(({ key }) => key)).toEqual(['sane', 'gone', 'first'])
    expect((await store.get('first'))?.data).toBe('4')
  })

  test('equal stamps stay equal: a glob delete is one moment', async () => {
    const time = new ManualTime()
    const base = time.ns
    const store = await openStore({ time, leaderOf: () => LEADER })
    time.ns += YEARS_10
    await store.set('items/a', '1')
    await store.set('items/b', '1')
    await store.delete('items/*')
    await store.restamp(LEADER, await pendingRows(store), base)
    const after = await records(store)
    expect(stampsOf(after.get('items/a'))).toEqual(stampsOf(after.get('items/b')))
  })

  test('leaves alone what changed since it was refused or is owed no more', async () => {
    const store = await openStore({ leaderOf: () => LEADER })
    await store.set('changed', '1')
    await store.set('settled', '1')
    const rows = await pendingRows(store)
    await store.set('changed', '2')
    await store.acknowledge(LEADER, rows, new Map())
    const before = await records(store)
    expect(await store.restamp(LEADER, rows, 5n)).toBe(0)
    expect(await records(store)).toEqual(before)
  })

  test('what was restamped wins over everything the leader held, and loses to later writes', async () => {
    const time = new ManualTime()
    const base = time.ns
    const store = await openStore({ time, leaderOf: () => LEADER })
    time.ns += YEARS_10
    await store.set('a', '1')
    await store.restamp(LEADER, await pendingRows(store), base)
    time.ns -= YEARS_10
    const { version } = await store.set('a', '2')
    const record = (await records(store)).get('a')
    expect(record === undefined ? 0n : versionOf(record)).toBe(version)
    expect(version).toBeGreaterThan(base + 1n)
  })

  test('has the next origin too where the leader has reached the stamp: it may hold later writes of the first', async () => {
    const store = await openStore({ leaderOf: () => LEADER })
    await store.set('a', '1')
    const before = (await records(store)).get('a')
    const [stamp = 0n] = stampsOf(before)
    expect(await store.restamp(LEADER, await pendingRows(store), stamp + 1000n)).toBe(1)
    const after = (await records(store)).get('a')
    expect(stampsOf(after)).toEqual(stampsOf(before))
    expect(after?.origin).toBe(`${before?.origin}-r1`)
  })

  test('leaves owed what lost since it was refused, for the leader to be shown', async () => {
    const store = await openStore({ leaderOf: () => LEADER })
    await store.set('a', '1')
    const rows = await pendingRows(store)
    const [before] = stampsOf((await records(store)).get('a'))
    const later = { kind: 'entry', key: 'a', created: (before ?? 0n) + 1n, data: '2' } as const
    const winner: StoredRecord = { ...later, updated: 0n, origin: 'o' }
    await store.merge([winner], { source: LEADER, leader: LEADER })
    expect(await store.restamp(LEADER, rows, 5n)).toBe(0)
    const pending = await store.pending(LEADER, 10, new Set())
    expect(pending).toMatchObject([{ record: { data: '1' }, isLost: true }])
  })
})

test('writes and deletes exceed what they replace, however far ahead that is', async () => {
  const time = new ManualTime()
  const store = await openStore({ time })
  const stamp = time.ns + YEARS_10
  const ahead = (key: string): StoredRecord => ({
    kind: 'entry',
    key,
    created: stamp,
    updated: 0n,
    origin: 'o',
    data: '1',
  })
  await store.merge([ahead('items/a'), ahead('items/b'), ahead('c')], { source: 's' })
  await store.set('items/sane', '1')
  expect((await store.set('c', '2')).version).toBe(stamp + 1n)
  await store.delete('items/*')
  await store.sweep('c', (entries) => entries)
  const after = await records(store)
  for (const key of ['items/a', 'items/b']) expect(stampsOf(after.get(key))).toEqual([stamp + 1n])
  expect(stampsOf(after.get('c'))).toEqual([stamp + 2n])
  expect(stampsOf(after.get('items/sane'))[0]).toBeLessThan(time.ns + 1000n)
  expect((await store.set('items/a', '3')).version).toBe(stamp + 2n)
})

describe('taking records stamped in the future', () => {
  const entry = (key: string, stamp: bigint, data = '1'): StoredRecord => ({
    kind: 'entry',
    key,
    created: stamp,
    updated: 0n,
    origin: 'o',
    data,
  })

  test('refuses them and keeps what it has', async () => {
    const store = await openStore()
    const outcomes = await store.merge([entry('a', 100n), entry('b', 101n)], {
      source: 's',
      notAfter: 100n,
    })
    expect(outcomes).toEqual(['applied', 'drift'])
    expect(await store.get('b')).toBeUndefined()
  })

  test('what it holds already is equal, and what loses is superseded, whatever the stamp', async () => {
    const store = await openStore()
    await store.merge([entry('a', 500n)], { source: 's' })
    const outcomes = await store.merge([entry('a', 500n), entry('a', 400n)], {
      source: 's',
      notAfter: 100n,
    })
    expect(outcomes).toEqual(['equal', 'superseded'])
  })

  test('a write over a record that is itself ahead is taken, a leap over it is not', async () => {
    const store = await openStore()
    await store.merge([entry('a', 500n)], { source: 's' })
    const options = { source: 's', notAfter: 100n }
    expect(await store.merge([entry('a', 501n)], options)).toEqual(['applied'])
    expect(await store.merge([entry('a', 2_000_000_000n)], options)).toEqual(['drift'])
  })

  test('a record that a mark of its key covers gives way to what carries the mark', async () => {
    const store = await openStore({ leaderOf: () => LEADER })
    const fromLeader = { source: LEADER, leader: LEADER }
    await store.merge([entry('a', 500n), entry('b', 500n)], fromLeader)
    const lower = [
      withMarks({ ...entry('a', 90n, '2'), origin: 'o-r1' }, '500@o'),
      withMarks({ ...entry('b', 90n, '2'), origin: 'x' }, '499@o'),
    ]
    expect(await store.merge(lower, fromLeader)).toEqual(['applied', 'superseded'])
    expect((await store.get('a'))?.data).toBe('2')
    expect(await store.merge([entry('a', 500n)], fromLeader)).toEqual(['superseded'])
    expect((await store.get('b'))?.data).toBe('1')
  })
})
