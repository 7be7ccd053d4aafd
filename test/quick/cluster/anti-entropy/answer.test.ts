import { beforeEach, describe, expect, test } from 'vitest'
import { Answer, type AnswerPage } from '../../../../cluster/anti-entropy/answer.ts'
import { hashesOf } from '../../../../cluster/anti-entropy/set-rows.ts'
import { FollowerSteps } from '../../../../cluster/follower/steps.ts'
import { encodeHash, hashRecord } from '../../../../src/core/data/digest.ts'
import type { StoredRecord } from '../../../../src/core/data/entry.ts'
import { SILENT_LOGGER } from '../../../../src/core/ports/logger.ts'
import { STREAM_PROTOCOL } from '../../../../src/core/wire/protocol.ts'
import type { ReplicationStore } from '../../../../src/store/replication-store.ts'
import { entry, LIMITS, tombstone } from '../../../cluster/fixtures.ts'
import { FakeTime } from '../../../support/fake-time.ts'
import { openStore } from '../../../support/store.ts'

const LEADER = 'http://leader'
const set = { path: 'items/*', except: [] }
const time = new FakeTime()

let store: ReplicationStore

beforeEach(async () => {
  store = await openStore()
  store.setLeaderOf(() => LEADER)
})

/** As if they had come over the leader's stream. */
async function hold(records: readonly StoredRecord[]): Promise<void> {
  await store.merge(records, { source: LEADER, leader: LEADER })
}

function hashes(records: readonly StoredRecord[]): string {
  return records.map((record) => encodeHash(hashRecord(record))).join('')
}

async function pagesOf(answer: Answer): Promise<AnswerPage[]> {
  const pages: AnswerPage[] = []
  while (pages.at(-1)?.last !== true) pages.push(await answer.next())
  await answer.close()
  return pages
}

describe('an answer', () => {
  const [a, b, c] = [entry('items/a', 1), entry('items/b', 2), tombstone('items/c', 3)]

  test('has what the follower lacks, and then the hashes that nothing here has', async () => {
    await hold([a, b, c, entry('other/a', 1)])
    const answer = new Answer({ store, time, set, nodes: [''] }, 99, LIMITS)
    const mine = entry('items/b', 7)
    answer.add(hashes([a, mine]))
    expect(await pagesOf(answer)).toMatchObject([
      { records: [b, c], fresh: 0, last: false },
      { records: [], lacks: hashes([mine]), last: true },
    ])
  })

  test('puts last, and counts, what changed after the place the follower has applied', async () => {
    await hold([c, b])
    const { head } = store
    await hold([a])
    const answer = new Answer({ store, time, set, nodes: [''] }, head, LIMITS)
    expect((await pagesOf(answer))[0]).toMatchObject({ records: [b, c, a], fresh: 1 })
  })

  test('is cut into pages by records and by bytes, one record at least in each', async () => {
    const records = Array.from({ length: 30 }, (_, i) => entry(`items/${10 + i}`, i, '1'))
    await hold(records)
    const limits = { ...LIMITS, messageRecords: 8, messageBytes: 100_000 }
    const byRecords = await pagesOf(new Answer({ store, time, set, nodes: [''] }, 99, limits))
    expect(byRecords.map((page) => page.records.length)).toEqual([8, 8, 8, 6, 0])
    const small = { ...LIMITS, messageBytes: 1 }
    const byBytes = await pagesOf(new Answer({ store, time, set, nodes: [''] }, 99, small))
    expect(byBytes.slice(0, 30).map((page) => page.records)).toEqual(records.map((one) => [one]))
  })
})

