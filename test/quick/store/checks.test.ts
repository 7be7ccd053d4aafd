/** One check of records, whatever way they come into a store. */
import { describe, expect, it } from 'vitest'
import { LATEST_STAMP } from '../../../src/core/data/clock.ts'
import type { Entry, StoredRecord } from '../../../src/core/data/entry.ts'
import type { StateError } from '../../../src/core/errors.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import { openStore } from '../../support/store.ts'

const NOW = 1_700_000_000_000_000_000n
const LONG_KEY = 'k'.repeat(1025)
const DEEP_KEY = Array(33).fill('s').join('/')

function entry(fields: Partial<Entry> = {}): Entry {
  return {
    kind: 'entry',
    key: 'a',
    created: NOW,
    updated: 0n,
    origin: 'peer',
    data: '1',
    ...fields,
  }
}

function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'taken',
    (error: StateError) => error.code,
  )
}

const WRONG: readonly [name: string, record: StoredRecord][] = [
  ['an origin with a line feed', entry({ origin: 'a\nb' })],
  ['an origin with a space', entry({ origin: 'a b' })],
  ['an origin with a dot', entry({ origin: 'my.app' })],
  ['an empty origin', entry({ origin: '' })],
  ['an origin of 65 characters', entry({ origin: 'o'.repeat(65) })],
  ['a stamp beyond the year 2200', entry({ updated: LATEST_STAMP + 1n })],
  ['a created stamp beyond the year 2200', entry({ created: LATEST_STAMP + 1n })],
  ['a stamp below 0', entry({ created: -1n })],
  ['a key that is none', entry({ key: 'a//b' })],
  ['a glob for a key', entry({ key: 'a/*' })],
  ['a key of 1,025 bytes', entry({ key: LONG_KEY })],
  ['a key of 33 segments', entry({ key: DEEP_KEY })],
  ['no data', entry({ data: '' })],
  ['data with a raw line feed', entry({ data: '{\n}' })],
  ['half a surrogate pair', entry({ data: '"\ud800"' })],
  ['a field with a wrong name', entry({ fields: { Wrong: '1' } })],
  ['marks that are none', entry({ fields: { marks: 'nonsense' } })],
  ['a tombstone with a wrong origin', { kind: 'tombstone', key: 'a', deleted: NOW, origin: 'a b' }],
  [
    'a tombstone of a key never held',
    { kind: 'tombstone', key: LONG_KEY, deleted: NOW, origin: 'p' },
  ],
]

describe('a merge', () => {
  it.each(WRONG)('refuses %s, and only that record', async (_name, wrong) => {
    const store = await openStore()
    const good = entry({ key: 'good' })
    expect(await store.merge([wrong, good], { source: 'peer' })).toEqual(['refused', 'applied'])
    expect(await store.keys()).toEqual(['good'])
    await store.close()
  })

  it('refuses a value above the limit, and takes one at it', async () => {
    const store = await openStore({ maxValueBytes: 8 })
    const records = [entry({ data: '"äöü1"' }), entry({ key: 'b', data: '"123456"' })]
    expect(await store.merge(records, { source: 'peer' })).toEqual(['refused', 'applied'])
    await store.close()
  })

  it('takes what a leader holds whatever its size, so that both go on holding the same', async () => {
    const store = await openStore({ maxValueBytes: 8, leaderOf: () => 'leader' })
    const records = [
      entry({ data: '"1234567"' }),
      entry({ key: LONG_KEY }),
      entry({ origin: 'a b' }),
    ]
    const options = { source: 'leader', leader: 'leader' }
    expect(await store.merge(records, options)).toEqual(['applied', 'applied', 'refused'])
    await store.close()
  })
})

