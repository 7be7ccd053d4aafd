import { describe, expect, test } from 'vitest'
import { DEFAULT_MAX_DRIFT_NS, HybridClock, LATEST_STAMP } from '../../../src/core/data/clock.ts'
import { fc } from '../../support/property.ts'
import { ManualTime } from '../../support/store.ts'

const YEARS_10 = 315_576_000_000_000_000n

test('stamps go up whatever the wall clock and the peers do', () => {
  const step = fc.record({
    wall: fc.bigInt({ min: -5000n, max: 5000n }),
    seen: fc.bigInt({ min: 0n, max: 20_000n }),
  })
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const time = new ManualTime()
      time.ns = 10_000n
      const clock = new HybridClock(time)
      let last = 0n
      for (const { wall, seen } of steps) {
        time.ns += wall
        clock.observe(seen)
        const stamp = clock.now()
        expect(stamp > last && stamp > seen).toBe(true)
        last = stamp
      }
    }),
  )
})

test('a stamp is the wall time, corrected by the offset, when that is ahead', () => {
  const time = new ManualTime()
  const clock = new HybridClock(time)
  expect(clock.now()).toBe(time.ns)
  clock.offsetNs = 500n
  expect(clock.now()).toBe(time.ns + 500n)
})

describe('stamps of a wrong clock', () => {
  test('a stamp of a peer beyond the drift does not move the clock', () => {
    const time = new ManualTime()
    const clock = new HybridClock(time)
    clock.observe(time.ns + DEFAULT_MAX_DRIFT_NS + 1n)
    expect(clock.now()).toBe(time.ns)
    clock.observe(time.ns + DEFAULT_MAX_DRIFT_NS)
    expect(clock.now()).toBe(time.ns + DEFAULT_MAX_DRIFT_NS + 1n)
  })

  test('a stamp exceeds what it replaces, far ahead for that key only', () => {
    const time = new ManualTime()
    const clock = new HybridClock(time)
    const ahead = time.ns + YEARS_10
    expect(clock.now(ahead)).toBe(ahead + 1n)
    expect(clock.now()).toBeLessThan(time.ns + 10n)
    expect(clock.now(time.ns + 1000n)).toBe(time.ns + 1001n)
    expect(clock.now()).toBe(time.ns + 1002n)
  })

  test('a node that boots in 1970 goes on after what it had, and takes that for its time', () => {
    const time = new ManualTime()
    time.ns = 0n
    const clock = new HybridClock(time)
    clock.restore(YEARS_10)
    expect(clock.now()).toBe(YEARS_10 + 1n)
    expect(clock.now()).toBe(YEARS_10 + 2n)
    expect(clock.latest).toBe(YEARS_10 + DEFAULT_MAX_DRIFT_NS)
  })

  test('after a jump ahead it takes what was stamped then, also once it is set back', () => {
    const time = new ManualTime()
    const clock = new HybridClock(time)
    time.ns += YEARS_10
    const stamp = clock.now()
    time.ns -= YEARS_10
    expect(clock.now()).toBe(stamp + 1n)
    expect(clock.latest).toBe(stamp + DEFAULT_MAX_DRIFT_NS)
  })

  test('it comes down to a time that is told, and only down', () => {
    const time = new ManualTime()
    const clock = new HybridClock(time)
    const told = time.ns
    time.ns += YEARS_10
    clock.now()
    time.ns -= YEARS_10
    clock.lowerMaxStamp(told)
    expect(clock.now()).toBe(told + 1n)
    expect(clock.latest).toBe(told + DEFAULT_MAX_DRIFT_NS)
    clock.lowerMaxStamp(told + YEARS_10)
    expect(clock.now()).toBe(told + 2n)
  })

  test('no wall clock and no disk brings stamps near 2^63, or below 0', () => {
    const time = new ManualTime()
    const clock = new HybridClock(time)
    time.ns = 2n ** 70n
    clock.restore(2n ** 62n - 1n + 2n ** 62n)
    expect(clock.latest).toBe(LATEST_STAMP)
    expect(clock.now()).toBe(LATEST_STAMP + 1n)
    expect(new HybridClock(time).now()).toBeLessThan(LATEST_STAMP)
    time.ns = -YEARS_10
    expect(new HybridClock(time).physicalNs()).toBe(0n)
  })
})
