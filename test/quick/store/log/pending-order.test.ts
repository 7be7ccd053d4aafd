/** Changes go up in the order in which they were made: a leader takes what comes out of turn for a repetition. */
import { describe, expect, test } from 'vitest'
import type { StoredRecord } from '../../../../src/core/data/entry.ts'
import { withMarks } from '../../../../src/core/data/entry.ts'
import { addMarks } from '../../../../src/core/data/marks.ts'
import type { Row, RowRange } from '../../../../src/core/ports/storage-adapter.ts'
import type { ReplicationStore } from '../../../../src/store/replication-store.ts'
import { MemoryStorage } from '../../../../storage-adapters/memory/memory.ts'
import { openStore } from '../../../support/store.ts'

const LEADER = 'http://l'

/** The key's record of the leader: it loses, and has marks that ours does not have. */
function marked(key: string): StoredRecord {
  const record: StoredRecord = {
    ...{ kind: 'entry', key, created: 1n, updated: 0n, origin: 'o' },
    data: '"before"',
  }
  return withMarks(record, addMarks(undefined, [{ origin: 'x', version: 7n }]))
}

async function takeMarks(store: ReplicationStore, key: string): Promise<void> {
  const [outcome] = await store.merge([marked(key)], { source: LEADER, leader: LEADER })
  expect(outcome).toBe('superseded')
}

/** Something happens after the outbox was read from it, and before its records are. */
class InterruptedStorage extends MemoryStorage {
  between: (() => Promise<void>) | undefined

  override iterate(range: RowRange = {}): AsyncIterable<Row> {
    return this.#interrupted(super.iterate(range))
  }

  async *#interrupted(rows: AsyncIterable<Row>): AsyncGenerator<Row> {
    yield* rows
    const { between } = this
    this.between = undefined
    await between?.()
  }
}

describe('what is pending', () => {
  test.each([
    ['in memory', {}],
    ['on disk', { cacheBytes: 0 }],
  ])('keeps its turn when it is given marks, with everything %s', async (_where, options) => {
    const store = await openStore({ leaderOf: () => LEADER, ...options })
    await store.set('a', '1')
    await store.set('b', '2')
    await takeMarks(store, 'a')
    const pending = await store.pending(LEADER, 10, new Set())
    expect(pending.map(({ record }) => record.key)).toEqual(['a', 'b'])
    const [a, b] = pending.map(({ seq }) => seq)
    expect(a).toBeGreaterThan(b ?? 0)
  })

  test('is not passed over when it is given marks while the outbox is read from the disk', async () => {
    const adapter = new InterruptedStorage()
    const store = await openStore({ adapter, leaderOf: () => LEADER, cacheBytes: 0 })
    await store.set('a', '1')
    await store.set('b', '2')
    adapter.between = () => takeMarks(store, 'a')
    const pending = await store.pending(LEADER, 10, new Set())
    expect(pending.map(({ record }) => record.key)).toEqual(['a', 'b'])
  })

  test('is passed over when it is written anew while the outbox is read: it has its turn behind others', async () => {
    const adapter = new InterruptedStorage()
    const store = await openStore({ adapter, leaderOf: () => LEADER, cacheBytes: 0 })
    await store.set('a', '1')
    await store.set('b', '2')
    adapter.between = async () => {
      await store.set('a', '3')
    }
    const pending = await store.pending(LEADER, 10, new Set())
    expect(pending.map(({ record }) => record.key)).toEqual(['b'])
  })
})
