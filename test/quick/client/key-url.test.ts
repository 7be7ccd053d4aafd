import { describe, expect, it } from 'vitest'
import { parseBaseUrl, restUrl, socketUrl } from '../../../src/client/key-url.ts'
import { isStateError } from '../../../src/core/errors.ts'

describe('addresses', () => {
  it('keep a path prefix and drop slashes at the end', () => {
    expect(parseBaseUrl('http://127.0.0.1:8800')).toBe('http://127.0.0.1:8800')
    expect(parseBaseUrl('https://example.org/state//')).toBe('https://example.org/state')
    expect(restUrl(parseBaseUrl('http://[::1]:80/'), 'a/*')).toBe('http://[::1]/a/*')
  })

  it('turn to ws and wss for sockets, with the version to resume from', () => {
    expect(socketUrl('http://host:1', 'a/b')).toBe('ws://host:1/a/b')
    expect(socketUrl('https://host', '*', '18b9a')).toBe('wss://host/*?v=18b9a')
    expect(socketUrl('http://host', '')).toBe('ws://host/')
  })

  it('survive a URL parser that folds dot segments', () => {
    for (const key of ['a/../b', 'a/./b', 'a/.../b', 'a.b/c', 'a/..b/c']) {
      const path = new URL(restUrl('http://host', key)).pathname
      expect(decodeURIComponent(path)).toBe(`/${key}`)
    }
  })

  it.each([
    'host:8800',
    '127.0.0.1:8800',
    'ftp://host',
    '',
    'http://user:secret@host',
    'http://host/?a=b',
    'http://host/#x',
  ])('are refused when they are not http(s) base URLs: %s', (text) => {
    try {
      parseBaseUrl(text)
    } catch (error) {
      expect(isStateError(error, 'invalid_option')).toBe(true)
      expect(String(error)).not.toContain('secret')
      return
    }
    expect.unreachable('the URL was accepted')
  })
})
