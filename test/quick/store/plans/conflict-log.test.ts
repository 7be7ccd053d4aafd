/** The conflict log by itself: bounds, order, restarts, and what is told of pushes. */
import { describe, expect, it, test } from 'vitest'
import {
  contextCovers,
  contextFrom,
  isCausalContext,
} from '../../../../src/core/data/causal-context.ts'
import type { Entry, Tombstone } from '../../../../src/core/data/entry.ts'
import { isOvertakenName, overtakenName } from '../../../../src/core/data/overtaken.ts'
import { decodeFollowerMessage, encodeMessage } from '../../../../src/core/wire/protocol.ts'
import type { ConflictLog } from '../../../../src/store/conflicts/conflict-log.ts'
import { MergedVersions, mergedVersionsRow } from '../../../../src/store/format/merged-versions.ts'
import type { ReplicationStore } from '../../../../src/store/replication-store.ts'
import { MemoryStorage } from '../../../../storage-adapters/memory/memory.ts'
import { ManualTime, openStore } from '../../../support/store.ts'

const SECOND = 1_000_000_000n

function logOf(store: ReplicationStore, time: ManualTime, maxEntries = 20): ConflictLog {
  return store.conflictLog({
    maxEntries,
    oldNs: () => time.ns - 100n * SECOND,
    now: () => time.ns,
    scopeOf: (key) => `${key.split('/')[0]}/*`,
    onError: (error) => {
      throw error
    },
  })
}

/** A change of a follower that did not know what the leader holds. */
function pushed(key: string, version: bigint, data = '"pushed"'): Entry {
  return { kind: 'entry', key, created: version, updated: 0n, origin: 'follower', data }
}

async function push(
  store: ReplicationStore,
  conflicts: ConflictLog,
  ...records: Entry[]
): Promise<void> {
  await store.merge(records, {
    source: 'stream',
    pushed: {
      follower: 'follower',
      causalContexts: records.map(() => '-'),
      lost: records.map(() => false),
      conflicts,
    },
  })
}

/** Pushes `count` losers, a second apart each. */
async function conflict(
  { store, log, time }: { store: ReplicationStore; log: ConflictLog; time: ManualTime },
  key: string,
  count: number,
): Promise<void> {
  for (let i = 0; i < count; i++) {
    const version = time.ns + SECOND / 2n
    time.ns += SECOND
    await store.set(key, `${i}`)
    await push(store, log, pushed(key, version, `"${i}"`))
  }
}

const lostData = async (log: ConflictLog, limit = 1000): Promise<(string | undefined)[]> =>
  (await log.list({ limit })).map(({ loser }) => (loser.kind === 'entry' ? loser.data : undefined))

test('what lost at a follower is noted at the leader, and not taken though its key is free', async () => {
  const time = new ManualTime()
  const store = await openStore({ time })
  const log = logOf(store, time)
  const options = (isLost: boolean) => ({
    source: 'stream',
    pushed: { follower: 'follower', causalContexts: ['-'], lost: [isLost], conflicts: log },
  })
  const lost = pushed('k', time.ns)
  expect(await store.merge([lost], options(true))).toEqual(['superseded'])
  expect(await store.get('k')).toBeUndefined()
  expect(await store.merge([lost], options(false))).toEqual(['applied'])
})

