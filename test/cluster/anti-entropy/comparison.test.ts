import { describe, expect, test } from 'vitest'
import type { StoredRecord } from '../../../src/core/data/entry.ts'
import { FAKE_START_NS } from '../../support/fake-time.ts'
import { SeededRandom } from '../../support/seeded-random.ts'
import { Engines, old, oldEntries, plant, recordsOf } from '../engines.ts'

describe('a first copy', () => {
  test('comes in pages within the window, while both sides take writes', async () => {
    const engines = new Engines()
    const leader = await engines.add('leader', {
      records: oldEntries(4000),
      limits: { messageRecords: 50, windowBytes: 20_000 },
    })
    const follower = await engines.add('follower', { follows: 'leader' })
    await engines.until(() => (follower.link().comparison?.received ?? 0) > 500, 'some records')
    expect(follower.link()).toMatchObject({ state: 'comparing', cursor: 0 })
    expect(leader.engine.status().followers).toMatchObject([{ comparing: true, cursor: 0 }])
    await follower.store.set('items/mine', '1')
    await leader.store.set('items/theirs', '2')
    await engines.until(() => follower.link().outbox === 0, 'the write to reach the leader')
    expect(follower.link().state).toBe('comparing')
    expect(await leader.store.get('items/mine')).toBeDefined()
    expect(await follower.store.get('items/theirs')).toBeDefined()
    await engines.untilLive(follower)
    expect(await recordsOf(follower.store)).toEqual(await recordsOf(leader.store))
    expect(engines.messages('found').length).toBeGreaterThan(80)
    await engines.until(
      () => leader.engine.status().followers[0]?.comparing === false,
      'the leader to hear that the copy is whole',
    )
  })

  test('stops at the window when the follower does not take it, and goes on when it does', async () => {
    const engines = new Engines()
    const limits = { messageRecords: 50, windowBytes: 20_000, maxSilentBeats: 100 }
    await engines.add('leader', { records: oldEntries(4000), limits })
    const follower = await engines.add('follower', { follows: 'leader', limits })
    const { tap } = engines.network
    engines.network.tap = (from, to, text, connection) => {
      if (text.startsWith('{"t":"found"')) engines.network.cut('follower', 'leader')
      tap(from, to, text, connection)
    }
    await engines.time.advanceAsync(5000)
    engines.network.tap = tap
    const bytes = engines.messages('found').reduce((sum, { text }) => sum + text.length, 0)
    expect(bytes).toBeGreaterThan(10_000)
    expect(bytes).toBeLessThan(20_000 + 50 * 150)
    engines.network.healAll()
    await engines.untilLive(follower)
  })

  test('broken off, goes on with what is missing', async () => {
    const engines = new Engines()
    const limits = { messageRecords: 50, windowBytes: 20_000 }
    const leader = await engines.add('leader', { records: oldEntries(4000), limits })
    const follower = await engines.add('follower', { follows: 'leader', limits })
    await engines.until(() => (follower.link().comparison?.received ?? 0) > 2000, 'half of it')
    engines.network.unlisten('leader')
    await engines.time.advanceAsync(100)
    const held = (await recordsOf(follower.store)).size
    expect(held).toBeGreaterThan(1500)
    engines.sent.length = 0
    engines.network.listen('leader', (socket, from) => leader.engine.accept(socket, from))
    await engines.untilLive(follower)
    const texts = engines.messages('found').map(({ text }) => JSON.parse(text))
    const records = texts.reduce((sum, { records }) => sum + records.length, 0)
    expect(records).toBe(4000 - held)
    expect(await recordsOf(follower.store)).toEqual(await recordsOf(leader.store))
  })

  test('of a leader that lost everything is the union of what its followers hold', async () => {
    const engines = new Engines()
    const leader = await engines.add('leader')
    const a = await engines.add('a', {
      follows: 'leader',
      records: [...oldEntries(300), old('items/a', 1)],
    })
    const b = await engines.add('b', {
      follows: 'leader',
      records: [...oldEntries(300).slice(100), old('items/b', 1), old('items/k200', 1)],
    })
    for (const node of [a, b]) await engines.untilLive(node)
    await engines.time.advanceAsync(1000)
    const records = await recordsOf(leader.store)
    expect(records.size).toBe(302)
    expect(records.get('items/k200')).toEqual(old('items/k200', 1))
    for (const node of [a, b]) expect(await recordsOf(node.store)).toEqual(records)
  })
})

