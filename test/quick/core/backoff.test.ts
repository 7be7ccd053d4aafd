import { describe, expect, it } from 'vitest'
import { isStateError } from '../../../src/core/errors.ts'
import { backoffDelayMs, DEFAULT_BACKOFF, resolveBackoff } from '../../../src/core/ports/backoff.ts'
import { fc } from '../../support/property.ts'

describe('backoff', () => {
  it('doubles the bound up to the maximum when full jitter draws its greatest value', () => {
    const options = resolveBackoff({ initialMs: 100, maxMs: 1_000, jitter: 'full' })
    const delays = [1, 2, 3, 4, 5, 6].map((n) => backoffDelayMs(n, options, () => 0.999_999))
    expect(delays).toEqual([99, 199, 399, 799, 999, 999])
  })

  it('may draw 0 with full jitter and never less than half the bound with equal jitter', () => {
    const full = resolveBackoff({ initialMs: 100, maxMs: 1_000, jitter: 'full' })
    const equal = resolveBackoff({ initialMs: 100, maxMs: 1_000, jitter: 'equal' })
    expect(backoffDelayMs(3, full, () => 0)).toBe(0)
    expect(backoffDelayMs(3, equal, () => 0)).toBe(200)
  })

  it('stays within its bounds for any options, attempt and randomness', () => {
    const cases = fc.record({
      attempt: fc.integer({ min: 1, max: 1_000_000 }),
      initialMs: fc.integer({ min: 0, max: 10_000 }),
      extraMs: fc.integer({ min: 0, max: 1_000_000 }),
      factor: fc.double({ min: 1, max: 10, noNaN: true }),
      jitter: fc.constantFrom('full' as const, 'equal' as const),
      random: fc.double({ min: 0, max: 0.999_999, noNaN: true }),
    })
    fc.assert(
      fc.property(cases, ({ attempt, initialMs, extraMs, factor, jitter, random }) => {
        const options = resolveBackoff({ initialMs, maxMs: initialMs + extraMs, factor, jitter })
        const delay = backoffDelayMs(attempt, options, () => random)
        const bound = Math.min(options.maxMs, initialMs * factor ** (attempt - 1) || 0)
        expect(Number.isInteger(delay)).toBe(true)
        expect(delay).toBeGreaterThanOrEqual(0)
        expect(delay).toBeLessThanOrEqual(options.maxMs)
        if (jitter === 'equal') expect(delay).toBeGreaterThanOrEqual(Math.floor(bound / 2))
      }),
    )
  })

  it('draws once from its randomness', () => {
    let draws = 0
    backoffDelayMs(4, DEFAULT_BACKOFF, () => {
      draws++
      return 0.5
    })
    expect(draws).toBe(1)
  })

  it.each([
    [{ initialMs: -1 }, 'backoff.initialMs is -1'],
    [{ initialMs: 500, maxMs: 400 }, 'backoff.maxMs is 400; it must be at least 500'],
    [{ factor: 0.5 }, 'backoff.factor is 0.5'],
    [{ factor: Number.NaN }, 'backoff.factor is NaN'],
  ])('refuses %j and names the option', (options, text) => {
    try {
      resolveBackoff(options)
    } catch (error) {
      expect(isStateError(error, 'invalid_option')).toBe(true)
      expect(String(error)).toContain(text)
      return
    }
    expect.unreachable('the options were accepted')
  })
})
