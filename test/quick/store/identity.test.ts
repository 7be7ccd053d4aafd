/** Under which name a node writes: stamps of one origin never go down, and no write is covered by marks. */
import { describe, expect, test } from 'vitest'
import { marksOf, type StoredRecord, versionOf } from '../../../src/core/data/entry.ts'
import { isCovered } from '../../../src/core/data/marks.ts'
import { parseOrigin } from '../../../src/core/data/origin.ts'
import { WritingIdentity } from '../../../src/store/format/identity.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { fc } from '../../support/property.ts'
import { ManualTime, openStore } from '../../support/store.ts'

const nothing = (): undefined => undefined

describe('a writing identity', () => {
  test('goes on under the next origin when a stamp is lesser than one given before', () => {
    const identity = new WritingIdentity('n', undefined, 0n)
    const stamps = [10n, 12n, 12n, 11n, 11n, 13n]
    const origins = stamps.map((stamp) => identity.originFor(stamp, undefined))
    expect(origins).toEqual(['n', 'n', 'n', 'n-r1', 'n-r1', 'n-r1'])
  })

  test('writes nothing that the marks of its key would cover', () => {
    const identity = new WritingIdentity('n', undefined, 0n)
    expect(identity.originFor(10n, '190@n')).toBe('n-r1')
    expect(identity.originFor(11n, '190@other')).toBe('n-r1')
    expect(identity.originFor(12n, '190@n-r3')).toBe('n-r4')
  })

  test('covers what it and its followers wrote before, until its stamps are past that', () => {
    const identity = new WritingIdentity('n', undefined, 0n)
    expect(identity.marksFor(10n, nothing)).toBeUndefined()
    identity.maxStampLowered(190n)
    identity.originFor(100n, undefined)
    expect(identity.marksFor(100n, nothing)).toBe('+190@n')
    const pushed = (name: string): string | undefined =>
      name === 'pushed-7' ? 'f 0 f=150,g=90' : undefined
    expect(identity.marksFor(100n, pushed)).toBe('+150@f,+190@n')
    expect(identity.marksFor(191n, pushed)).toBeUndefined()
  })

  test('is read from its row as it was written, also beyond what the clock tells', () => {
    const identity = new WritingIdentity('n', undefined, 50n)
    expect(identity.unsavedRow(50n, undefined)).toBeUndefined()
    identity.originFor(500n, undefined)
    const row = identity.unsavedRow(60n, undefined)
    expect(row).toBe('n 0 500')
    expect(identity.unsavedRow(60n, row)).toBeUndefined()
    const again = new WritingIdentity('n', row, 60n)
    expect(again.originFor(499n, undefined)).toBe('n-r1')
  })

  test('keeps both rules whatever stamps and marks come', () => {
    const mark = fc.constantFrom(undefined, '5@n', '3@n-r1', '4@n-r2', '9@m')
    const step = fc.tuple(fc.bigInt({ min: 1n, max: 8n }), mark)
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const identity = new WritingIdentity('n', undefined, 0n)
        const greatest = new Map<string, bigint>()
        let generation = 0
        for (const [version, marks] of steps) {
          const origin = identity.originFor(version, marks)
          expect(isCovered(marks, { origin, version })).toBe(false)
          expect(version).toBeGreaterThanOrEqual(greatest.get(origin) ?? 0n)
          greatest.set(origin, version)
          expect(parseOrigin(origin).generation).toBeGreaterThanOrEqual(generation)
          generation = parseOrigin(origin).generation
        }
      }),
      { numRuns: 1000 },
    )
  })
})

describe('a store', () => {
  const LEADER = 'http://l'

  async function record(store: ReplicationStore, key: string): Promise<StoredRecord> {
    const keyState = await store.keyState(key)
    if (keyState === undefined) throw new Error(`there is no ${key}`)
    return keyState.record
  }

  test('whose clock is taken back writes under the next origin, also after a restart', async () => {
    const time = new ManualTime()
    const adapter = new MemoryStorage()
    // With everything in memory the stamps on disk put the clock forward again.
    const options = { time, adapter, name: 'n', leaderOf: () => LEADER, cacheBytes: 0 }
    const store = await openStore(options)
    await store.set('before', '1')
    const right = time.ns
    time.ns += 90_000_000_000n
    await store.set('k', '1')
    const first = versionOf(await record(store, 'k'))
    time.ns = right
    await store.lowerMaxStamp(right)
    await store.close()
    const again = await openStore(options)
    time.ns += 1_000_000n
    await again.set('other', '1')
    const other = await record(again, 'other')
    expect(other.origin).toBe(`${again.id}-r1`)
    expect(versionOf(other)).toBeLessThan(first)
    expect(marksOf(other)).toBe(`+${first}@${again.id}`)
    time.ns = first + 1n
    await again.set('later', '1')
    expect(marksOf(await record(again, 'later'))).toBeUndefined()
  })

  test('that had to exceed a stamp to come goes on under the next origin', async () => {
    const time = new ManualTime()
    const store = await openStore({ time })
    const ahead = time.ns + 10n ** 18n
    const foreign: StoredRecord = {
      ...{ kind: 'entry', key: 'k', origin: 'o', data: '1' },
      ...{ created: ahead, updated: 0n },
    }
    await store.merge([foreign], { source: 's' })
    expect((await store.set('k', '2')).origin).toBe(store.id)
    expect((await store.set('x', '1')).origin).toBe(`${store.id}-r1`)
    expect((await store.set('y', '1')).origin).toBe(`${store.id}-r1`)
  })
})

describe('a leader that judges what is pushed', () => {
  const STAMPED = {
    ...{ kind: 'entry', key: 'k', created: 100n, updated: 0n },
    ...{ origin: 'r-r1', data: '"first"', fields: { marks: '190@r', was: '190@r' } },
  } as const satisfies StoredRecord

  async function judged(came: StoredRecord, seen: string): Promise<number> {
    const time = new ManualTime()
    const store = await openStore({ time })
    const conflicts = store.conflictLog({
      ...{ maxEntries: 10, oldNs: () => 0n, now: () => time.ns, scopeOf: () => 'k' },
      onError: (error) => {
        throw error
      },
    })
    // Before this storage began nothing is called new.
    const born = BigInt(store.meta('born') ?? '0')
    const late = (record: StoredRecord): StoredRecord =>
      record.kind === 'entry' ? { ...record, created: record.created + born } : record
    const shift = (text: string): string =>
      text.replaceAll(/\d+(?=@)/g, (digits) => String(BigInt(digits) + born))
    const fields = Object.fromEntries(
      Object.entries(STAMPED.fields).map(([name, text]) => [name, shift(text)]),
    )
    await store.merge([{ ...late(STAMPED), fields }], { source: 's' })
    const pushed = { follower: 'f', causalContexts: [shift(seen)], lost: [false], conflicts }
    await store.merge([late(came)], { source: 'stream', pushed })
    return (await conflicts.list({ limit: 10 })).length
  }

  const made = (origin: string, created: bigint): StoredRecord => ({
    ...{ kind: 'entry', key: 'k', updated: 0n, data: `"${origin}"` },
    ...{ created, origin },
  })

  test('a write over a record under its first stamp has seen it under the second', async () => {
    expect(await judged(made('e', 191n), '190@r')).toBe(0)
  })

  test('a write that had seen neither is a concurrent one', async () => {
    expect(await judged(made('e', 191n), '-')).toBe(1)
  })

  test('the record under its first stamp is no write of its own', async () => {
    expect(await judged(made('r', 190n), '-')).toBe(0)
  })
})
