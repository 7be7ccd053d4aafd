/** What counts as deleted at a 2.0 peer, and how long a node keeps its address from pulling. */
import { expect, test } from 'vitest'
import { NodeHold } from '../../../../cluster/pivot2/nodes/hold.ts'
import { NodePlace, placeOf } from '../../../../cluster/pivot2/nodes/place.ts'
import { Absence, type OwnRecord } from '../../../../cluster/pivot2/peer/absence.ts'
import { HeldByPeer } from '../../../../cluster/pivot2/peer/held.ts'
import type { Entry } from '../../../../src/core/data/entry.ts'
import { MemoryStorage } from '../../../../storage-adapters/memory/memory.ts'
import { openStore } from '../../../support/store.ts'

const entry = (key: string, created: bigint, updated = 0n): Entry => {
  return { kind: 'entry', key, created, updated, origin: 'n', data: '1' }
}

const own = (record: Entry, seq: number, pendingFor?: string): OwnRecord => ({
  record,
  seq,
  pendingFor,
})

test('only what was seen there, has not changed since and is not owed counts as deleted', () => {
  const absence = new Absence({ seq: 10, atNs: 1000n, activity: 900n })
  expect(absence.deletedAt(own(entry('a', 500n), 10))).toBe(1000n)
  // Stamped by a clock that was ahead: the delete exceeds it all the same.
  expect(absence.deletedAt(own(entry('a', 5000n), 10))).toBe(5000n)
  expect(absence.deletedAt(own(entry('a', 500n), 11))).toBeUndefined()
  expect(absence.deletedAt(own(entry('a', 500n), 10, 'http://leader'))).toBeUndefined()
  expect(new Absence(undefined).deletedAt(own(entry('a', 500n), 1))).toBeUndefined()
})

test('a peer that shows older data than it had deleted only what is older still', () => {
  const absence = new Absence({ seq: 10, atNs: 1000n, activity: 900n })
  absence.met(own(entry('b', 100n, 800n), 3), entry('b', 100n, 400n))
  expect(absence.hasSurvivor).toBe(true)
  expect(absence.deletedAt(own(entry('a', 300n), 2))).toBe(1000n)
  expect(absence.deletedAt(own(entry('a', 500n), 2))).toBeUndefined()
  const byActivity = new Absence({ seq: 10, atNs: 1000n, activity: 900n })
  byActivity.reported(450n)
  expect(byActivity.deletedAt(own(entry('a', 300n), 2))).toBe(1000n)
  expect(byActivity.deletedAt(own(entry('a', 500n), 2))).toBeUndefined()
})

test('a key that was made anew is no survivor, nor is one that came after the look', () => {
  const absence = new Absence({ seq: 10, atNs: 1000n, activity: 0n })
  absence.met(own(entry('a', 100n), 3), entry('a', 700n))
  absence.met(own(entry('b', 1100n), 11), entry('b', 1100n))
  absence.met(undefined, entry('c', 100n))
  expect(absence.hasSurvivor).toBe(false)
  absence.met(own(entry('d', 100n, 1300n), 12), entry('d', 100n, 400n))
  expect(absence.hasSurvivor).toBe(true)
})

test('what was seen is known after a restart, and void when the log it refers to is lost', async () => {
  const adapter = new MemoryStorage()
  const first = await openStore({ adapter })
  const { seq } = await first.set('things/a', '1').then(() => ({ seq: first.head }))
  await new HeldByPeer(first, 'http://peer:1').note(
    new Map([['things/*', { seq, atNs: 5n, activity: 7n }]]),
  )
  await first.close()
  const second = await openStore({ adapter })
  const held = new HeldByPeer(second, 'http://peer:1')
  expect(held.of('things/*')).toMatchObject({ seq, atNs: 5n, activity: 7n })
  expect(new HeldByPeer(second, 'http://other:1').of('things/*')).toBeUndefined()
  await held.note(new Map([['settings', { seq: seq + 1000, atNs: 5n, activity: 7n }]]))
  expect(held.of('settings')).toBeUndefined()
  await held.forget()
  expect(new HeldByPeer(second, 'http://peer:1').of('things/*')).toBeUndefined()
  await second.close()
})

const SECOND = 1_000_000_000n

test('a node that shares its address keeps others waiting for 30 seconds, from the outage or its return', () => {
  const hold = new NodeHold(['things/*', 'settings'], 0n)
  expect(hold.isActive).toBe(true)
  expect(hold.isSpent(29n * SECOND, true)).toBe(false)
  expect(hold.isSpent(31n * SECOND, true)).toBe(true)
  hold.reachable(100n * SECOND)
  expect(hold.isSpent(129n * SECOND, true)).toBe(false)
  expect(hold.isSpent(131n * SECOND, true)).toBe(true)
})

test('a node alone at its address is waited for until it asks, and 30 seconds more', () => {
  const hold = new NodeHold(['things/*'], 0n)
  expect(hold.isSpent(1000n * SECOND, false)).toBe(false)
  expect(hold.isSpent(1029n * SECOND, false)).toBe(false)
  expect(hold.isSpent(1031n * SECOND, false)).toBe(true)
})

test('a look that an outage overtook has not seen the path', () => {
  const hold = new NodeHold(['things/*', 'settings'], 0n)
  hold.look('settings')()
  const ended = hold.look('things/*')
  hold.outage(1n)
  ended()
  expect(hold.paths).toEqual(['things/*', 'settings'])
  hold.look('things/*')()
  expect(hold.isActive).toBe(true)
  hold.look('settings')()
  expect(hold.isActive).toBe(false)
  hold.suspect('settings', 2n)
  expect(hold.paths).toEqual(['settings'])
})

test('where requests come from is compared as addresses, all those of this machine as one', async () => {
  const isAt = (address: string, remote: string): boolean =>
    new NodePlace(address).isAt(placeOf(remote))
  expect(isAt('10.1.2.3:80', '::ffff:10.1.2.3')).toBe(true)
  expect(isAt('10.1.2.3:80', '10.1.2.4')).toBe(false)
  expect(isAt('[::1]:80', '127.0.0.1')).toBe(true)
  expect(isAt('[fe80::1]:80', 'fe80::1%eth0')).toBe(true)
  const named = new NodePlace('localhost:80')
  expect(named.isAt(placeOf('127.0.0.1'))).toBe(false)
  await named.resolve()
  expect(named.isAt(placeOf('127.0.0.1'))).toBe(true)
  expect(named.overlaps(new NodePlace('127.0.0.1:81'))).toBe(true)
})