describe('what a comparison costs', () => {
  test('of 100,000 records of which ten differ, tens of kilobytes both ways', async () => {
    const engines = new Engines()
    const records = oldEntries(100_000)
    const theirs = records.map((record, i) =>
      i % 20_000 === 7 ? { ...record, updated: record.created + 5n } : record,
    )
    const ours = records.map((record, i) =>
      i % 20_000 === 9_000 ? { ...record, updated: record.created + 5n } : record,
    )
    const leader = await engines.add('leader', { records: theirs })
    const follower = await engines.add('follower', { follows: 'leader', records: ours })
    await engines.untilLive(follower)
    expect(engines.bytes()).toBeLessThan(30_000)
    expect(await recordsOf(follower.store)).toEqual(await recordsOf(leader.store))
  }, 600_000)

  test('grows with the leaves that differ, whatever the two sets are', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = new SeededRandom(seed)
      const engines = new Engines(seed)
      const { mine, theirs } = twoSets(random)
      const leader = await engines.add('leader', { records: theirs })
      const follower = await engines.add('follower', { follows: 'leader', records: mine })
      await engines.untilLive(follower)
      await engines.time.advanceAsync(500)
      const union = new Map<string, StoredRecord>()
      for (const record of [...theirs, ...mine]) {
        const other = union.get(record.key)
        if (other === undefined || stampOf(record) > stampOf(other)) union.set(record.key, record)
      }
      const differing = [...union].filter(([, record]) => {
        const isIn = (set: readonly StoredRecord[]) => set.some((own) => own === record)
        return !isIn(mine) || !isIn(theirs)
      }).length
      for (const node of [leader, follower]) {
        expect(new Map([...(await recordsOf(node.store))].sort()), `seed ${seed}`).toEqual(
          new Map([...union].sort()),
        )
      }
      expect(engines.bytes(), `seed ${seed}`).toBeLessThan(3000 + 1400 * differing)
    }
  }, 600_000)
})

