import { describe, expect, test } from 'vitest'
import { countsInDigest, planForUnknown } from '../../../../cluster/anti-entropy/unknown-entries.ts'
import { horizonAt } from '../../../../cluster/progress/retention.ts'
import { entry, tombstone } from '../../../cluster/fixtures.ts'

const old = entry('a', 50)
const young = entry('a', 150)
const oldDelete = tombstone('a', 50)
const youngDelete = tombstone('a', 150)

describe('what becomes of a record its leader knows nothing of', () => {
  const rows = [
    // record, owed, forgotten, horizon, plan
    ['an old entry, when its deletion may have been forgotten', old, false, 100n, 100n, 'drop'],
    ['an entry just as old as the newest forgotten deletion', old, false, 50n, 100n, 'drop'],
    ['a younger entry', young, false, 100n, 100n, 'push'],
    ['an old entry that is owed', old, true, 100n, 100n, 'push'],
    ['an old entry, when nothing was forgotten', old, false, 0n, 100n, 'push'],
    ['an old tombstone', oldDelete, false, 0n, 100n, 'leave'],
    ['an old tombstone that is owed', oldDelete, true, 0n, 100n, 'push'],
    ['a young tombstone', youngDelete, false, 100n, 100n, 'push'],
    ['any tombstone, when none is ever removed', oldDelete, false, 0n, 0n, 'push'],
  ] as const
  test.each(rows)('%s', (_name, record, isPending, forgotten, horizon, plan) => {
    expect(planForUnknown(record, { isPending, forgotten, horizon })).toBe(plan)
  })
})

test('digests count every entry, and tombstones newer than the horizon', () => {
  expect([old, young, oldDelete, youngDelete].map((it) => countsInDigest(it, 100n))).toEqual([
    true,
    true,
    false,
    true,
  ])
  expect(countsInDigest(oldDelete, 0n)).toBe(true)
})

test('a tombstone counts as long as its marks say, but not with a peer that knows no marks', () => {
  const kept = { ...oldDelete, fields: { marks: '150@x' } }
  expect([2, 3].map((protocol) => countsInDigest(kept, 100n, protocol))).toEqual([false, true])
  expect(countsInDigest(kept, 150n)).toBe(false)
})

describe('the horizon', () => {
  const RETENTION_MS = 8
  const MS = 1_000_000n

  test('lies at most an eighth of the retention below what is old', () => {
    for (let old = 2n * MS; old < 32n * MS; old += 123_457n) {
      const back = old - horizonAt(old, RETENTION_MS)
      expect(back).toBeGreaterThanOrEqual(0n)
      expect(back).toBeLessThan(1n * MS)
    }
  })

  test('moves in steps, the same on every node at the same time', () => {
    const seen = new Set<bigint>()
    for (let old = 8n * MS; old < 16n * MS; old += MS / 10n) seen.add(horizonAt(old, RETENTION_MS))
    expect(seen.size).toBe(8)
  })

  test('is nowhere when nothing is ever removed, or nothing is old', () => {
    expect(horizonAt(10n ** 18n, 0)).toBe(0n)
    expect(horizonAt(0n, RETENTION_MS)).toBe(0n)
  })
})