describe('a follower in an exchange', () => {
  const take = {
    type: 'take',
    session: 1,
    n: 1,
    part: 1,
    head: 9,
    fresh: 0,
    lacks: '',
    last: true,
    set,
    nodes: [''],
    isAll: false,
    seen: { epoch: 'e1', seq: 9 },
  } as const
  const retention = { forgotten: 0n, removed: 0n, gone: 0n, horizon: 0n, knows: true, greatest: 0n }

  function steps(): FollowerSteps {
    const progress = { cursor: { epoch: 'e1', seq: 5 }, seen: null }
    return new FollowerSteps({
      store,
      time,
      logger: SILENT_LOGGER,
      conflicts: store.conflictLog({
        ...{ maxEntries: 10, oldNs: () => 0n, now: () => 1n, scopeOf: () => '' },
        onError: () => undefined,
      }),
      leader: LEADER,
      protocol: () => STREAM_PROTOCOL,
      sets: [set],
      placementId: 'p',
      progress,
      retentionMs: 0,
    })
  }

  test('tells no hash of what is on its way up', async () => {
    const known = entry('items/a', 1)
    await hold([known])
    await store.set('items/b', '1')
    expect(await hashesOf({ store, time, set, nodes: [''] }, LEADER, () => true)).toBe(
      hashes([known]),
    )
  })

  test('counts what it lacked, without what was on its way down', async () => {
    const records = [entry('items/a', 1), entry('items/b', 2)]
    const event = await steps().perform({ ...take, records, fresh: 1 }, retention, () => true)
    expect(event).toMatchObject({ type: 'took', applied: 1, pending: 0 })
    expect(event).toMatchObject({ progress: { cursor: { epoch: 'e1', seq: 5 }, seen: take.seen } })
    expect((await store.list('items/*')).length).toBe(2)
  })

  test('owes what the leader has older or not at all, and nothing else', async () => {
    const held = [entry('items/a', 10), entry('items/b', 10), entry('items/c', 10)]
    await hold(held)
    const effect = { ...take, records: [entry('items/a', 4)], lacks: hashes(held.slice(0, 2)) }
    const event = await steps().perform(effect, retention, () => true)
    expect(event).toMatchObject({ applied: 0, pending: 2 })
    const pending = await store.pending(LEADER, 10, new Set())
    expect(pending.map(({ record }) => record.key).sort()).toEqual(['items/a', 'items/b'])
  })

  test('owes, without counting it, what the leader has older since what was applied', async () => {
    const held = [entry('items/a', 10), entry('items/b', 10)]
    await hold(held)
    const one = steps()
    const first = { ...take, records: [entry('items/a', 4)], fresh: 1, last: false }
    await one.perform(first, retention, () => true)
    const second = { ...take, part: 2, records: [], lacks: hashes(held) }
    expect(await one.perform(second, retention, () => true)).toMatchObject({ pending: 1 })
    const pending = await store.pending(LEADER, 10, new Set())
    expect(pending.map(({ record }) => record.key).sort()).toEqual(['items/a', 'items/b'])
    const next = { ...take, n: 2, records: [], lacks: hashes(held) }
    expect(await one.perform(next, retention, () => true)).toMatchObject({ pending: 2 })
  })

  test('owes everything where the leader has nothing, but old tombstones', async () => {
    await hold([entry('items/a', 10), tombstone('items/b', 20), tombstone('items/c', 60)])
    const effect = { ...take, records: [], isAll: true }
    await steps().perform(effect, { ...retention, horizon: 50n }, () => true)
    const pending = await store.pending(LEADER, 10, new Set())
    expect(pending.map(({ record }) => record.key).sort()).toEqual(['items/a', 'items/c'])
  })

  test('deletes what the leader deleted and forgot, owing nobody', async () => {
    await hold([entry('items/a', 10), entry('items/b', 90)])
    const effect = { ...take, records: [], isAll: true }
    await steps().perform(effect, { ...retention, forgotten: 50n }, () => true)
    expect(await store.get('items/a')).toBeUndefined()
    expect((await store.pending(LEADER, 10, new Set())).map(({ record }) => record.key)).toEqual([
      'items/b',
    ])
  })

  test('refuses to be told of more lacking records than it can have told', async () => {
    const lacks = Array.from({ length: 65_537 }, (_, i) => i.toString(16).padStart(16, '0')).join(
      '',
    )
    const done = steps().perform({ ...take, records: [], lacks }, retention, () => true)
    await expect(done).rejects.toThrow('more than 65536 hashes')
  })
})
