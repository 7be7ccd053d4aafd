import { describe, expect, test } from 'vitest'
import type { Commit } from '../../../../src/core/data/entry.ts'
import type { SequencedRow } from '../../../../src/store/format/rows.ts'
import { planReemit } from '../../../../src/store/plans/reemit.ts'
import { MemoryStorage } from '../../../../storage-adapters/memory/memory.ts'
import { entry, tombstone } from '../../../cluster/fixtures.ts'
import { openStore } from '../../../support/store.ts'

const isOld = ({ record }: SequencedRow): boolean =>
  record.kind === 'tombstone' && record.deleted <= 100n

describe.each([
  ['all records in memory', {}],
  ['a bounded cache', { cacheBytes: 0 }],
] as const)('telling of records again, %s', (_name, cache) => {
  test('puts old ones at the end of the log as they are, and nothing else', async () => {
    const adapter = new MemoryStorage()
    const store = await openStore({ name: 'n', adapter, ...cache })
    const records = [
      tombstone('old', 50),
      tombstone('edge', 100),
      tombstone('young', 101),
      entry('kept', 50),
    ]
    await store.merge(records, { source: 'peer' })
    const heard: Commit[] = []
    store.onCommit((commit) => heard.push(commit))
    const keys = ['old', 'old', 'edge', 'young', 'kept', 'absent']
    expect(await store.run(planReemit(keys, isOld))).toBe(2)
    expect(store.head).toBe(6)
    expect(heard).toMatchObject([
      { seq: 6, silent: true, changes: [{ key: 'old' }, { key: 'edge' }] },
    ])
    await store.close()
    const reopened = await openStore({ name: 'n', adapter, ...cache })
    const { rows } = await reopened.log(4, 10)
    expect(rows).toEqual([
      { seq: 5, record: records[0] },
      { seq: 6, record: records[1] },
    ])
    expect((await reopened.log(0, 10)).rows).toHaveLength(4)
    await reopened.close()
  })

  test('takes up entries as well, with the place that they had', async () => {
    const store = await openStore({ name: 'n', adapter: new MemoryStorage(), ...cache })
    const records = [entry('a', 1), entry('b', 2)]
    await store.merge(records, { source: 'peer' })
    expect(await store.run(planReemit(['a', 'b'], ({ seq }) => seq <= 1))).toBe(1)
    expect((await store.log(0, 10)).rows).toEqual([
      { seq: 2, record: records[1] },
      { seq: 3, record: records[0] },
    ])
    await store.close()
  })

  test('keeps what is pending', async () => {
    const leaderOf = (): string => 'leader'
    const store = await openStore({ name: 'n', adapter: new MemoryStorage(), leaderOf, ...cache })
    await store.merge([tombstone('old', 50)], { source: 'edge' })
    await store.run(planReemit(['old'], isOld))
    expect(await store.pending('leader', 10, new Set())).toMatchObject([{ seq: 2 }])
    expect(store.pendingCount('leader')).toBe(1)
    await store.close()
  })

  test('writes nothing when there is none', async () => {
    const store = await openStore({ name: 'n', adapter: new MemoryStorage(), ...cache })
    await store.merge([tombstone('young', 101)], { source: 'peer' })
    expect(await store.run(planReemit(['young'], isOld))).toBe(0)
    expect(store.head).toBe(1)
    await store.close()
  })
})