describe('the conflict log', () => {
  it('keeps its newest entries per scope, newest first, over a restart', async () => {
    const time = new ManualTime()
    const adapter = new MemoryStorage()
    const store = await openStore({ adapter, time })
    const log = logOf(store, time)
    await conflict({ store, log, time }, 'a/x', 40)
    await conflict({ store, log, time }, 'b/x', 2)
    await log.trim()
    expect(log.logged).toBe(42)
    const kept = ['"1"', '"0"', ...Array.from({ length: 20 }, (_, i) => `"${39 - i}"`)]
    expect(await lostData(log)).toEqual(kept)
    expect(await lostData(log, 3)).toEqual(kept.slice(0, 3))
    await store.close()
    const again = await openStore({ adapter, time })
    expect(await lostData(logOf(again, time))).toEqual(kept)
  })

  it('holds little more than it may between two clean-ups', async () => {
    const time = new ManualTime()
    const adapter = new MemoryStorage()
    const store = await openStore({ adapter, time })
    const log = logOf(store, time)
    await conflict({ store, log, time }, 'a/x', 60)
    let rows = 0
    for await (const _row of adapter.iterate({ gte: 'c/', lt: 'c0' })) rows++
    expect(rows).toBeGreaterThanOrEqual(20)
    expect(rows).toBeLessThanOrEqual(27)
  })

  it('shows nothing that is too old, and removes it', async () => {
    const time = new ManualTime()
    const adapter = new MemoryStorage()
    const store = await openStore({ adapter, time })
    const log = logOf(store, time)
    await conflict({ store, log, time }, 'a/x', 3)
    time.ns += 99n * SECOND
    expect(await lostData(log)).toEqual(['"2"', '"1"'])
    time.ns += 100n * SECOND
    expect(await lostData(log)).toEqual([])
    await log.trim()
    for await (const row of adapter.iterate({ gte: 'c/', lt: 'c0' })) expect(row).toBe('none')
  })

  it('takes a push that comes again for no conflict, nor what both sides wrote alike', async () => {
    const time = new ManualTime()
    const store = await openStore({ time })
    const log = logOf(store, time)
    time.ns += SECOND
    const change = pushed('a/x', time.ns)
    await push(store, log, change)
    time.ns += SECOND
    await store.set('a/x', '"later"')
    await push(store, log, change)
    expect(await lostData(log)).toEqual([])
    await push(store, log, pushed('a/x', change.created + 1n, '"later"'))
    expect(await lostData(log)).toEqual([])
    await push(store, log, pushed('a/x', change.created + 2n))
    expect(await lostData(log)).toEqual(['"pushed"'])
  })

  it('judges a first push whatever its stamp says of when the storage began', async () => {
    const time = new ManualTime()
    const store = await openStore({ time })
    const log = logOf(store, time)
    const early = pushed('a/x', time.ns - SECOND)
    time.ns += SECOND
    await store.set('a/x', '1')
    await push(store, log, early)
    expect(await lostData(log)).toEqual(['"pushed"'])
  })
})

