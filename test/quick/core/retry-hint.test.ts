import { describe, expect, it } from 'vitest'
import {
  MAX_RETRY_HINT_MS,
  refusedHandshake,
  retryHeaders,
  retryHintMs,
  retryHintOfHeaders,
  withRetryHint,
} from '../../../src/core/retry-hint.ts'

const of =
  (headers: Readonly<Record<string, string>>) =>
  (name: string): string | undefined =>
    headers[name]

describe('a retry hint', () => {
  it('comes back out of the reason that it was put into', () => {
    expect(withRetryHint('server is closing', 1234)).toBe('server is closing; retry in 1234 ms')
    for (const ms of [0, 1, 999, 60_000]) expect(retryHintMs(withRetryHint('x', ms))).toBe(ms)
    expect(retryHintMs(withRetryHint('x', 0.2))).toBe(1)
    expect(retryHintMs(withRetryHint('x', -5))).toBe(0)
  })

  it('is not read out of anything else', () => {
    for (const reason of [
      '',
      'server is closing',
      'retry in 5 ms',
      '; retry in -5 ms',
      '; retry in 5 ms!',
    ]) {
      expect(retryHintMs(reason)).toBeUndefined()
    }
  })

  it('is bounded, however long a server asks to stay away', () => {
    expect(retryHintMs('x; retry in 999999999999 ms')).toBe(MAX_RETRY_HINT_MS)
    expect(retryHintOfHeaders(of({ 'retry-after': '99999999' }))).toBe(MAX_RETRY_HINT_MS)
  })

  it('travels in headers: exact in milliseconds, rounded up in seconds', () => {
    expect(retryHeaders(1234)).toEqual({ 'Retry-After': '2', 'ooo-retry-after-ms': '1234' })
    expect(retryHeaders(0)).toEqual({ 'Retry-After': '1', 'ooo-retry-after-ms': '0' })
    expect(retryHintOfHeaders(of({ 'retry-after': '2', 'ooo-retry-after-ms': '1234' }))).toBe(1234)
    expect(retryHintOfHeaders(of({ 'retry-after': ' 2 ' }))).toBe(2000)
    expect(retryHintOfHeaders(of({}))).toBeUndefined()
    expect(
      retryHintOfHeaders(of({ 'retry-after': 'Wed, 21 Oct 2026 07:28:00 GMT' })),
    ).toBeUndefined()
    expect(retryHintOfHeaders(() => null)).toBeUndefined()
    expect(retryHintOfHeaders(() => ['1', '2'])).toBeUndefined()
  })

  it('is part of the reason of a refused handshake', () => {
    expect(refusedHandshake(401, of({}))).toBe('Unexpected server response: 401')
    const reason = refusedHandshake(503, of({ 'retry-after': '3' }))
    expect(reason).toBe('Unexpected server response: 503; retry in 3000 ms')
    expect(retryHintMs(reason)).toBe(3000)
  })
})
