import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HybridClock } from '../../src/core/clock.ts'
import { ManualTime } from '../support/store.ts'

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
