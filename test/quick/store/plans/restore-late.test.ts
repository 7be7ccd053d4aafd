/** Records of a backup that are stamped too far in the future, merged into a running node. */
import { describe, expect, test } from 'vitest'
import type { StoredRecord } from '../../../../src/core/data/entry.ts'
import { versionOf } from '../../../../src/core/data/entry.ts'
import type { RestoreOutcome } from '../../../../src/store/replication/replication.ts'
import type { ReplicationStore } from '../../../../src/store/replication-store.ts'
import { ManualTime, openStore } from '../../../support/store.ts'

const HOUR = 3_600_000_000_000n
const MINUTE = HOUR / 60n
const START = new ManualTime().ns

async function records(store: ReplicationStore): Promise<StoredRecord[]> {
  const found: StoredRecord[] = []
  for await (const record of (await store.scan()).records) found.push(record)
  return found
}

async function held(store: ReplicationStore, key: string): Promise<StoredRecord> {
  const record = (await store.keyState(key))?.record
  if (record === undefined) throw new Error(`${key} is not held`)
  return record
}

/** What a node holds that wrote this while its clock was an hour ahead. */
async function wrong(
  writes: (store: ReplicationStore) => Promise<unknown>,
): Promise<StoredRecord[]> {
  const time = new ManualTime()
  const store = await openStore({ time, name: 'wrong' })
  await store.set('sane', '0')
  time.ns += HOUR
  await writes(store)
  return records(store)
}

function restore(
  store: ReplicationStore,
  backup: readonly StoredRecord[],
): Promise<RestoreOutcome[]> {
  const inOrder = [...backup].sort((a, b) => (versionOf(a) < versionOf(b) ? -1 : 1))
  return store.merge(inOrder, { source: 'restore', restampAfter: START + MINUTE })
}

/** Both hold what either holds, until neither has news. */
async function meet(one: ReplicationStore, other: ReplicationStore): Promise<void> {
  for (let i = 0; i < 3; i++) {
    await other.merge(await records(one), { source: 'one' })
    await one.merge(await records(other), { source: 'other' })
  }
  expect(await records(one)).toEqual(await records(other))
}

function halfAMinuteLater(): ManualTime {
  const time = new ManualTime()
  time.ns += MINUTE / 2n
  return time
}

async function dataAt(store: ReplicationStore, key: string): Promise<string | undefined> {
  return (await store.get(key))?.data
}

