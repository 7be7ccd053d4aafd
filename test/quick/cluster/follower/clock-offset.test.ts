import { expect, test } from 'vitest'
import { measureOffset } from '../../../../cluster/follower/clock-offset.ts'

const MS = 1_000_000n
const reading = { leaderNs: 1000n * MS, wallNs: 1000n * MS, roundTripNs: 20n * MS, knownNs: 0n }

test('a difference the round trip explains leaves the offset as it was', () => {
  expect(measureOffset(reading)).toBe(0n)
  expect(measureOffset({ ...reading, knownNs: 5n * MS })).toBe(5n * MS)
})

test('the offset is the leader clock at the middle of the round trip minus ours', () => {
  expect(measureOffset({ ...reading, wallNs: 0n })).toBe(1010n * MS)
  expect(measureOffset({ ...reading, wallNs: 5000n * MS })).toBe(-3990n * MS)
})

test('a clock that has been put right is followed back to zero', () => {
  expect(measureOffset({ ...reading, wallNs: 1010n * MS, knownNs: -3990n * MS })).toBe(0n)
})