describe('what a follower tells of its pushes', () => {
  it('grows with the nodes that wrote a key, and is given up beyond sixteen', () => {
    const record = (origin: string, version: bigint): Entry => ({
      ...pushed('a', version),
      origin,
    })
    expect(contextFrom(undefined)).toBe('-')
    expect(contextFrom({ record: record('n', 5n), pendingFor: undefined })).toBe('5@n')
    expect(
      contextFrom({ record: record('n', 7n), pendingFor: 'l', causalContext: '5@n,3@m' }),
    ).toBe('7@n,3@m')
    expect(contextFrom({ record: record('n', 7n), pendingFor: 'l' })).toBeUndefined()
    let seen: string | undefined = '-'
    for (let i = 0; i < 17; i++) {
      seen = contextFrom({
        record: record(`n${i}`, 1n),
        pendingFor: 'l',
        causalContext: seen ?? '-',
      })
      expect(seen === undefined).toBe(i === 16)
      if (seen !== undefined) expect(isCausalContext(seen)).toBe(true)
    }
    expect(contextCovers('7@n,3@m', record('m', 3n))).toBe(true)
    expect(contextCovers('7@n,3@m', record('m', 4n))).toBe(false)
    expect(contextCovers('-', record('m', 1n))).toBe(false)
  })

  it('travels with the push; where it is malformed it is not known', () => {
    const records = [pushed('a', 1n), pushed('b', 2n)]
    const message = { t: 'push', n: 1, records, seen: ['5@n', null] } as const
    expect(decodeFollowerMessage(encodeMessage(message))).toEqual(message)
    const withSeen = (seen: unknown): string =>
      JSON.stringify({ ...JSON.parse(encodeMessage(message)), seen })
    for (const seen of [['5@n'], 'none', ['-', '-', '-']]) {
      expect(() => decodeFollowerMessage(withSeen(seen))).toThrow(/"seen"|seen/)
    }
    for (const none of ['x', 7, {}]) {
      expect(decodeFollowerMessage(withSeen(['5@n', none]))).toEqual(message)
    }
  })

  it('is remembered per follower and origin, never calling old what is not provably new', () => {
    const at = (version: bigint, origin: string): Entry => ({ ...pushed('a', version), origin })
    const marks = new MergedVersions('f', undefined, 10n)
    marks.raise(at(20n, 'n'))
    marks.raise(at(30n, 'm'))
    const again = new MergedVersions('f', marks.encode(), 10n)
    expect([again.covers(at(20n, 'n')), again.covers(at(21n, 'n'))]).toEqual([true, false])
    expect([again.covers(at(10n, 'o')), again.covers(at(11n, 'o'))]).toEqual([true, false])
    // Another follower in the same row: all that is known counts against it.
    const other = new MergedVersions('g', marks.encode(), 10n)
    expect([other.covers(at(30n, 'n')), other.covers(at(31n, 'n'))]).toEqual([true, false])
    for (let i = 0; i < 100; i++) again.raise(at(BigInt(100 + i), `x${i}`))
    expect(again.encode().split(' ')[2]?.split(',')).toHaveLength(64)
    expect(again.covers(at(101n, 'x1'))).toBe(true)
    expect(mergedVersionsRow('f')).toMatch(/^pushed-\d{1,4}$/)
  })

  it('tells deletes of one operation apart by their keys, also after a restart', () => {
    const gone = (key: string): Tombstone => ({ kind: 'tombstone', key, deleted: 20n, origin: 'n' })
    const marks = new MergedVersions('f', undefined, 10n)
    marks.raise(gone('a/k'))
    const again = new MergedVersions('f', marks.encode(), 10n)
    expect(['a/j', 'a/k', 'a/l'].map((key) => again.covers(gone(key)))).toEqual([true, true, false])
    // A row of a build that did not note keys.
    const older = new MergedVersions('f', 'f 10 n=20', 10n)
    expect(older.covers(gone('a/l'))).toBe(true)
  })

  it('calls new, once, what the follower told it would push after later changes', () => {
    const at = (version: bigint, origin = 'n'): Entry => ({ ...pushed('a', version), origin })
    const marks = new MergedVersions('f', undefined, 10n)
    marks.raise(at(20n))
    marks.overtake([at(15n), at(20n), at(30n), at(31n)].map(overtakenName))
    marks.raise(at(40n))
    const again = new MergedVersions('f', marks.encode(), 10n)
    expect([15n, 20n, 25n, 30n, 31n].map((version) => again.covers(at(version)))).toEqual([
      ...[true, true, true],
      ...[false, false],
    ])
    again.raise(at(30n))
    again.overtake([overtakenName(at(30n))])
    expect([again.covers(at(30n)), again.covers(at(31n))]).toEqual([true, false])
    // One that comes in its turn after all is merged as any other.
    again.overtake([overtakenName(at(50n))])
    again.raise(at(50n))
    expect([again.covers(at(49n)), again.covers(at(50n))]).toEqual([true, true])
    // What another follower told counts for nobody else in the same row.
    expect(new MergedVersions('g', marks.encode(), 10n).covers(at(31n))).toBe(true)
  })

  it('remembers a bounded number of them', () => {
    const marks = new MergedVersions('f', undefined, 0n)
    const names = Array.from({ length: 3000 }, (_, i) => `${i + 1}@n`)
    marks.overtake(names)
    expect(marks.encode().split(' ')[4]?.split(',')).toEqual(names.slice(-1000))
    expect(isOvertakenName('1@n') && isOvertakenName('1@n@a/b')).toBe(true)
    for (const wrong of ['', '1', '1@', '1@n@', '1@n@a b', '1@n@/', 'x@n', '1@n,2@n', 7, null]) {
      expect(isOvertakenName(wrong)).toBe(false)
    }
  })

  it('names them in a push', () => {
    const message = { t: 'push', n: 1, records: [], overtaken: ['5@n', '6@m@a/b'] } as const
    expect(decodeFollowerMessage(encodeMessage(message))).toEqual(message)
    // A wrong one does not end the stream.
    const wrong = encodeMessage({ ...message, overtaken: ['5 n', '7@n'] })
    expect(decodeFollowerMessage(wrong)).toEqual({ ...message, overtaken: ['7@n'] })
  })
})