describe('a record of a backup that is stamped too far in the future', () => {
  test('gets a stamp of this node, in order; the others are taken as they are', async () => {
    const backup = await wrong(async (store) => {
      await store.set('b', '1')
      await store.set('a', '2')
      await store.set('sane', '3')
      await store.set('gone', '4')
      await store.delete('gone')
    })
    const time = new ManualTime()
    const store = await openStore({ time, name: 'right' })
    const sane = backup.map((record) =>
      record.key === 'sane' ? { ...record, updated: 0n } : record,
    )
    expect(await restore(store, sane)).toEqual(['applied', 'restamped', 'restamped', 'restamped'])
    const [a, b, gone, kept] = await records(store)
    const { origin } = await store.set('next', '1')
    if (a === undefined || b === undefined || gone === undefined)
      throw new Error('some are missing')
    expect(kept).toEqual(sane[3])
    const stamps = [b, a, gone].map(versionOf)
    expect(stamps).toEqual([...stamps].sort((x, y) => (x < y ? -1 : 1)))
    for (const record of [a, b, gone]) {
      expect(versionOf(record)).toBeGreaterThanOrEqual(START)
      expect(versionOf(record)).toBeLessThan(START + MINUTE)
      expect(record.origin).toBe(origin)
    }
    expect(a).toMatchObject({ kind: 'entry', data: '2', updated: 0n })
    expect(gone.kind).toBe('tombstone')
    expect(versionOf(await held(store, 'next'))).toBeLessThan(START + MINUTE)
  })

  test('keeps the time at which its key was made, when that is right', async () => {
    const backup = await wrong((store) => store.set('sane', '1'))
    const store = await openStore()
    expect(await restore(store, backup)).toEqual(['restamped'])
    const [before] = backup
    expect(await held(store, 'sane')).toMatchObject({
      created: before?.kind === 'entry' ? before.created : 0n,
      data: '1',
    })
  })

  test('is there already when the backup is restored again, also after it was changed', async () => {
    const backup = await wrong((store) => store.set('a', '1'))
    const store = await openStore()
    expect(await restore(store, backup)).toEqual(['applied', 'restamped'])
    const once = await records(store)
    expect(await restore(store, backup)).toEqual(['equal', 'equal'])
    expect(await records(store)).toEqual(once)
    await store.set('a', '"later"')
    await store.delete('sane')
    expect(await restore(store, backup)).toEqual(['superseded', 'superseded'])
    expect(await dataAt(store, 'a')).toBe('"later"')
  })

  test('stays as it is where it is held under its first stamp', async () => {
    const backup = await wrong((store) => store.set('a', '1'))
    const store = await openStore()
    await store.merge(backup, { source: 'peer' })
    expect(await restore(store, backup)).toEqual(['equal', 'equal'])
    expect(await records(store)).toEqual(backup)
  })

  test.each([false, true])(
    'copies under its first stamp give way; written to since: %s',
    async (isWritten) => {
      const json = isWritten ? '"later"' : '"same"'
      const backup = await wrong(async (store) => {
        await store.set('a', '"same"')
        await store.set('gone', '1')
        await store.delete('gone')
      })
      const peer = await openStore({ name: 'peer' })
      await peer.merge(backup, { source: 'leader' })
      const store = await openStore()
      await restore(store, backup)
      if (isWritten) {
        await store.set('a', json)
        await store.set('gone', json)
      }
      await meet(store, peer)
      expect(await dataAt(peer, 'a')).toBe(json)
      expect(await dataAt(peer, 'gone')).toBe(isWritten ? json : undefined)
      for (const record of await records(peer)) {
        expect(versionOf(record)).toBeLessThan(START + MINUTE)
      }
    },
  )

  test('what its maker wrote before gives way, what it wrote after wins', async () => {
    const time = new ManualTime()
    const maker = await openStore({ time, name: 'wrong' })
    time.ns += HOUR
    await maker.set('a', '"before"')
    await maker.set('b', '"before"')
    const older = await openStore({ name: 'older' })
    const earlier = await records(maker)
    await older.merge(earlier, { source: 'wrong' })
    await maker.set('a', '"backup"')
    await maker.set('b', '"backup"')
    const backup = await records(maker)
    await maker.set('b', '"after"')
    const store = await openStore()
    await restore(store, backup)
    await meet(store, older)
    const restored = await openStore({ name: 'restored', time: halfAMinuteLater() })
    await restore(restored, earlier)
    await meet(store, restored)
    expect([await dataAt(older, 'a'), await dataAt(older, 'b')]).toEqual(['"backup"', '"backup"'])
    await meet(store, maker)
    expect([await dataAt(store, 'a'), await dataAt(store, 'b')]).toEqual(['"backup"', '"after"'])
  })

  test('a write after the restore beats the copy that another node made of it later', async () => {
    const backup = await wrong((store) => store.set('a', '"old"'))
    const one = await openStore({ name: 'one' })
    await restore(one, backup)
    await one.set('a', '"new"')
    const other = await openStore({ name: 'other', time: halfAMinuteLater() })
    await restore(other, backup)
    await meet(one, other)
    expect(await dataAt(other, 'a')).toBe('"new"')
  })

  test('of two that were given other stamps the later first stamp wins, in either order', async () => {
    const backupOf = async (name: string, ahead: bigint): Promise<StoredRecord[]> => {
      const time = new ManualTime()
      const store = await openStore({ time, name })
      time.ns += ahead
      await store.set('a', `"${name}"`)
      return records(store)
    }
    const earlier = await backupOf('earlier', HOUR)
    const later = await backupOf('later', 2n * HOUR)
    const one = await openStore({ name: 'one' })
    expect(await restore(one, earlier)).toEqual(['restamped'])
    expect(await restore(one, later)).toEqual(['restamped'])
    const other = await openStore({ name: 'other' })
    expect(await restore(other, later)).toEqual(['restamped'])
    expect(await restore(other, earlier)).toEqual(['superseded'])
    for (const store of [one, other]) expect(await dataAt(store, 'a')).toBe('"later"')
    const peer = await openStore({ name: 'peer' })
    await peer.merge(earlier, { source: 'wrong' })
    const third = await openStore({ name: 'third', time: halfAMinuteLater() })
    await restore(third, earlier)
    await meet(one, third)
    expect(await dataAt(third, 'a')).toBe('"later"')
    await meet(other, peer)
    await meet(one, peer)
    expect(await dataAt(peer, 'a')).toBe('"later"')
  })

  test('may have been given another stamp before', async () => {
    const time = new ManualTime()
    const version = time.ns + HOUR
    const was = `${version + 1n}@wrong`
    const backup: StoredRecord[] = [
      {
        ...{ kind: 'entry', key: 'a', created: version, updated: 0n, data: '1' },
        ...{ origin: 'wrong-r1', fields: { marks: was, was } },
      },
    ]
    const store = await openStore({ time })
    const peer = await openStore({ name: 'peer' })
    await peer.merge(backup, { source: 'wrong' })
    expect(await restore(store, backup)).toEqual(['restamped'])
    expect(await restore(store, backup)).toEqual(['equal'])
    await meet(store, peer)
    expect(versionOf(await held(peer, 'a'))).toBeLessThan(START + MINUTE)
  })

  test('of this node itself, made before its clock was taken back, is taken too', async () => {
    const time = new ManualTime()
    const store = await openStore({ time })
    time.ns += HOUR
    await store.set('a', '"own"')
    const backup = await records(store)
    time.ns -= HOUR
    await store.lowerMaxStamp(time.ns)
    const fresh = await openStore({ time, name: 'fresh' })
    await restore(fresh, backup)
    expect(await dataAt(fresh, 'a')).toBe('"own"')
    expect(await restore(store, backup)).toEqual(['equal'])
    expect(await records(store)).toEqual(backup)
  })

  test('is owed to the leader of its key', async () => {
    const backup = await wrong((store) => store.set('a', '1'))
    const store = await openStore({ leaderOf: () => 'http://l' })
    await restore(store, backup)
    expect(store.pendingCount('http://l')).toBe(2)
  })
})
