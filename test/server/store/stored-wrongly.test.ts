/** Records that an earlier release stored, and that no other node takes. */
import { describe, expect, it } from 'vitest'
import { standInOrigin } from '../../../src/core/data/stand-in-origin.ts'
import { encodeRecord, metaRow, recordRow } from '../../../src/store/format/rows.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { openStore, type TestStoreOptions } from '../../support/store.ts'
import { waitFor } from '../../support/wait.ts'

const STAMP = 1_690_000_000_000_000_000n
const LATE = 8_000_000_000_000_000_000n
const FIELDS = { marks: `${STAMP}@other` }
const ORIGINS: readonly [key: string, origin: string][] = [
  ['w/dot', 'my.app'],
  ['w/space', 'my app'],
  ['w/line', 'a\nb'],
  ['w/long', 'o'.repeat(100)],
]

/** A storage as the release before left it, with rows that it took by its open doors. */
async function storageOfBefore(): Promise<MemoryStorage> {
  const adapter = new MemoryStorage()
  const store = await openStore({ adapter })
  for (const [key] of ORIGINS) await store.set(key, '{"n":1}')
  await store.set('w/late', '1')
  await store.set('w/gone', '1')
  await store.set('good', '1')
  const seqs = new Map<string, number>()
  for await (const { seq, record } of (await store.scanRows()).rows) seqs.set(record.key, seq)
  await store.close()
  await adapter.open()
  const seq = (key: string): number => seqs.get(key) ?? 0
  await adapter.batch([
    ...ORIGINS.map(([key, origin]) => ({
      type: 'put' as const,
      key: recordRow(key),
      value: encodeRecord(
        {
          kind: 'entry',
          key,
          created: STAMP,
          updated: 0n,
          origin,
          data: '{"n":1}',
          fields: FIELDS,
        },
        seq(key),
      ),
    })),
    {
      type: 'put',
      key: recordRow('w/late'),
      value: encodeRecord(
        { kind: 'entry', key: 'w/late', created: LATE, updated: 0n, origin: 'peer', data: '1' },
        seq('w/late'),
      ),
    },
    {
      type: 'put',
      key: recordRow('w/gone'),
      value: encodeRecord(
        { kind: 'tombstone', key: 'w/gone', deleted: STAMP, origin: 'my app' },
        seq('w/gone'),
      ),
    },
    { type: 'del', key: metaRow('checked') },
  ])
  return adapter
}

async function contents(store: ReplicationStore): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for await (const record of (await store.scan()).records) found[record.key] = record.origin
  return found
}

describe.each<[string, TestStoreOptions]>([
  ['everything in memory', {}],
  ['no cache', { cacheBytes: 0 }],
])('records stored wrongly, %s', (_name, options) => {
  it('are found at the start: repaired where the origin is all that is wrong, else named and left out', async () => {
    const adapter = await storageOfBefore()
    const store = await openStore({ ...options, adapter, name: 'again' })
    await waitFor(() => store.damaged().length === 1)
    expect(store.damaged()).toEqual(['w/late'])
    const { good, ...repaired } = await contents(store)
    expect(good).toBeDefined()
    expect(repaired).toEqual({
      ...Object.fromEntries(ORIGINS.map(([key, origin]) => [key, standInOrigin(origin)])),
      'w/gone': standInOrigin('my app'),
    })
    expect((await store.get('w/line'))?.data).toBe('{"n":1}')
    expect((await store.get('w/line'))?.fields).toEqual(FIELDS)
    expect(store.damageFindings.join()).toMatch(/5 records had an origin .*"w\/dot"/)
    await expect(store.get('w/late')).rejects.toMatchObject({ code: 'corrupt_record' })
    await store.set('w/late', '2')
    await store.close()

    const third = await openStore({ ...options, adapter })
    await third.settled()
    expect(third.damageFindings).toEqual([])
    expect(third.damaged()).toEqual([])
    expect(Object.keys(await contents(third)).length).toBe(7)
    await third.close()
  })
})