describe('a value that is nested deeper, or has more members, than is taken', () => {
  const jsonBounds = { maxDepth: 3, maxMembers: 6 }
  const WIDE = '[1,2,3,4,5,6,7]'
  const greater: readonly [name: string, code: string, json: string][] = [
    ['deeper', 'invalid_json', '[[[[]]]]'],
    ['wider', 'too_large', WIDE],
  ]

  it.each(greater)('%s: is refused of a local write (%s)', async (_name, code, json) => {
    const store = await openStore({ jsonBounds })
    await store.set('held', '{}')
    const writes = [
      store.set('a', json),
      store.push('a/*', json),
      store.update('held', () => json),
      store.batch([{ op: 'set', key: 'a', json }]),
      store.batch([{ op: 'update', key: 'held', change: () => json }]),
    ]
    const codes = await Promise.all(writes.map((write) => codeOf(write)))
    expect(codes).toEqual(Array(writes.length).fill(code))
    expect(await store.keys()).toEqual(['held'])
    await store.close()
  })

  it.each(greater)('%s: is left out of what others send, but for a leader', async (...args) => {
    const store = await openStore({ jsonBounds, leaderOf: () => 'leader' })
    const records = [entry({ data: args[2] }), entry({ key: 'b' })]
    expect(await store.merge(records, { source: 'peer' })).toEqual(['refused', 'applied'])
    const options = { source: 'leader', leader: 'leader' }
    expect(await store.merge(records.slice(0, 1), options)).toEqual(['applied'])
    await store.close()
  })

  it('can be replaced by one that is no greater, once it is held', async () => {
    const store = await openStore({ jsonBounds, leaderOf: () => 'leader' })
    await store.merge([entry({ data: WIDE })], { source: 'leader', leader: 'leader' })
    expect(await codeOf(store.set('a', '[1,2,3,4,5,6,7,8]'))).toBe('too_large')
    expect(await codeOf(store.set('a', '[[[[1]]]]'))).toBe('invalid_json')
    expect(await codeOf(store.set('a', WIDE.replace('7', '8')))).toBe('taken')
    expect(await codeOf(store.set('a', '[1]'))).toBe('taken')
    expect(await codeOf(store.set('a', WIDE))).toBe('too_large')
    await store.close()
  })
})

/** A store that holds a greater value and longer keys than are taken now. */
async function storeOfBefore(): Promise<ReplicationStore> {
  const store = await openStore({ maxValueBytes: 8, leaderOf: () => 'leader' })
  const records = [entry({ key: 'big', data: '"123456789"' }), entry({ key: LONG_KEY })]
  await store.merge(records, { source: 'leader', leader: 'leader' })
  return store
}

describe('a local write', () => {
  const writes: readonly [string, string, (store: ReplicationStore) => Promise<unknown>][] = [
    ['set: a long key', 'invalid_key', (store) => store.set(LONG_KEY, '1')],
    ['set: a deep key', 'invalid_key', (store) => store.set(DEEP_KEY, '1')],
    ['push: a long key', 'invalid_key', (store) => store.push(`${'k'.repeat(1010)}/*`, '1')],
    ['set: a great value', 'too_large', (store) => store.set('a', '"1234567"')],
    [
      'write: raw white space',
      'invalid_json',
      (store) => store.write([{ op: 'set', key: 'a', json: '{\n}' }]),
    ],
    ['push: a great value', 'too_large', (store) => store.push('a/*', '"1234567"')],
    ['update: a great value', 'too_large', (store) => store.update('held', () => '"1234567"')],
    [
      'batch: a great value',
      'too_large',
      (store) => store.batch([{ op: 'set', key: 'a', json: '"1234567"' }]),
    ],
  ]

  it.each(writes)(
    '%s is refused (%s) and nothing else of its batch',
    async (_name, code, write) => {
      const store = await openStore({ maxValueBytes: 8 })
      await store.set('held', '1')
      const [refused, taken] = await Promise.all([
        codeOf(write(store)),
        codeOf(store.set('b', '2')),
      ])
      expect({ refused, taken }).toEqual({ refused: code, taken: 'taken' })
      expect(await store.keys()).toEqual(['b', 'held'])
      await store.close()
    },
  )

  it('names the operation of a batch that is refused', async () => {
    const store = await openStore({ maxValueBytes: 8 })
    const batch = store.batch([
      { op: 'set', key: 'a', json: '1' },
      { op: 'set', key: 'b', json: '"1234567"' },
    ])
    await expect(batch).rejects.toThrow(/operations\[1\].*9 bytes.*8/)
    await store.close()
  })

  it('leaves greater values and longer keys of before readable, deletable and to be made smaller', async () => {
    const store = await storeOfBefore()
    expect((await store.get('big'))?.data).toBe('"123456789"')
    expect((await store.get(LONG_KEY))?.data).toBe('1')
    expect(await codeOf(store.set('big', '"1234567890"'))).toBe('too_large')
    expect(await codeOf(store.set('big', '"12345678"'))).toBe('taken')
    expect(await codeOf(store.set(LONG_KEY, '2'))).toBe('invalid_key')
    expect(await codeOf(store.delete(LONG_KEY))).toBe('taken')
    expect(await codeOf(store.delete('big'))).toBe('taken')
    await store.close()
  })
})
