import { describe, expect, it } from 'vitest'
import { proxyChoice } from '../../../src/server/dial/choice.ts'

const P = 'http://proxy.example:3128'
const Q = 'http://other.example:8080'

describe('the proxy for a server', () => {
  it('is none when nothing names one', () => {
    expect(proxyChoice({})).toBeUndefined()
    expect(proxyChoice({ env: { HTTPS_PROXY: '', NO_PROXY: 'a' } })).toBeUndefined()
    expect(proxyChoice({ proxy: 'none', env: { HTTP_PROXY: P } })).toBeUndefined()
  })

  it('is told by the scheme of the server, sockets as requests', () => {
    const choice = proxyChoice({ env: { HTTPS_PROXY: P, http_proxy: Q } })
    expect(choice?.('wss://leader.example/_pivot/stream')).toBe(P)
    expect(choice?.('https://leader.example')).toBe(P)
    expect(choice?.('ws://leader.example:8800/')).toBe(Q)
    expect(choice?.('http://leader.example:8800')).toBe(Q)
    expect(proxyChoice({ env: { HTTPS_PROXY: P } })?.('http://a')).toBeUndefined()
  })

  it('small letters come first, ALL_PROXY last, and a URL needs no scheme', () => {
    const env = { http_proxy: 'a:1', HTTP_PROXY: 'b:1', ALL_PROXY: 'c:1' }
    expect(proxyChoice({ env })?.('http://x')).toBe('http://a:1')
    expect(proxyChoice({ env })?.('https://x')).toBe('http://c:1')
  })

  it('of the environment never leads to this machine, a configured one does', () => {
    for (const url of [
      'http://localhost:1',
      'ws://127.0.0.1:8800',
      'http://[::1]:1',
      'ws://a.localhost',
    ]) {
      expect(proxyChoice({ env: { HTTP_PROXY: P } })?.(url)).toBeUndefined()
      expect(proxyChoice({ proxy: P })?.(url)).toBe(P)
    }
  })

  it.each([
    ['*', 'http://a.example', false],
    ['example.org', 'http://example.org', false],
    ['example.org', 'http://leader.example.org:8800', false],
    ['.example.org', 'http://leader.example.org', false],
    ['*.example.org', 'http://leader.EXAMPLE.org', false],
    ['example.org', 'http://badexample.org', true],
    ['x, leader:8800', 'http://leader:8800', false],
    ['leader:8801', 'http://leader:8800', true],
    ['leader:443', 'wss://leader', false],
    ['10.0.0.0/8', 'http://10.9.8.7:8800', false],
    ['10.0.0.0/8', 'http://11.9.8.7:8800', true],
    ['10.0.0.0/99', 'http://10.0.0.1', true],
    ['10.0.0.0/8', 'http://leader', true],
    ['fd00::/8', 'http://[fd00::7]:8800', false],
    ['fd00::7', 'http://[fd00::7]:8800', false],
    ['[fd00::7]:8800', 'http://[fd00::7]:8800', false],
  ])('NO_PROXY=%s, %s: through the proxy: %s', (NO_PROXY, url, isThrough) => {
    const expected = isThrough ? P : undefined
    expect(proxyChoice({ env: { HTTP_PROXY: P, HTTPS_PROXY: P, NO_PROXY } })?.(url)).toBe(expected)
    expect(proxyChoice({ proxy: P, env: { no_proxy: NO_PROXY } })?.(url)).toBe(expected)
  })

  it('refuses what is no proxy URL, without showing it', () => {
    expect(() => proxyChoice({ env: { HTTP_PROXY: 'socks5://me:secret@a' } })).toThrow(
      /HTTP_PROXY: this value is not allowed/,
    )
  })
})
