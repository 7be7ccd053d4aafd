import { describe, expect, it } from 'vitest'
import { isStateError } from '../../../../src/core/errors.ts'
import {
  assertKey,
  assertWritableGlob,
  buildKey,
  decodeIndex,
  directoryOf,
  hasGlob,
  isGlob,
  isValidKey,
  keysOverlap,
  matchKey,
} from '../../../../src/core/keys/key.ts'
import { fc } from '../../../support/property.ts'

function messageOf(run: () => void): string {
  try {
    run()
  } catch (error) {
    if (isStateError(error)) return error.message
    throw error
  }
  return ''
}

describe('isValidKey', () => {
  it.each([
    '*',
    'a',
    '0',
    'a/b/*',
    'a-b/c.d/e_f',
    'logs/2026-05-08',
    'users/jane_doe',
    'a/../b',
    '*/x',
    'a*b',
    '6f1c2f5e-3b7a-4f0e-9d6b-0a1b2c3d4e5f',
  ])('takes %s', (key) => expect(isValidKey(key)).toBe(true))

  it.each([
    '',
    '/a',
    'a/',
    'a:b',
    'a b',
    'a@b',
    'a%b',
    'a+b',
    '-x',
    'x-',
    '.x',
    'x.',
    '_x',
    'x_',
    'test//1',
    '/',
    '-',
    'a**',
    '**',
    'é',
    'a\n',
    'a?b',
  ])('refuses %j', (key) => {
    expect(isValidKey(key)).toBe(false)
    expect(messageOf(() => assertKey(key))).toBe('ooo: key is not valid')
  })
})

describe('glob predicates', () => {
  it.each([
    // key, hasGlob, isGlob, error of assertWritableGlob
    ['*', true, true, ''],
    ['a/*', true, true, ''],
    ['a*', true, false, ''],
    ['a/*/b', true, false, 'key: glob pattern must be at the end of the path'],
    ['a/*/*', true, true, 'key: contains more than one glob pattern'],
    ['*/b/*', true, true, 'key: contains more than one glob pattern'],
    ['a/b', false, false, ''],
  ])('classify %s', (key, has, is, refusal) => {
    expect(hasGlob(key)).toBe(has)
    expect(isGlob(key)).toBe(is)
    expect(messageOf(() => assertWritableGlob(key))).toBe(refusal)
  })
})

describe('matchKey', () => {
  it.each([
    ['*', 'thing', true],
    ['games/*', 'games/*', true],
    ['thing/123/*', 'thing/123/234', true],
    ['thing/glob/*/*', 'thing/glob/test/234', true],
    ['thing/*/*', 'thing/123/234/234', false],
    ['thing/123', 'thing/12', false],
    ['thing/123/*', 'thing/123/123/123', false],
    ['*', 'a/b', false],
    ['a/*', 'ab/c', false],
    ['a*', 'abc', true],
    ['a*', 'a', true],
    ['a*', 'a/b', false],
    ['a/*/b', 'a/x/b', true],
    ['a/*/b', 'a/x/y/b', false],
    ['*b*', 'abc', true],
    ['*/*', 'a/b', true],
    ['a/*b/*', 'a/xb/c', true],
    ['*/?', 'a/b', true],
    ['*/?', 'a/bc', false],
    ['*/[bc]', 'a/c', true],
    ['*/[^bc]', 'a/c', false],
    ['*/[a-c]', 'a/b', true],
    ['*/[a', 'a/a', false],
    ['a/?', 'a/b', false],
    ['a/\\*b', 'a/xb', false],
  ])('%s covers %s: %s', (pattern, key, expected) => {
    expect(matchKey(pattern, key)).toBe(expected)
  })

  it('agrees with a regular expression for every glob of key characters', () => {
    const part = fc.string({ unit: fc.constantFrom('a', 'b', '*', '/', '-'), maxLength: 8 })
    fc.assert(
      fc.property(part, part, (pattern, key) => {
        const plainKey = key.replaceAll('*', 'a')
        const source = pattern
          .split('*')
          .map((text) => text.replaceAll('-', '\\-'))
          .join('[^/]*')
        expect(matchKey(pattern, plainKey)).toBe(new RegExp(`^${source}$`).test(plainKey))
      }),
      { numRuns: 2000 },
    )
  })

  it('takes little time for a pattern made to be slow', () => {
    const start = performance.now()
    matchKey(`${'a*'.repeat(2000)}b`, 'a'.repeat(4000))
    expect(performance.now() - start).toBeLessThan(1000)
  })

  it('overlaps in both directions', () => {
    expect(keysOverlap('a/*', 'a/b')).toBe(true)
    expect(keysOverlap('a/b', 'a/*')).toBe(true)
    expect(keysOverlap('a/b', 'a/c')).toBe(false)
  })
})

describe('generated keys', () => {
  it('replace the first star by the stamp in hex and decode again', () => {
    const stamp = 1_781_600_000_000_000_000n
    expect(buildKey('a/*', stamp)).toBe(`a/${stamp.toString(16)}`)
    expect(buildKey('a/b', stamp)).toBe('a/b')
    expect(decodeIndex(stamp.toString(16))).toBe(stamp)
  })

  it.each(['', 'xyz', '-1', 'ffffffffffffffff', '11112222333344445'])('decode %j as 0', (index) => {
    expect(decodeIndex(index)).toBe(0n)
  })

  it('have a directory', () => {
    expect(directoryOf('a/b/c')).toBe('a/b/')
    expect(directoryOf('a')).toBe('')
  })
})
