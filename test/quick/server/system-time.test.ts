import { afterEach, describe, expect, it, vi } from 'vitest'
import { createSystemTime } from '../../../src/server/process/system-time.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

const MS = 1_000_000n

describe('system time', () => {
  it('stays within milliseconds of the wall clock and is finer than it', () => {
    const time = createSystemTime()
    const seen = new Set<bigint>()
    for (let i = 0; i < 1000; i++) {
      // This process may stand still between two looks at a clock.
      const before = BigInt(Date.now()) * MS
      const wall = time.wallNs()
      const after = BigInt(Date.now()) * MS
      expect(wall > before - 5n * MS && wall < after + 5n * MS).toBe(true)
      seen.add(wall % MS)
    }
    expect(seen.size).toBeGreaterThan(100)
  })

  it.each([-3_600_000, 3_600_000])('follows a wall clock that steps by %i ms', (step) => {
    const time = createSystemTime()
    const real = Date.now()
    vi.spyOn(Date, 'now').mockReturnValue(real + step)
    expect(time.wallNs()).toBe(BigInt(real + step) * MS)
  })

  it('has a monotonic clock that never goes back', () => {
    const time = createSystemTime()
    let last = time.monotonicNs()
    for (let i = 0; i < 1000; i++) {
      const next = time.monotonicNs()
      expect(next).toBeGreaterThanOrEqual(last)
      last = next
    }
  })

  it('runs a timer once, unless it is cancelled', async () => {
    const time = createSystemTime()
    const ran: string[] = []
    const cancel = time.after(1, () => ran.push('cancelled'))
    cancel()
    await new Promise<void>((resolve) => {
      time.after(5, () => {
        ran.push('ran')
        resolve()
      })
    })
    cancel()
    expect(ran).toEqual(['ran'])
  })

  it('does not fire at once for a delay beyond what platform timers take', async () => {
    const time = createSystemTime()
    let ran = false
    const cancel = time.after(2 ** 40, () => {
      ran = true
    })
    await new Promise<void>((resolve) => time.after(10, resolve))
    cancel()
    expect(ran).toBe(false)
  })
})