describe('a difference that came about silently', () => {
  const limits = { compareIntervalMs: 5000, beatIntervalMs: 1000 }
  const newer: StoredRecord = { ...old('items/k1', 1), data: '"newer"' }
  const cases: [string, StoredRecord[], StoredRecord[]][] = [
    ['a record that only the follower has', [old('items/extra', 5)], []],
    ['a record that only the leader has', [], [old('items/extra', 5)]],
    ['a newer record of the follower', [newer], []],
    ['an older record of the follower', [old('items/k1', 50_000)], []],
    [
      'a tombstone that only the follower has',
      [{ kind: 'tombstone', key: 'items/k2', deleted: FAKE_START_NS, origin: 'x' }],
      [],
    ],
  ]
  test.each(cases)('%s is found, repaired, counted and logged', async (_name, mine, theirs) => {
    const engines = new Engines()
    const leader = await engines.add('leader', { records: oldEntries(500), limits })
    const follower = await engines.add('follower', { follows: 'leader', limits })
    await engines.untilLive(follower)
    await engines.until(() => follower.link().lastAgreementMs > 0, 'the first agreement')
    const agreed = follower.link().lastAgreementMs
    expect(follower.link()).toMatchObject({ repairs: 0, repairedRecords: 0 })
    await plant(follower.store, mine)
    // The leader believes to have these from the follower itself.
    await plant(leader.store, theirs, 'stream-1')
    await engines.until(() => follower.link().repairs > 0, 'the repair')
    expect(follower.link()).toMatchObject({ repairs: 1, repairedRecords: 1 })
    expect(engines.warnings).toContain('a difference from the leader was found and repaired')
    await engines.until(() => follower.link().lastAgreementMs > agreed, 'agreement')
    const records = await recordsOf(leader.store)
    expect(await recordsOf(follower.store)).toEqual(records)
    for (const record of [...mine, ...theirs]) {
      const isOld = stampOf(record) < stampOf(old('items/k1', 1001))
      expect(records.get(record.key)).toEqual(isOld ? old('items/k1', 1001) : record)
    }
  })

  test('writes under way on both sides are no difference', async () => {
    const engines = new Engines()
    const busy = { compareIntervalMs: 300 }
    const leader = await engines.add('leader', { records: oldEntries(300), limits: busy })
    const follower = await engines.add('follower', { follows: 'leader', limits: busy })
    const random = new SeededRandom(7)
    await engines.untilLive(follower)
    for (let i = 0; i < 2000; i++) {
      const node = random.pick([leader, follower])
      const key = `items/k${random.below(400)}`
      if (random.chance(0.2)) await node.store.delete(key).catch(() => undefined)
      else await node.store.set(key, String(i))
      await engines.time.advanceAsync(random.below(12))
    }
    expect(engines.messages('want').length).toBeGreaterThan(3)
    await engines.untilLive(follower)
    expect(follower.link()).toMatchObject({ repairs: 0, repairedRecords: 0, lastError: undefined })
    expect(follower.link().lastAgreementMs).toBeGreaterThan(0)
  }, 600_000)

  test('with an interval of 0 nothing is compared once the first copy is there', async () => {
    const engines = new Engines()
    await engines.add('leader', { records: oldEntries(10) })
    const follower = await engines.add('follower', {
      follows: 'leader',
      limits: { compareIntervalMs: 0 },
    })
    await engines.untilLive(follower)
    engines.sent.length = 0
    await engines.time.advanceAsync(600_000)
    expect(engines.messages('ask')).toEqual([])
  })
})

test('what an earlier scope keeps to itself is left out of the comparison', async () => {
  const engines = new Engines()
  const limits = { compareIntervalMs: 1000 }
  await engines.add('leader', { records: oldEntries(20), limits })
  const follower = await engines.add('follower', {
    keys: [{ path: 'items/own', local: true }, { path: 'items/*' }],
    follows: 'leader',
    limits,
  })
  await engines.untilLive(follower)
  await follower.store.set('items/own', '1')
  await engines.time.advanceAsync(10_000)
  expect(follower.link()).toMatchObject({ repairs: 0, outbox: 0 })
  const agreedMs = follower.link().lastAgreementMs
  expect(agreedMs).toBeGreaterThan(Number(engines.time.wallNs() / 1_000_000n) - 3000)
})

function stampOf(record: StoredRecord): bigint {
  if (record.kind === 'tombstone') return record.deleted
  return record.updated > record.created ? record.updated : record.created
}

/** Two sets of records that have most in common, or little, or nothing. */
function twoSets(random: SeededRandom): { mine: StoredRecord[]; theirs: StoredRecord[] } {
  const mine: StoredRecord[] = []
  const theirs: StoredRecord[] = []
  const change = random.pick([0, 0.01, 0.1, 0.9])
  const size = random.pick([0, 1, 30, 400, 1500])
  for (let i = 0; i < size; i++) {
    const common = old(`items/r${i}`, 10_000 + i)
    const set: StoredRecord = { ...common, updated: common.created + 1n }
    const deleted: StoredRecord = {
      kind: 'tombstone',
      key: common.key,
      deleted: common.created + 2n,
      origin: 'x',
    }
    const draw = (): StoredRecord | undefined =>
      random.chance(change) ? [undefined, set, deleted][random.below(3)] : common
    const [a, b] = [draw(), draw()]
    if (a !== undefined) mine.push(a)
    if (b !== undefined) theirs.push(b)
  }
  return { mine, theirs }
}
